"""A trainer's side of OptunAPI: needs requests alone, and rich for a progress bar.

client.py         the studies of one server
study.py          a study's trials: ask, tell, look, queue, optimize
known_study.py    what a study is, and in which state
asking.py         what an ask says
telling.py        a result on its way to the server
optimize.py       Optuna's loop around an objective, on this machine
trial.py          what an objective is given: suggest, report, keep
held_trial.py     what is known of a trial in hand, and how it ends
endings.py        what an exception says of the trial that it ended
frozen.py         trials to look at
events.py         what happens in a study, as it happens
connection.py     a server as the above see it: requests, tells that are never lost, leases
leases.py         one thread that renews what this process holds
spool.py          tells that wait on disk for their server
session.py        HTTP: one request and its reply, tried again
retries.py        what is tried again, and when
problems.py       problem documents as exceptions
distributions.py, states.py, scalars.py    Optuna's values, and the wire's
interrupts.py, processes.py, progress.py, profiles.py    signals, forks, terminal, settings
"""
