"""Studies and trials: what is asked for, sampled, leased, reported and told. Knows no HTTP and no SQL.

To read it all, follow the order below: from a specification to a trial, then to the whole study, then
to all studies of a server. The single files at the end are what the folders share.

    documents/       a text or a JSON value becomes checked values, or errors with line and key
    spec/            a study's specification: read, compared, inferred from trials
    space.py         a parameter's values
    samplers/        which point a trial gets
    pruners/         whether a trial goes on
    state/           what is known of one study, and the changes its trials go through
    trials/          what workers do with trials: ask, suggest, report, tell, queue, import, files
    reports/         what a study's trials show: pages, a snapshot, a summary, importances
    study.py         one study, as callers see it
    fork.py          which trials of a study fit another specification, and what they become there
    creation.py      a new study in the database, forked or not
    config_files.py  the studies' YAML files, each read again only when it changed
    open_studies.py  which studies are in memory: opened on first use, closed when idle
    uploads.py       uploads that a crash or a refused change left unfinished
    catalog.py       all studies of a server, as callers see them
    values.py        what callers ask, and what they are answered
    records.py       what is stored beside Optuna's own fields
    lifecycle.py     the rules of a trial's and a study's life
    leases.py        which worker holds which trial, and until when
    names.py         what a study may be called, and how a URL names it
    store.py         what the engine needs of a storage, as a Protocol
"""
