"""What depends on the process that the client runs in: forks and SIGTERM.

A signal handler is set for one process: it uses the count of forks.

    forks.py     objects that a fork must not share with its parent
    signals.py   SIGTERM while a trial is open
"""
