"""One live study: trials are asked for, and told back, by many callers at once."""

from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import CANCELLED, Result, check_lease
from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.read import StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.engine.trials.artifacts import Artifacts, Removed
from optunapi.engine.trials.batch import BatchAsking
from optunapi.engine.trials.imports import ImportedTrial, import_trials
from optunapi.engine.trials.queue import Queue
from optunapi.engine.trials.suggest import Suggesting
from optunapi.engine.trials.tell import tell
from optunapi.engine.values import Answer, AskRequest, StudyChange, TrialView
from optunapi.engine.visible_study import VisibleStudy
from optunapi.errors import (
    BadRequest,
    ConfigInvalid,
    Conflict,
    NotFound,
    OptunAPIError,
    SpecConflict,
    StudyBusy,
    TrialFinished,
    TrialWaiting,
)


class Study(VisibleStudy):
    """A study that is being served. Every method may be called from any thread.

    What a method returns has happened in memory; it may be shown once its `Commit` is done.
    """

    def __init__(self, state: StudyState) -> None:
        super().__init__(state)
        self._asking = BatchAsking(state)
        self._suggesting = Suggesting(state, self._asking, self._held)
        self.artifacts = Artifacts(state)
        self.queue = Queue(state)
        self.orphaned = Removed()
        # After the latest tell: whether the next ask's point can be drawn before it comes. To be read
        # without a lock: who reads it too late draws in vain.
        self.is_awaiting_ask = False

    def try_exclusive(self) -> AbstractContextManager[bool]:
        """Whether what does not sample can be done here without waiting for anything.

        If so everybody else waits until the block ends.
        """
        return self._state.try_exclusive()

    def one_commit(self) -> AbstractContextManager[None]:
        """A block in which what this thread does shares one commit; nobody may wait for it inside."""
        return self._state.store.one_commit()

    def settle(self) -> None:
        """Let happen what time alone brings about: time-outs, and leases that ran out for good."""
        with self._state.unit():
            self._state.settle()

    @property
    def asks_are_quick(self) -> bool:
        """Whether an ask takes no longer than a few trials' sampling in Rust."""
        return self._asking.is_quick

    def prepare(self) -> None:
        """Draw for the next ask ahead, if that can be done."""
        self._asking.prepare()

    def ask(self, request: AskRequest) -> tuple[TrialView, Commit]:
        """Hand out a trial; see `Asking.ask`."""
        return self._asking.ask(request)

    def ask_many(self, request: AskRequest, count: int) -> tuple[list[TrialView], Commit]:
        """Hand out several trials; see `BatchAsking.ask_many`."""
        return self._asking.ask_many(request, count)

    def import_trials(
        self, items: Sequence[ImportedTrial], *, key: str | None, digest: str
    ) -> tuple[int, Commit]:
        """Take in finished trials; see `import_trials`."""
        return import_trials(self._state, items, key=key, digest=digest)

    def tell(self, number: int, result: Result) -> tuple[TrialView, Commit]:
        """Close a trial with its result. The first one wins; repeating it is harmless.

        Raises:
            TrialNotFound: the study has no such trial.
            ValueInvalid: the values do not fit the objectives; the trial stays open.
            TrialFinished: it is closed with another result, which is in `trial`.
            TrialWaiting: it was never handed out.
            LeaseLost: a `fail` or `pruned` from a worker that does not hold it any more.
        """
        with self._state.unit() as unit:
            view = tell(self._state, number, result)
            self.is_awaiting_ask = self._asking.may_prepare
        return view, unit.commit

    def tell_many(
        self, results: Sequence[tuple[int, Result]]
    ) -> tuple[list[TrialView | OptunAPIError], Commit]:
        """Close trials, each by its number, in one commit: what `tell` would return or raise for each."""
        outcomes: list[TrialView | OptunAPIError] = []
        with self._state.unit() as unit:
            for number, result in results:
                try:
                    outcomes.append(tell(self._state, number, result))
                except (BadRequest, NotFound, Conflict) as error:  # raised before anything changes
                    outcomes.append(error)
        return outcomes, unit.commit

    def report(
        self, number: int, step: int, value: float, lease: str | None
    ) -> tuple[Answer, Commit]:
        """Keep an intermediate value, renew the lease, and say whether to go on.

        The same step twice keeps the first value; where it was to be pruned, the answer is the same.

        Raises:
            TrialNotFound, TrialFinished, TrialWaiting, LeaseLost: as `tell` of a failure.
        """
        state = self._state
        with state.settled_unit(expiries=False) as unit:
            trial, record = self._held(number, lease)
            if step not in trial.intermediate_values:
                trial = state.update(trial, intermediate_values={step: value})
            state.renew(trial, record)
            answer = Answer(
                should_prune=self._should_prune(trial, record, step),
                stop_requested=record.stop_requested,
                lease=state.leases.get(number),
            )
        return answer, unit.commit

    def _should_prune(self, trial: FrozenTrial, record: TrialRecord, step: int) -> bool:
        """What the pruner says after a report of `step`; once it was to end the trial there, that stays.

        A rung lets each trial compete once: asked again, because the answer was lost on its way, the
        pruner would let the trial go on.
        """
        if record.prune_at == step:
            return True
        decision = self._state.pruning.decide(trial)
        kept = record.with_(prune_at=step) if decision.prune else None
        if kept is not None or decision.notes:
            self._state.update(trial, kept, system_attrs=dict(decision.notes))
        return decision.prune

    def renew(self, number: int, lease: str, seconds: float | None) -> tuple[Answer, Commit]:
        """Give a lease a new term, of `seconds` if given.

        Raises:
            TrialNotFound, TrialFinished, TrialWaiting, LeaseLost: as `tell` of a failure.
        """
        state = self._state
        with state.settled_unit(expiries=False) as unit:
            trial, record = self._held(number, lease)
            state.renew(trial, record, seconds)
            answer = Answer(
                should_prune=False,
                stop_requested=record.stop_requested,
                lease=state.leases.get(number),
            )
        return answer, unit.commit

    def release(self, number: int, lease: str | None) -> tuple[TrialView, Commit]:
        """Give a trial back, to be handed out again.

        Raises:
            TrialNotFound, TrialFinished, TrialWaiting, LeaseLost: as `tell` of a failure.
        """
        state = self._state
        with state.unit() as unit:
            trial, record = self._held(number, lease)
            view = state.view(state.put_back(trial, record))
        return view, unit.commit

    def give_back(self, views: Sequence[TrialView]) -> Commit:
        """Let trials wait again whose worker has gone before it heard of them; none that moved on."""
        state = self._state
        with state.unit() as unit:
            for view in views:
                trial = state.trial(view.trial.number)
                record, known = TrialRecord.of(trial), TrialRecord.of(view.trial)
                same_attempt = (record.attempt, record.lease) == (known.attempt, known.lease)
                if trial.state == TrialState.RUNNING and same_attempt:
                    state.put_back(trial, record)
        return unit.commit

    def suggest(
        self, number: int, name: str, distribution: BaseDistribution, lease: str | None
    ) -> tuple[Any, Commit]:
        """A running trial's value of a further parameter; see `Suggesting.suggest`."""
        return self._suggesting.suggest(number, name, distribution, lease)

    def stop(self, number: int) -> tuple[TrialView, Commit]:
        """Ask a trial's worker to end it.

        Raises:
            TrialNotFound: the study has no such trial.
            TrialFinished: it is closed.
            TrialWaiting: nobody works on it.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            if trial.state == TrialState.WAITING:
                raise TrialWaiting(f"trial {number} is queued: nobody works on it that could stop")
            self._check_open(trial)
            view = state.view(state.request_stop(trial, TrialRecord.of(trial)))
        return view, unit.commit

    def cancel(self, states: Container[TrialState]) -> tuple[int, Commit]:
        """Fail every open trial in one of these states, reason `cancelled`; return how many."""
        state = self._state
        with state.unit() as unit:
            chosen = [t for t in state.store.open_trials(state.id) if t.state in states]
            for trial in chosen:
                state.fail(trial, TrialRecord.of(trial), CANCELLED)
        return len(chosen), unit.commit

    def set_user_attrs(
        self, number: int, user_attrs: Mapping[str, Any]
    ) -> tuple[TrialView, Commit]:
        """Set attributes of an open trial.

        Raises:
            TrialNotFound: the study has no such trial.
            TrialFinished: it is closed, and closed trials do not change.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            self._check_open(trial)
            view = state.view(state.update(trial, user_attrs=user_attrs))
        return view, unit.commit

    def change(self, change: StudyChange) -> Commit:
        """Change the study by hand; to finish it asks every running trial to stop."""
        state = self._state
        with state.unit() as unit:
            if change.state is not None:
                stored = {"open": None, "paused": "paused", "finished": "stopped"}[change.state]
                state.set_record(state=stored)
            if change.state == "finished":
                for trial in state.running():
                    state.request_stop(trial, TrialRecord.of(trial))
            if change.limits:
                state.set_limits(change.limits)
            if change.lease_seconds != "unchanged":
                state.set_record(lease_seconds=[change.lease_seconds])
            for key, value in change.user_attrs.items():
                state.store.set_study_user_attr(state.id, key, value)
            state.news.study()
        return unit.commit

    def delete(self, *, force: bool) -> Commit:
        """Remove the study and all its trials; their artifacts are in `orphaned` then.

        Raises:
            StudyBusy: trials are running, and `force` is not set.
        """
        state = self._state
        with state.unit() as unit:
            running = len(state.running())
            if running and not force:
                raise StudyBusy(
                    f"{running} trial(s) are running: cancel them, or delete with force=true"
                )
            self.orphaned = self.artifacts.all()
            state.store.delete_study(state.id)
            state.news.deleted()
        return unit.commit

    def _held(self, number: int, lease: str | None) -> tuple[FrozenTrial, TrialRecord]:
        """An open trial that this lease holds, with its record."""
        trial = self._state.trial(number)
        record = TrialRecord.of(trial)
        self._check_open(trial)
        check_lease(trial, record, lease)
        return trial, record

    def _check_open(self, trial: FrozenTrial) -> None:
        if trial.state.is_finished():
            raise TrialFinished(
                f"trial {trial.number} is finished ({trial.state.name.lower()})",
                trial=self._state.view(trial),
            )

    def hold_spec(self, error: ConfigInvalid | SpecConflict) -> None:
        """Keep to the specification in force, since the configuration has become unusable.

        A broken file leaves the study as it was; one that conflicts with the history stops asks,
        because whoever changed it expects other trials than the study would make.
        """
        self._config_error = error
        self._asking.conflict = error if isinstance(error, SpecConflict) else None

    def follow(self, spec: StudySpec) -> None:
        """Go by another specification, which the history can live with, from the next ask on."""
        self._config_error = self._asking.conflict = None
        if spec != self.spec:
            self._asking.follow(spec)
