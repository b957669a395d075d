"""Trials page by page, in the order of their numbers or of their values.

A page goes on behind the last trial shown, so trials that are added meanwhile neither repeat nor skip
any. In the order of values the complete trials come first, the others behind them by number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.store import Store

Order = Literal["number", "-number", "value", "-value"]

CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which trials, and in which order; None does not select."""

    state: TrialState | None = None
    worker: str | None = None
    order: Order = "number"

    def has(self, trial: FrozenTrial) -> bool:
        """Whether the trial is selected."""
        return (self.state is None or trial.state == self.state) and (
            self.worker is None or TrialRecord.of(trial).worker == self.worker
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page ended. `by_number` says that this trial had no place by its value when it was shown.

    It may have completed since, and those shown before it must not come again.
    """

    number: int
    by_number: bool

    @classmethod
    def of(cls, trial: FrozenTrial) -> "Place":
        """Where a page that ends with this trial ends."""
        return cls(number=trial.number, by_number=not _has_order(trial))


def page_of(
    store: Store, study_id: int, selection: Selection, after: Place | None, limit: int
) -> list[FrozenTrial]:
    """At most `limit` selected trials behind `after`, or from the first on."""
    if selection.order in ("number", "-number"):
        number = None if after is None else after.number
        trials = _by_number(store, study_id, number, descending=selection.order == "-number")
    else:
        descending = selection.order == "-value"
        trials = _by_value(store, study_id, after, descending=descending)
    return list(islice(filter(selection.has, trials), limit))


def best_of(store: Store, study_id: int, n: int | None) -> list[FrozenTrial]:
    """The best `n` feasible complete trials (1 unless given), or of the Pareto front (whole unless given)."""
    directions = store.get_study_directions(study_id)
    if len(directions) > 1:
        return store.best_trials(study_id)[:n]
    descending = directions[0].name == "MAXIMIZE"
    feasible = (
        trial
        for trial in _complete_by_value(store, study_id, None, descending=descending)
        if all(value <= 0 for value in trial.constraints.values())
    )
    return list(islice(feasible, 1 if n is None else n))


def _by_number(
    store: Store, study_id: int, after: int | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    if not descending:
        start = 0 if after is None else after + 1
        while chunk := store.trials_from(study_id, start, CHUNK):
            yield from chunk
            start += len(chunk)
        return
    end = store.n_trials(study_id) if after is None else after
    while end > 0:
        start = max(0, end - CHUNK)
        yield from reversed(store.trials_from(study_id, start, end - start))
        end = start


def _by_value(
    store: Store, study_id: int, after: Place | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    if after is None or not after.by_number:
        last = None if after is None else store.trial(study_id, after.number)
        yield from _complete_by_value(store, study_id, last, descending=descending)
        after = None
    number = None if after is None else after.number
    for trial in _by_number(store, study_id, number, descending=False):
        if not _has_order(trial):
            yield trial


def _has_order(trial: FrozenTrial) -> bool:
    """Whether the trial has a value to be ordered by; NaN, which Optuna allows, is none."""
    return trial.state == TrialState.COMPLETE and trial.values[0] == trial.values[0]


def _complete_by_value(
    store: Store, study_id: int, after: FrozenTrial | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    while chunk := store.trials_by_value(study_id, descending=descending, after=after, limit=CHUNK):
        yield from chunk
        after = chunk[-1]
