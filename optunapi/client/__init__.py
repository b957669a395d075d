"""A trainer's side of OptunAPI: needs only requests, and rich for the progress bar.

Read study.py and trial.py first: they are what a program uses. The modules below them are listed from
the top layer to the lowest.

    client.py         the studies of one server
    study.py          one study: ask, tell, look, queue, optimize
    optimize.py       Optuna's loop around an objective, on this machine
    progress.py       the progress bar of that loop
    trial.py          what an objective gets: suggest, report, attributes, artifacts
    trial_handle.py   what is known of a trial in hand, and how it ends
    study_handle.py   what is known of a study, how it is reached, and the body of an ask
    events.py         what happens in a study, as an iterator
    connection.py     one server: requests, with kept results delivered first
    leases.py         the trials that this process holds, and the thread that renews their leases
    spool.py          results that wait on disk for their server
    http/             one request, its reply, and what is tried again
    optuna_types/     Optuna's values without Optuna, and their form on the wire
    process/          forks and SIGTERM
    profiles.py       which server: arguments, environment, the user's profiles
"""
