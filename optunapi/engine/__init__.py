"""Studies and trials: what is asked for, sampled, leased, reported and told. Knows no HTTP and no SQL.

To read it all, follow the order below: from a specification to a trial, then to the whole study, then
to all studies of a server. The files from `values.py` on are what the folders share.

    documents/       a text or a JSON value becomes checked values, or errors with line and key
    spec/            a study's specification: read, compared, inferred from trials
    space.py         a parameter's values
    samplers/        which point a trial gets
    pruners/         whether a report ends its trial
    state/           one study in memory: its trials, deadlines and counts, and their transitions
    trials/          what workers do with trials: ask, suggest, report, tell, queue, import, files
    reports/         what a study's trials show: pages, a snapshot, a summary, importances
    study.py         one open study: every operation on it
    fork.py          which trials of a study fit another specification, and what they become there
    creation.py      a new study in the database, forked or not
    at_rest.py       studies that are not open, as a list shows them
    config_files.py  the studies' YAML files: compared at each look-up, read again when changed
    open_studies.py  which studies are in memory: opened on first use, closed when idle, deleted
    uploads.py       uploads that a crash or a refused change left unfinished
    catalog.py       all studies of a server: every operation that begins with a name
    values.py        the arguments and results of `study.py` and `catalog.py`
    overrides.py     settings changed by hand, and which of them outlive a change of the specification
    records.py       what is stored beside Optuna's own fields
    limits.py        the rules of max_trials, max_running and the other limits
    lifecycle.py     the states of a trial, and the rules of what a tell and a lease may do
    identity.py      which study it is: a uid, new each time a study of that name is made
    metric_names.py  the objectives' names where Optuna keeps them
    clock.py         what lasts, and the time of day
    leases.py        until when each running trial is leased
    names.py         what a study may be called, and how a URL names it
    named_locks.py   a lock for each name
    room.py          how many studies and connections may be open at once
    store.py         what the engine needs of a storage, as a Protocol
"""
