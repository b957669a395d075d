"""The queue of a study: points to try, each handed out once, in the order in which they were added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, TypeVar

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import CANCELLED
from optunapi.engine.limits import check_places, stop_reason, study_finished
from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import checked_point, of_item
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import FIXED, given_params
from optunapi.engine.store import Commit
from optunapi.engine.trials.equal_points import KnownPoints
from optunapi.engine.trials.idempotency import remember, trials_of_key
from optunapi.engine.values import TrialView
from optunapi.errors import StudyBusy, TrialFinished, TrialNotFound, TrialWaiting, ValueInvalid
from optunapi.telemetry.events import TrialsQueued

MAX_POINTS = 10_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class QueuedPoint:
    """Parameters to try; those left out are sampled when the point is handed out.

    With `skip_if_exists`, no trial is added if one has these parameters or waits with them. Numbers are
    compared as in Optuna, within a hundred-thousandth.
    """

    params: Mapping[str, Any]
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    skip_if_exists: bool = False


def grid_points(grid: Mapping[str, Sequence[Any]]) -> list[QueuedPoint]:
    """Every combination of the values of a grid, the last parameter's changing fastest.

    Raises:
        ValueInvalid: there is none, or there are more than MAX_POINTS.
    """
    count = prod(len(values) for values in grid.values())
    if not grid or not 0 < count <= MAX_POINTS:
        raise ValueInvalid(f"the grid has {count} points: give 1 to {MAX_POINTS} at once")
    return [
        QueuedPoint(params=dict(zip(grid, values, strict=True)))
        for values in product(*grid.values())
    ]


def check_first(spec: StudySpec, points: Sequence[QueuedPoint]) -> None:
    """Raise what `Queue.add` would raise in a new study of `spec`."""
    known: KnownPoints[bool] = KnownPoints()
    for point in spec.enqueue:
        known.add(point, True)
    sources = _sources(points, _fitted(spec, points), known)
    check_places(spec.limits, len(spec.enqueue), sources.count(None))


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
            StudyFinished: `max_trials` does not allow all of them, or nothing is handed out any more.
            KeyReused: the key came before with another request.
        """
        state = self._state
        with state.unit() as unit:
            found = trials_of_key(state, key, digest)
            if not found:
                found = remember(state, self._add_all(points), key, digest)
            views = [state.view(trial) for trial in found]
        return views, unit.commit

    def remove(self, number: int) -> Commit:
        """Take a trial out of the queue: it fails, reason `cancelled`. Repeating this changes nothing.

        Raises:
            TrialNotFound: the study has no such trial, or it was handed out.
            TrialFinished: it has a result.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            record = TrialRecord.of(trial)
            if trial.state == TrialState.WAITING:
                transitions.cancel(state, trial)
            elif trial.state == TrialState.RUNNING:
                raise TrialNotFound(f"trial {number} is not in the queue: it was handed out")
            elif record.fail_reason != CANCELLED:
                raise TrialFinished(
                    f"trial {number} is not in the queue: it is finished", trial=state.view(trial)
                )
        return unit.commit

    def retry(self, number: int, *, key: str | None, digest: str) -> tuple[TrialView, Commit]:
        """Queue the parameters of a failed trial again, as a new trial.

        Raises:
            TrialNotFound: the study has no such trial.
            TrialFinished: it is complete or pruned.
            StudyBusy, TrialWaiting: it is still running, or in the queue.
            ValueInvalid: its parameters are not of the space any more.
            StudyFinished: there is no place for it, or nothing is handed out any more.
            KeyReused: the key came before with another request.
        """
        state = self._state
        with state.unit() as unit:
            found = trials_of_key(state, key, digest)
            if not found:
                trial = state.trial(number)
                self._check_failed(trial)
                point = _retried(state.spec, trial)
                self._check_room(1)
                again = transitions.enqueue(state, point, failed=trial)
                self._note(1)
                found = remember(state, [again], key, digest)
            view = state.view(found[0])
        return view, unit.commit

    def _check_failed(self, trial: FrozenTrial) -> None:
        number = trial.number
        if trial.state == TrialState.WAITING:
            raise TrialWaiting(f"trial {number} is in the queue: it will be handed out")
        if trial.state == TrialState.RUNNING:
            raise StudyBusy(f"trial {number} is running: cancel it first, or let it end")
        if trial.state != TrialState.FAIL:
            raise TrialFinished(
                f"trial {number} is {trial.state.name.lower()}: only failed trials are tried again",
                trial=self._state.view(trial),
            )

    def clear(self) -> Commit:
        """Take every trial out of the queue."""
        state = self._state
        with state.unit() as unit:
            for trial in state.waiting():
                transitions.cancel(state, trial)
        return unit.commit

    def _add_all(self, points: Sequence[QueuedPoint]) -> list[FrozenTrial]:
        fitted = _fitted(self._state.spec, points)
        skips = any(point.skip_if_exists for point in points)
        known = self._known() if skips else KnownPoints[FrozenTrial]()
        sources = _sources(points, fitted, known)
        # Checked before the first change: if a unit fails after a change, all counts are rebuilt.
        self._check_room(sources.count(None))
        found: list[FrozenTrial] = []
        for point, params, source in zip(points, fitted, sources, strict=True):
            if source is None:
                trial = transitions.enqueue(self._state, params, point.user_attrs)
            else:
                trial = found[source] if isinstance(source, int) else source
            found.append(trial)
        self._note(sources.count(None))
        return found

    def _note(self, count: int) -> None:
        if count:
            self._state.note(TrialsQueued, trials=count)

    def _check_room(self, count: int) -> None:
        state = self._state
        usage = state.usage()
        if count and (reason := stop_reason(state.limits, usage)):
            raise study_finished(reason)
        check_places(state.limits, usage.places, count)

    def _known(self) -> KnownPoints[FrozenTrial]:
        """The trials by the parameters that they have or fix; cancelled trials are left out."""
        known: KnownPoints[FrozenTrial] = KnownPoints()
        for trial in self._state.store.get_all_trials(self._state.id, deepcopy=False):
            if TrialRecord.of(trial).fail_reason != CANCELLED:
                known.add(trial.system_attrs.get(FIXED, trial.params), trial)
        return known


def _retried(spec: StudySpec, trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial had, to be tried again.

    Those that the objective suggested beyond the configured ones are kept as they were.
    """
    params = given_params(trial)
    names = {parameter.name for parameter in spec.parameters}
    configured = {name: value for name, value in params.items() if name in names}
    return {**params, **checked_point(spec, configured)}


def _fitted(spec: StudySpec, points: Sequence[QueuedPoint]) -> list[dict[str, Any]]:
    """The points' parameters as the space holds them. Errors name the point if there are several."""
    if len(points) > MAX_POINTS:
        raise ValueInvalid(f"{len(points)} points are given: give at most {MAX_POINTS} at once")
    found = []
    for place, point in enumerate(points):
        try:
            found.append(checked_point(spec, point.params))
        except ValueInvalid as error:
            raise error if len(points) == 1 else of_item(place, error) from None
    return found


def _sources(
    points: Sequence[QueuedPoint], fitted: Sequence[Mapping[str, Any]], known: KnownPoints[T]
) -> list[T | int | None]:
    """For each point None if it makes a trial; else what is known of its parameters, or the index of
    the point before it that has them.
    """
    given: KnownPoints[int] = KnownPoints()
    found: list[T | int | None] = []
    for index, (point, params) in enumerate(zip(points, fitted, strict=True)):
        source: T | int | None = None
        if point.skip_if_exists:
            source = known.find(params)
            if source is None:
                source = given.find(params)
        if source is None:
            given.add(params, index)
        found.append(source)
    return found
