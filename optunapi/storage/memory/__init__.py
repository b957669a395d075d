"""The read model: every study of one database in memory, and how it is changed and put back.

Read model.py first, then changes.py. The caller of everything here holds `Memory.lock`.

    model.py    studies, their trials, counters and indexes
    ranking.py  which complete trials are best
    trials.py   trials as values: a new one, and one with changes
    changes.py  what memory was before changes that are not committed yet
    editor.py   every change of memory, recorded so that it can be undone or written
"""
