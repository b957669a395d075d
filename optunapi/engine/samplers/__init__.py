"""Samplers: what a configuration may name, and what draws a study's points.

A configuration names a sampler and its arguments (`registry.py`), which are checked against the study
(`checks.py`). A sampler of `native/` draws the points if it can; `native/engine.py` decides that. Otherwise
Optuna's own sampler does, which `make.py` constructs. Read `problem.py` and `make.py` first, then `native/`.

    problem.py    what a sampler needs to know of a study
    registry.py   the samplers by name, and the arguments of each
    make.py       a sampler read from a configuration; Optuna's sampler made for a study
    checks.py     whether a sampler can be used with a search space and its objectives
    grid.py       the grid of a search space
    history.py    the trials of a history that one of Optuna's samplers can use
    gp.py         the part of a long history that Optuna's GP sampler sees
    uniform.py    uniform draws for every distribution: what a trial gets if its sampler fails
    ranking.py    how good trials are, and the best of them
    native/       random search and TPE by rustuna
"""
