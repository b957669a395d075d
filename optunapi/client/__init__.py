"""A trainer's side of OptunAPI: needs only requests, and rich for the progress bar.

Read study.py and trial.py first: they are what a program uses. The modules below them are listed from
the top layer to the lowest.

    client.py         the studies of one server
    study.py          one study: ask, tell, look, queue, optimize
    optimize.py       Optuna's loop around an objective, on this machine
    progress.py       the progress bar of that loop
    trial.py          what an objective gets: suggest, report, attributes, artifacts
    trial_handle.py   one held trial: how it is told or given back
    telling.py        a result on its way: on disk from the first try that fails
    study_handle.py   one study: what is known of it, how it is reached, and the body of an ask
    events.py         what happens in a study, as an iterator
    files.py          specifications to read, and trials to read or to write
    connection.py     one server: requests, tried again, after the results that were kept
    leases.py         the trials that this process holds, and the thread that renews their leases
    delivery.py       when and how results that were kept are sent
    spool.py          results that could not be sent, kept on disk until they can
    kept_tell.py      such a result, and the trial that it belongs to
    spool_folders.py  where they are kept: the folders, tried
    http/             one request and its reply, and which failures are tried again
    optuna_types/     Optuna's values without Optuna, and their form on the wire
    process/          forks and SIGTERM
    profiles.py       which server: arguments, environment, the user's profiles
"""
