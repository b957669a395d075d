"""Specifications: what a configuration asks of a study, read, compared and inferred.

Read `model.py` first, the values that all other modules create or use; then `read.py`, which calls the
modules that read the parts of a configuration.

    model.py           a specification as values: parameters, objectives, limits; and its version
    read.py            the whole configuration: its short and its long form, and all settings
    parameters.py      parameters and their conditions
    short_form.py      the short form with the meaning that OptunAPI 0.1 gave it
    objectives.py      objectives and targets
    distributions.py   distributions: read from a configuration, and written to replies
    files.py           configurations in YAML files and in bodies of requests
    points.py          points that are fixed or imported, checked against the space
    diff.py            what differs between two specifications, and what trials do not allow
    inferred.py        the specification that a history of trials implies
    stored.py          the specification that is stored with a study
"""
