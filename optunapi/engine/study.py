"""One open study: every operation on it. The work is done in `trials/`, `reports/` and `state/`."""

from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from optunapi.engine.fork import Origin, origin_of
from optunapi.engine.lifecycle import Result
from optunapi.engine.records import TrialRecord
from optunapi.engine.reports.importances import Importances, place_of
from optunapi.engine.reports.pages import Cursor, Selection, check_page, page_of
from optunapi.engine.reports.snapshot import Snapshot, snapshot_of
from optunapi.engine.space import Parameter
from optunapi.engine.spec.diff import incompatibilities
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state import transitions
from optunapi.engine.state.best import best_of
from optunapi.engine.state.deadlines import Deadlines
from optunapi.engine.state.feed import Feed
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.engine.trials.artifacts import Artifacts, Removed
from optunapi.engine.trials.ask import Asking
from optunapi.engine.trials.held import HeldTrials
from optunapi.engine.trials.imports import Item, import_trials
from optunapi.engine.trials.queue import Queue
from optunapi.engine.trials.sample import Sampling
from optunapi.engine.trials.suggest import Suggesting
from optunapi.engine.trials.tell import tell, tell_each
from optunapi.engine.values import (
    Answer,
    AskRequest,
    Scoreboard,
    SpecView,
    StudyChange,
    StudyView,
    Told,
    TrialView,
)
from optunapi.errors import (
    ConfigInvalid,
    OptunAPIError,
    SpecConflict,
    StorageClosed,
    StudyBusy,
    StudyNotFound,
    in_one_line,
)
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import ConfigConflict, ConfigFits, StudyChanged


class Study:
    """An open study. Every method may be called from any thread.

    Methods return a value and the `Commit` that it rests on: wait for the commit before the value is shown.
    A method raises what the function that it calls raises; see `optunapi.engine.trials`.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._sampling = Sampling(state)
        self._asking = Asking(state, self._sampling)
        self._suggesting = Suggesting(state, self._sampling)
        self._held = HeldTrials(state)
        self._importances = Importances()
        self.queue = Queue(state)
        self.artifacts = Artifacts(state)
        # After the latest tell: whether the next ask's point can be drawn ahead. It is read without a
        # lock: a reader that is too late only draws a point that is not used.
        self.is_awaiting_ask = False

    # Units and commits

    def try_exclusive(self) -> AbstractContextManager[bool]:
        """Whether this thread can do anything but sample without waiting; if so, other threads wait."""
        return self._state.try_exclusive()

    def one_commit(self) -> AbstractContextManager[None]:
        """A block whose changes, made by this thread, share one commit; do not wait for it inside."""
        return self._state.store.one_commit()

    def committed(self) -> Commit:
        """The commit of everything that is visible now."""
        return self._state.store.committed()

    def reloads(self) -> int:
        """A number that rises when the study was read again: what was seen before may be outdated."""
        return self._state.reloads()

    def is_gone(self) -> bool:
        """Whether the study was deleted, or its database was closed: look it up again."""
        try:
            self._state.reloads()
        except (StudyNotFound, StorageClosed):
            return True
        return False

    # Time

    def apply_deadlines(self) -> None:
        """Apply the leases and time-outs that are due, and notify listeners of what that changes."""
        with self._state.unit():
            transitions.apply_deadlines(self._state)
            self._state.check_finished()

    def due_in(self) -> float | None:
        """Seconds until time alone may change what an ask gets, or None if it does not."""
        with self._state.unit():
            return self._state.due_in()

    def idle_for(self) -> float:
        """Seconds since the last change; 0 while there is a lease, a time-out or a listener."""
        return self._state.idle_for()

    @property
    def last_use(self) -> float:
        """When it was opened or changed last, as a moment of the clock."""
        return self._state.last_use

    def rest(self) -> tuple[Deadlines, float | None]:
        """The leases and time-outs of its trials, for when it is opened again, and when the first is due."""
        with self._state.unit():
            return self._state.deadlines, self._state.deadlines.next()

    # The life of a trial

    def ask(self, request: AskRequest) -> tuple[TrialView, Commit]:
        """Hand out a trial; see `Asking.ask`."""
        views, commit = self._asking.ask(request, 1)
        return views[0], commit

    def ask_many(self, request: AskRequest, count: int) -> tuple[list[TrialView], Commit]:
        """Hand out at most `count` trials; see `Asking.ask`."""
        return self._asking.ask(request, count)

    @property
    def asks_are_quick(self) -> bool:
        """Whether an ask takes no longer than a few trials' sampling in Rust."""
        return self._sampling.is_quick

    def prepare(self) -> None:
        """Draw the next ask's point ahead, if that can be done."""
        self._sampling.prepare()

    def suggest(
        self, number: int, name: str, distribution: BaseDistribution, lease: str | None
    ) -> tuple[Any, Commit]:
        """A value for a further parameter of a running trial; see `Suggesting.suggest`."""
        return self._suggesting.suggest(number, name, distribution, lease)

    def report(
        self, number: int, step: int, value: float, lease: str | None
    ) -> tuple[Answer, Commit]:
        """Store an intermediate value and say whether to go on; see `HeldTrials.report`."""
        return self._held.report(number, step, value, lease)

    def renew(self, number: int, lease: str, seconds: float | None) -> tuple[Answer, Commit]:
        """Start a new term of a lease; see `HeldTrials.renew`."""
        return self._held.renew(number, lease, seconds)

    def release(self, number: int, lease: str | None) -> tuple[TrialView, Commit]:
        """Put a trial back, to be handed out again; see `HeldTrials.release`."""
        return self._held.release(number, lease)

    def give_back(self, views: Sequence[TrialView]) -> Commit:
        """Put back trials whose worker left before it got the reply; see `HeldTrials.give_back`."""
        return self._held.give_back(views)

    def tell(self, number: int, result: Result) -> tuple[Told, Commit]:
        """Close a trial with its result; see `trials.tell.tell`."""
        with self._state.unit() as unit:
            told = tell(self._state, number, result)
            self.is_awaiting_ask = self._sampling.may_prepare
        return told, unit.commit

    def tell_many(
        self, results: Sequence[tuple[int, Result]]
    ) -> tuple[list[Told | OptunAPIError], Commit]:
        """Close trials in one commit; for each, what `tell` returns or raises."""
        with self._state.unit() as unit:
            outcomes = tell_each(self._state, results)
        return outcomes, unit.commit

    def stop(self, number: int) -> tuple[TrialView, Commit]:
        """Ask a trial's worker to end it; see `HeldTrials.stop`."""
        return self._held.stop(number)

    def cancel(self, number: int) -> tuple[TrialView, Commit]:
        """Fail an open trial by hand; see `HeldTrials.cancel`."""
        return self._held.cancel(number)

    def cancel_all(
        self, states: Container[TrialState], worker: str | None = None
    ) -> tuple[int, Commit]:
        """Fail every open trial in one of these states; see `HeldTrials.cancel_all`."""
        return self._held.cancel_all(states, worker)

    def set_user_attrs(
        self, number: int, user_attrs: Mapping[str, Any]
    ) -> tuple[TrialView, Commit]:
        """Set attributes of a trial; see `HeldTrials.set_user_attrs`."""
        return self._held.set_user_attrs(number, user_attrs)

    def import_trials(
        self, items: Sequence[Item], *, key: str | None, digest: str
    ) -> tuple[int, Commit]:
        """Add trials from elsewhere; see `trials.imports.import_trials`."""
        return import_trials(self._state, items, key=key, digest=digest)

    # Looking at the study

    @property
    def name(self) -> str:
        """The study's name."""
        return self._state.name

    @property
    def uid(self) -> str:
        """What tells the study from every other one that had, or will have, its name."""
        return self._state.uid

    def check_uid(self, uid: str | None) -> None:
        """Refuse a request about another study of this name; see `StudyState.check_uid`."""
        self._state.check_uid(uid)

    @property
    def spec(self) -> StudySpec:
        """The specification in force."""
        return self._state.spec

    @property
    def configured_spec(self) -> StudySpec:
        """The specification in force, its objectives named as in the configuration."""
        return self._state.configured_spec

    def with_names_in_force(self, spec: StudySpec) -> StudySpec:
        """`spec`, its objectives renamed as those of the specification in force were, if it names them alike.

        The names that Optuna shows may be set at any time: a configuration need not follow.
        """
        alike = spec.names == self.configured_spec.names
        return spec.with_names(self.spec.names) if alike else spec

    def view(self) -> tuple[StudyView, Commit]:
        """The study as it is now."""
        with transitions.unit_after_deadlines(self._state) as unit:
            view = self._state.study_view()
        return view, unit.commit

    def scoreboard(self) -> tuple[Scoreboard, Commit]:
        """The number of trials in each state, and the best trials."""
        state = self._state
        with state.unit() as unit:
            board = Scoreboard(
                counts=dict(state.store.counts(state.id)),
                best=tuple(state.store.best_trials(state.id)),
            )
        return board, unit.commit

    def trial(self, number: int) -> tuple[TrialView, Commit]:
        """One trial; raises TrialNotFound."""
        state = self._state
        with transitions.unit_after_deadlines(state) as unit:
            view = state.view(state.trial(number))
        return view, unit.commit

    def trials(
        self, selection: Selection, *, after: Cursor | None, limit: int
    ) -> tuple[list[TrialView], Commit]:
        """A page of trials, behind `after` if given.

        Raises:
            RequestInvalid: an order by value with several objectives, or no such `after`.
        """
        state = self._state
        with transitions.unit_after_deadlines(state) as unit:
            check_page(selection, after, state.spec, state.store.n_trials(state.id))
            found = page_of(state.store, state.id, selection, after, limit)
            views = [state.view(trial) for trial in found]
        return views, unit.commit

    def best(self, n: int | None) -> tuple[list[TrialView], Commit]:
        """The best `n` trials (default 1); with several objectives, of the Pareto front (default all)."""
        state = self._state
        with state.unit() as unit:
            views = [state.view(trial) for trial in best_of(state.store, state.id, n)]
        return views, unit.commit

    def snapshot(self) -> tuple[Snapshot, Commit]:
        """All trials of the study as they are now."""
        with transitions.unit_after_deadlines(self._state) as unit:
            found = snapshot_of(self._state)
        return found, unit.commit

    def importances(self, objective: str | None) -> tuple[dict[str, float], Commit]:
        """Each parameter's importance for an objective, by default the first; see `importances_of`.

        Raises:
            RequestInvalid: the study has no such objective.
        """
        state = self._state
        with state.unit() as unit:
            place = place_of(objective, state.spec)
            direction = state.spec.directions[place]
            version = (state.reloads(), state.store.counts(state.id)[TrialState.COMPLETE])
            trials = state.store.get_all_trials(state.id, deepcopy=False)
        return self._importances.of(trials, place, direction, version), unit.commit

    def origin(self) -> tuple[Origin, Commit]:
        """What a fork of the study begins with."""
        with self._state.unit() as unit:
            origin = origin_of(self._state)
        return origin, unit.commit

    @property
    def feed(self) -> Feed:
        """The study's events."""
        return self._state.feed

    def keep_events(self) -> None:
        """Keep every change in the study's feed from now on."""
        with self._state.unit():
            self._state.keep_events()

    def note_created(self) -> None:
        """Show the new study to those who follow it, or all studies."""
        with self._state.unit():
            self._state.note_created()

    # Changing the study

    def change(self, change: StudyChange) -> Commit:
        """Change the study by hand. Finishing it asks every running trial to stop."""
        state = self._state
        with state.unit() as unit:
            if change.state is not None:
                stored = {"open": None, "paused": "paused", "finished": "stopped"}[change.state]
                state.set_record(state=stored)
            if change.state == "finished":
                for trial in state.running():
                    transitions.request_stop(state, trial, TrialRecord.of(trial))
            if change.metric_names is not None:
                state.set_metric_names(change.metric_names)
            if change.limits:
                state.set_limits(change.limits)
            for name in ("lease_seconds", "description"):
                if given := getattr(change, name):
                    state.set_record(**{name: list(given)})
            state.set_user_attrs(change.user_attrs)
            if settings := change.settings():
                state.note(StudyChanged, changed=settings)
        return unit.commit

    def delete(self, *, force: bool) -> tuple[Removed, Commit]:
        """Remove the study and all its trials; return the artifacts that they had.

        Raises:
            StudyBusy: trials are running, and `force` is False.
        """
        state = self._state
        with state.unit() as unit:
            running = len(state.running())
            if running and not force:
                raise StudyBusy(
                    f"{running} trial(s) are running: cancel them, or delete with force=true"
                )
            removed = self.artifacts.all()
            state.delete()
        return removed, unit.commit

    def conflicts(self, spec: StudySpec) -> list[dict[str, Any]]:
        """Where `spec` does not fit the study's trials or the specification in force."""
        store, study_id = self._state.store, self._state.id
        spec, present = self.with_names_in_force(spec), self.spec
        is_unnamed = not self._state.is_configured and self._state.metric_names is None
        if is_unnamed and len(spec.names) == len(present.names):
            present = present.with_names(spec.names)
        found = incompatibilities(present, spec)
        if not store.n_trials(study_id):  # its objectives alone are in the database
            return [conflict for conflict in found if conflict["key"] == "objectives"]
        known = {conflict["key"] for conflict in found}
        former = {p.name: store.distribution(study_id, p.name) for p in spec.parameters}
        history = StudySpec(
            objectives=present.objectives,
            parameters=tuple(
                Parameter(name=name, distribution=distribution)
                for name, distribution in former.items()
                if distribution is not None
            ),
        )
        return found + [c for c in incompatibilities(history, spec) if c["key"] not in known]

    def hold_spec(self, error: ConfigInvalid | SpecConflict) -> None:
        """Keep the specification in force, since the configuration has become unusable.

        A broken file leaves the study as it was. A configuration that conflicts with the study's trials
        stops asks: its author expects other trials than the study would make.
        """
        if isinstance(error, SpecConflict):
            self._asking.conflict, self._state.config_error = error, error.detail
            emit(ConfigConflict(study=self.name, reason=error.detail))
        else:
            self._asking.conflict = None
            self._state.config_error = in_one_line(error.extra["errors"])

    def follow(self, spec: StudySpec) -> None:
        """Put another specification in force from the next ask on.

        Raises:
            SpecConflict: the study's trials do not fit it; `diff` says where.
        """

        def check() -> None:
            if diff := self.conflicts(spec):
                raise SpecConflict(
                    f"this specification does not fit the study's trials: {in_one_line(diff)}. Keep that "
                    "as it is, or give the study a new name (`optunapi fork OLD NEW` copies the trials "
                    "that fit)",
                    diff=diff,
                )

        if self._state.is_configured and spec.names == self.spec.names:
            spec = spec.with_names(self.configured_spec.names)
        if spec != self.configured_spec:
            self._sampling.follow(spec, check)
        if self._asking.conflict is not None:
            emit(ConfigFits(study=self.name))
        self._state.config_error = self._asking.conflict = None

    def rule_by_file(self, has_file: bool) -> None:
        """Note whether the specification is that of a configuration file."""
        self._state.has_file = has_file

    def former_spec(self, version: str) -> StudySpec | None:
        """The specification of this version, if it is in force or once was."""
        return self._state.former_spec(version)

    def spec_view(self) -> tuple[SpecView, Commit]:
        """The specification in force, and those before it."""
        state = self._state
        with state.unit() as unit:
            view = SpecView(spec=state.spec, source=state.source, versions=state.versions())
        return view, unit.commit
