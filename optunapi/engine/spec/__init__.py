"""Specifications: what a configuration asks of a study, read, compared and inferred.

`model` is what everything else makes or looks at; `read` leads through the rest of the reading.

    model.py           a specification as values, and its version
    read.py            the short and the long form, and the settings of the long one
    parameters.py      parameters and their conditions
    objectives.py      objectives and targets
    distributions.py   distributions, read and written
    files.py           YAML files and bodies
    points.py          points that are fixed or imported, checked against the space
    diff.py            what differs between two specifications, and what trials do not allow
    inferred.py        the specification that a history of trials implies
"""
