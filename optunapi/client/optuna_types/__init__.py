"""Optuna's values where Optuna is not installed, and their form on the wire.

States and scalars stand alone; the other modules use them.

    states.py          TrialState and StudyDirection
    distributions.py   the three distributions, with Optuna's checks
    frozen.py          FrozenTrial, a trial to look at
    scalars.py         numbers of numpy, torch and the like
    attributes.py      user attributes and constraints, of what JSON can hold
"""
