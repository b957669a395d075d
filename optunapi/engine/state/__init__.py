"""One open study in memory: its trials in a store, and what is counted over them.

Read `state.py` first, then `transitions.py`. The other modules import neither of them.

    state.py          the study: its units, its specification and record, any change of a trial
    transitions.py    each change of a trial by name: start, renew a lease, put back, close, fail
    derived.py        what is counted over all trials: tally, taken points, pruning, native sampler
    deadlines.py      when the leases and time-outs of running trials are due
    tally.py          counts of failures and cost, indexes by worker and idempotency key
    taken_points.py   which points of the space are taken
    space_points.py   the points of a space: how many there are, and one after another
    explored.py       what an exhaustive search has explored, where trials name their own parameters
    best.py           which trials are the best
    feed.py           events, for readers who follow the study
    versions.py       the specifications that a study has had
    templates.py      trials that are not stored yet
"""
