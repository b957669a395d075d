"""One live study: its trials in a store, and what is known of them.

`state.py` has every look and change; read it first. The other modules know nothing of it.

    state.py          the study, its units, and each change of a trial
    derived.py        what follows from all trials: tally, taken points, pruning, native sampler
    deadlines.py      when leases and time-outs are due
    tally.py          failures, cost, workers and idempotency keys
    taken_points.py   which points of the space are taken
    feed.py           events, for readers who follow the study
    templates.py      trials that are not stored yet
"""
