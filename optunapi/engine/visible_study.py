"""What can be seen of one live study: itself, its trials, what they have shown."""

from collections.abc import Hashable
from typing import Any

from optuna.trial import TrialState

from optunapi.engine.fork import Origin, origin_of
from optunapi.engine.reports.importances import Importances
from optunapi.engine.reports.pages import Cursor, Selection, best_of, page_of
from optunapi.engine.reports.snapshot import Snapshot, snapshot_of
from optunapi.engine.spec.inferred import spec_of_history
from optunapi.engine.spec.read import StudySpec, incompatibilities
from optunapi.engine.state.feed import Feed
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.engine.values import Scoreboard, StudyView, TrialView
from optunapi.errors import ConfigInvalid, RequestInvalid, SpecConflict, StudyNotFound


class VisibleStudy:
    """A study to look at. Every method may be called from any thread.

    What a method returns is so in memory; it may be shown once its `Commit` is done.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._config_error: ConfigInvalid | SpecConflict | None = None
        self._importances = Importances()
        state.news.describe, state.news.status = self._view, self._status

    @property
    def name(self) -> str:
        """The study's name."""
        return self._state.name

    @property
    def spec(self) -> StudySpec:
        """The specification in force."""
        return self._state.spec

    @property
    def feed(self) -> Feed:
        """What happens in the study."""
        return self._state.news.feed

    def committed(self) -> Commit:
        """All that is visible now."""
        return self._state.store.committed()

    def reloads(self) -> int:
        """Rises when what was seen of the study may not be true any more: look again."""
        return self._state.reloads()

    def is_gone(self) -> bool:
        """Whether the study was deleted."""
        try:
            self._state.reloads()
        except StudyNotFound:
            return True
        return False

    def idle_for(self) -> float:
        """Seconds since the study was last changed; 0 while it watches a lease or a time-out."""
        return self._state.idle_for()

    def due_in(self) -> float | None:
        """Seconds until time alone may change what an ask gets, or None if it does not."""
        with self._state.unit():
            return self._state.due_in()

    def keep_events(self) -> None:
        """Keep every change in the study's feed from now on."""
        with self._state.unit():
            self._state.news.follow()

    def view(self) -> tuple[StudyView, Commit]:
        """The study as it is now."""
        state = self._state
        with state.settled_unit() as unit:
            view = self._view()
        return view, unit.commit

    def _view(self) -> StudyView:
        state = self._state
        # A paused study is not finished, whatever its limits say: an ask would hear of the pause.
        paused = state.record.state == "paused"
        reason = None if paused else state.finished_reason()
        return StudyView(
            name=state.name,
            spec=state.spec,
            state="finished" if reason else "paused" if paused else "open",
            finished_reason=reason,
            limits=state.limits,
            lease_seconds=state.lease_seconds,
            counts=dict(state.store.counts(state.id)),
            best=next(iter(state.store.best_trials(state.id)), None),
            config_error=None if self._config_error is None else self._config_error.detail,
            user_attrs=dict(state.store.get_study_user_attrs(state.id)),
            created_at=state.record.created_at,
            last_activity_at=state.last_activity_at,
        )

    def _status(self) -> Hashable:
        paused = self._state.record.state == "paused"
        error = None if self._config_error is None else self._config_error.detail
        return paused, None if paused else self._state.finished_reason(), error

    def scoreboard(self) -> tuple[Scoreboard, Commit]:
        """How the study stands."""
        state = self._state
        with state.unit() as unit:
            board = Scoreboard(
                counts=dict(state.store.counts(state.id)),
                best=tuple(state.store.best_trials(state.id)),
            )
        return board, unit.commit

    def trial(self, number: int) -> tuple[TrialView, Commit]:
        """One trial.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        state = self._state
        with state.settled_unit() as unit:
            view = state.view(state.trial(number))
        return view, unit.commit

    def trials(
        self, selection: Selection, *, after: Cursor | None, limit: int
    ) -> tuple[list[TrialView], Commit]:
        """A page of trials, behind `after` if given.

        Raises:
            RequestInvalid: an order by value where there are several objectives, or no such `after`.
        """
        state = self._state
        if "value" in selection.order and len(state.spec.objectives) > 1:
            raise _off("order", "trials with several objectives have no order by value")
        with state.settled_unit() as unit:
            if after is not None and not 0 <= after.number < state.store.n_trials(state.id):
                raise _off("page", "this page is of another study: begin without `page`")
            found = page_of(state.store, state.id, selection, after, limit)
            views = [state.view(trial) for trial in found]
        return views, unit.commit

    def best(self, n: int | None) -> tuple[list[TrialView], Commit]:
        """The best `n` trials (1 unless given); with several objectives of the Pareto front (whole)."""
        state = self._state
        with state.unit() as unit:
            views = [state.view(trial) for trial in best_of(state.store, state.id, n)]
        return views, unit.commit

    def snapshot(self) -> tuple[Snapshot, Commit]:
        """All of the study at this moment."""
        state = self._state
        with state.settled_unit() as unit:
            found = snapshot_of(state)
        return found, unit.commit

    def importances(self, objective: str | None) -> tuple[dict[str, float], Commit]:
        """Each parameter's share in an objective, the first unless named; see `importances_of`.

        Raises:
            RequestInvalid: the study has no such objective.
        """
        state = self._state
        with state.unit() as unit:
            names = [each.name for each in state.spec.objectives]
            if objective is not None and objective not in names:
                raise _off("objective", f"the study's objectives are {', '.join(names)}")
            place = 0 if objective is None else names.index(objective)
            direction = state.spec.directions[place]
            version = (state.reloads(), state.store.counts(state.id)[TrialState.COMPLETE])
            trials = state.store.get_all_trials(state.id, deepcopy=False)
        return self._importances.of(trials, place, direction, version), unit.commit

    def origin(self) -> tuple[Origin, Commit]:
        """What a fork of the study begins with."""
        with self._state.unit() as unit:
            origin = origin_of(self._state)
        return origin, unit.commit

    def conflicts(self, spec: StudySpec) -> list[dict[str, Any]]:
        """What the study's trials, and the specification in force, cannot share with `spec`."""
        store, study_id = self._state.store, self._state.id
        names = [objective.name for objective in self.spec.objectives]
        trials = store.get_all_trials(study_id, deepcopy=False)
        history = spec_of_history(store.get_study_directions(study_id), trials, names)
        found = incompatibilities(self.spec, spec)
        known = {conflict["key"] for conflict in found}
        return found + [c for c in incompatibilities(history, spec) if c["key"] not in known]


def _off(parameter: str, reason: str) -> RequestInvalid:
    return RequestInvalid(reason, errors=[{"location": ["query", parameter], "reason": reason}])
