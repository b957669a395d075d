"""The queue: points that somebody wants to be tried, handed out once each, first in, first out."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import CANCELLED, stop_reason
from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.points import checked_point, of_item
from optunapi.engine.spec.read import StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import FIXED, waiting_trial
from optunapi.engine.store import Commit
from optunapi.engine.trials.idempotency import remember, trials_of_key
from optunapi.engine.values import TrialView
from optunapi.errors import StudyFinished, TrialFinished, TrialNotFound, ValueInvalid

MAX_POINTS = 10_000

Mark = Hashable


@dataclass(frozen=True, kw_only=True)
class QueuedPoint:
    """Parameters to be tried; those left out are sampled when the point is handed out.

    With `skip_if_exists` a trial that has, or waits for, the same parameters stands for it.
    """

    params: Mapping[str, Any]
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    skip_if_exists: bool = False


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[QueuedPoint]:
    """Every combination of the values of a grid, the last parameter's changing fastest.

    Raises:
        ValueInvalid: there are none, or too many.
    """
    count = prod(len(values) for values in grid.values())
    if not grid or not 0 < count <= MAX_POINTS:
        raise ValueInvalid(f"the grid has {count} points, 1 to {MAX_POINTS} are taken at once")
    return [
        QueuedPoint(params=dict(zip(grid, values, strict=True)))
        for values in product(*grid.values())
    ]


def check_first(spec: StudySpec, points: Sequence[QueuedPoint]) -> None:
    """Refuse points that a new study of `spec` would refuse.

    Raises:
        ValueInvalid, StudyFinished: as `Queue.add`.
    """
    marks = [_mark(params) for params in _fitted(spec, points)]
    count = sum(_is_new(points, marks, {_mark(point) for point in spec.enqueue}))
    _check_places(len(spec.enqueue), count, spec.limits.max_trials)


class Queue:
    """The waiting trials of one study. Every method may be called from any thread."""

    def __init__(self, state: StudyState) -> None:
        self._state = state

    def add(
        self, points: Sequence[QueuedPoint], *, key: str | None, digest: str
    ) -> tuple[list[TrialView], Commit]:
        """Queue all of the points, or none; return a trial for each.

        Raises:
            ValueInvalid: a point is not of the space.
            StudyFinished: there is no place for all of them, or nothing is handed out any more.
            KeyReused: the key came before with another request.
        """
        state = self._state
        with state.unit() as unit:
            found = trials_of_key(state, key, digest)
            if not found:
                found = self._add_all(points)
                if key is not None:
                    found = remember(state, found, key, digest)
            views = [state.view(trial) for trial in found]
        return views, unit.commit

    def remove(self, number: int) -> Commit:
        """Take a trial out of the queue: it fails, reason `cancelled`. Doing so again is harmless.

        Raises:
            TrialNotFound: the queue has no such trial.
            TrialFinished: it was handed out and has a result.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            record = TrialRecord.of(trial)
            if trial.state == TrialState.WAITING:
                state.fail(trial, record, CANCELLED)
            elif trial.state == TrialState.RUNNING:
                raise TrialNotFound(f"trial {number} is not in the queue: it was handed out")
            elif record.fail_reason != CANCELLED:
                raise TrialFinished(
                    f"trial {number} is not in the queue: it is finished", trial=state.view(trial)
                )
        return unit.commit

    def clear(self) -> Commit:
        """Take every trial out of the queue."""
        state = self._state
        with state.unit() as unit:
            waiting = [
                trial
                for trial in state.store.open_trials(state.id)
                if trial.state == TrialState.WAITING
            ]
            for trial in waiting:
                state.fail(trial, TrialRecord.of(trial), CANCELLED)
        return unit.commit

    def _add_all(self, points: Sequence[QueuedPoint]) -> list[FrozenTrial]:
        fitted = _fitted(self._state.spec, points)
        known = self._known() if any(point.skip_if_exists for point in points) else {}
        marks = [_mark(params) for params in fitted]
        is_new = _is_new(points, marks, known)
        # Before anything is changed: a unit that fails must derive all that it knew of the study anew.
        self._check_room(sum(is_new))
        found = []
        for point, params, mark, new in zip(points, fitted, marks, is_new, strict=True):
            trial = self._add(point, params) if new else known[mark]
            known.setdefault(mark, trial)
            found.append(trial)
        return found

    def _add(self, point: QueuedPoint, params: Mapping[str, Any]) -> FrozenTrial:
        template, record = waiting_trial(params, self._state.spec, self._state.clock())
        template.user_attrs = dict(point.user_attrs)
        return self._state.add(template, record)

    def _check_room(self, count: int) -> None:
        state = self._state
        usage = state.usage()
        if count and (reason := stop_reason(state.limits, usage, state.clock())):
            raise StudyFinished(f"the study is finished: {reason}", finished_reason=reason)
        taken = usage.waiting + usage.running + usage.complete + usage.pruned
        _check_places(taken, count, state.limits.max_trials)

    def _known(self) -> dict[Mark, FrozenTrial]:
        """Every trial by the parameters it has or waits for; of equal ones the first.

        One that was cancelled is left out: it was never tried and never will be.
        """
        known: dict[Mark, FrozenTrial] = {}
        for trial in self._state.store.get_all_trials(self._state.id, deepcopy=False):
            if TrialRecord.of(trial).fail_reason != CANCELLED:
                known.setdefault(_mark(trial.system_attrs.get(FIXED, trial.params)), trial)
        return known


def _fitted(spec: StudySpec, points: Sequence[QueuedPoint]) -> list[dict[str, Any]]:
    """The points' parameters as the space holds them; an error names the point if there are several."""
    if len(points) > MAX_POINTS:
        raise ValueInvalid(f"{len(points)} points are given, {MAX_POINTS} are taken at once")
    found = []
    for place, point in enumerate(points):
        try:
            found.append(checked_point(spec, point.params))
        except ValueInvalid as error:
            raise error if len(points) == 1 else of_item(place, error) from None
    return found


def _is_new(
    points: Sequence[QueuedPoint], marks: Sequence[Mark], known: Iterable[Mark]
) -> list[bool]:
    """For each point whether it makes a trial: one that is known, or of a point before, may stand for it."""
    seen = set(known)
    found = []
    for point, mark in zip(points, marks, strict=True):
        found.append(not (point.skip_if_exists and mark in seen))
        seen.add(mark)
    return found


def _check_places(taken: int, count: int, limit: int | None) -> None:
    if limit is not None and count and taken + count > limit:
        raise StudyFinished(
            f"{count} more trial(s) would exceed max_trials: {taken} of {limit} places are taken",
            finished_reason="max_trials",
        )


def _mark(params: Mapping[str, Any]) -> Mark:
    """Equal for equal parameters: 1 and 1.0 are, 1 and true are not."""
    return frozenset(
        # Optuna takes lists as choices, too.
        (name, type(value) is bool, value if isinstance(value, Hashable) else repr(value))
        for name, value in params.items()
    )
