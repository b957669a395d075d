"""One live study: its trials in a store, and what is known of them.

Read `state.py` first, then `transitions.py`. The other modules know neither of them.

    state.py          the study, its units, what is known of it, and changes of any part
    transitions.py    what a trial can go through: start, renew, put back, close, fail
    derived.py        what follows from all trials: tally, taken points, pruning, native sampler
    deadlines.py      when leases and time-outs are due
    tally.py          failures, cost, workers and idempotency keys
    taken_points.py   which points of the space are taken
    best.py           which trials are the best
    feed.py           events, for readers who follow the study
    templates.py      trials that are not stored yet
"""
