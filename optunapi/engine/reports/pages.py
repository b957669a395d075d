"""Trials page by page, in the order of their numbers or of their values.

A page starts after the last trial of the page before, so trials that are added in between cause neither
repetitions nor gaps. In the order of values, complete trials come first; the others follow by number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.best import CHUNK, complete_by_value
from optunapi.engine.store import Store
from optunapi.errors import RequestInvalid

Order = Literal["number", "-number", "value", "-value"]

OPEN = frozenset({TrialState.WAITING, TrialState.RUNNING})


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which trials are listed, and in which order. A worker that is None selects those of all."""

    states: frozenset[TrialState] = frozenset(TrialState)
    worker: str | None = None
    order: Order = "number"

    def has(self, trial: FrozenTrial) -> bool:
        """Whether the trial passes the filters."""
        return trial.state in self.states and (
            self.worker is None or TrialRecord.of(trial).worker == self.worker
        )


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a page ended: at the trial of this number.

    `by_number` says that this trial was among those without a value. It may have completed since, and
    its value must not be used then: trials that were shown before would be shown again.
    """

    number: int
    by_number: bool

    @classmethod
    def of(cls, trial: FrozenTrial) -> "Cursor":
        """The end of a page whose last trial is this one."""
        return cls(number=trial.number, by_number=not _has_order(trial))


def check_page(selection: Selection, after: Cursor | None, spec: StudySpec, n_trials: int) -> None:
    """Refuse a page that a study of this specification and number of trials cannot have.

    Raises:
        RequestInvalid: an order by value with several objectives, or no such `after`.
    """
    if "value" in selection.order and len(spec.objectives) > 1:
        names = ", ".join(objective.name for objective in spec.objectives)
        raise _invalid(
            "order",
            f"{selection.order!r} is for studies with one objective, and this one has {names}: order by "
            "number or -number",
        )
    if after is not None and not 0 <= after.number < n_trials:
        raise _invalid("page", "this page is of another study: begin without `page`")


def _invalid(parameter: str, reason: str) -> RequestInvalid:
    return RequestInvalid(reason, errors=[{"location": ["query", parameter], "reason": reason}])


def page_of(
    store: Store, study_id: int, selection: Selection, after: Cursor | None, limit: int
) -> list[FrozenTrial]:
    """At most `limit` selected trials after the cursor, or from the first on."""
    if selection.order in ("number", "-number"):
        number = None if after is None else after.number
        descending = selection.order == "-number"
        # The store knows its open trials: a long history is not searched for them.
        by_number = _open_by_number if selection.states <= OPEN else _by_number
        trials = by_number(store, study_id, number, descending=descending)
    else:
        descending = selection.order == "-value"
        trials = _by_value(store, study_id, after, descending=descending)
    return list(islice(filter(selection.has, trials), limit))


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


def _open_by_number(
    store: Store, study_id: int, after: int | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    trials = store.open_trials(study_id)
    for trial in reversed(trials) if descending else trials:
        if after is None or (trial.number < after if descending else trial.number > after):
            yield trial


def _by_value(
    store: Store, study_id: int, after: Cursor | None, *, descending: bool
) -> Iterator[FrozenTrial]:
    if after is None or not after.by_number:
        last = None if after is None else store.trial(study_id, after.number)
        yield from complete_by_value(store, study_id, last, descending=descending)
        after = None
    number = None if after is None else after.number
    for trial in _by_number(store, study_id, number, descending=False):
        if not _has_order(trial):
            yield trial


def _has_order(trial: FrozenTrial) -> bool:
    """Whether the trial has a value to sort by. Optuna allows NaN, which has no order."""
    return trial.state == TrialState.COMPLETE and trial.values[0] == trial.values[0]
