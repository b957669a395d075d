"""The best trials of a study: all of a Pareto front, or the first in the order of values."""

from collections.abc import Iterator
from itertools import islice

from optuna.trial import FrozenTrial

from optunapi.engine.store import Store

CHUNK = 1000  # trials taken from the store at a time


def best_of(store: Store, study_id: int, n: int | None) -> list[FrozenTrial]:
    """The best `n` feasible complete trials, by default one.

    With several objectives: `n` trials of the Pareto front, by default all.
    """
    directions = store.get_study_directions(study_id)
    if len(directions) > 1:
        return store.best_trials(study_id)[:n]
    descending = directions[0].name == "MAXIMIZE"
    trials = complete_by_value(store, study_id, None, descending=descending)
    return list(islice(filter(is_feasible, trials), 1 if n is None else n))


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether the trial meets all its constraints, as Optuna defines it: none is above 0."""
    return all(value <= 0 for value in trial.constraints.values())


def complete_by_value(
    store: Store, study_id: int, after: FrozenTrial | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    """The complete trials in the order of their values, after this one or from the first on."""
    while chunk := store.trials_by_value(study_id, descending=descending, after=after, limit=CHUNK):
        yield from chunk
        after = chunk[-1]
