"""Changes of trials: of an open one by the worker that holds it, and by hand.

The methods for the worker that holds a trial raise, if it does not hold it:

    TrialNotFound   the study has no such trial
    TrialFinished   the trial is finished; `trial` is the stored one
    TrialWaiting    it was never handed out
    LeaseLost       it was handed on or given back, or the lease is another trial's
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import check_had_lease, check_lease
from optunapi.engine.records import TrialRecord
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.engine.values import Answer, TrialView
from optunapi.errors import TrialFinished, TrialWaiting
from optunapi.telemetry.events import TrialReported


def held_trial(
    state: StudyState, number: int, lease: str | None
) -> tuple[FrozenTrial, TrialRecord]:
    """The open trial that this lease holds, and its record. Call it inside a unit.

    Raises:
        TrialNotFound, TrialFinished, TrialWaiting, LeaseLost: see the module.
    """
    trial = state.trial(number)
    record = TrialRecord.of(trial)
    check_had_lease(trial, record, lease)
    _check_open(state, trial)
    check_lease(trial, record, lease)
    return trial, record


def _check_open(state: StudyState, trial: FrozenTrial) -> None:
    if trial.state.is_finished():
        raise TrialFinished(
            f"trial {trial.number} is finished ({trial.state.name.lower()})",
            trial=state.view(trial),
        )


class HeldTrials:
    """The open trials of one study. Every method may be called from any thread."""

    def __init__(self, state: StudyState) -> None:
        self._state = state

    # By the worker that holds the trial

    def report(
        self, number: int, step: int, value: float, lease: str | None
    ) -> tuple[Answer, Commit]:
        """Store an intermediate value, renew the lease, and say whether to go on.

        A step that is reported again keeps its first value and gets the same answer.
        """
        state = self._state
        with transitions.unit_after_deadlines(state, expiries=False) as unit:
            trial, record = held_trial(state, number, lease)
            if step not in trial.intermediate_values:
                trial = state.update(trial, intermediate_values={step: value})
                state.note_trial(TrialReported, trial, record, step=step, value=value)
            transitions.renew(state, trial, record)
            should_prune = self._should_prune(trial, record, step)
            answer = self._answer(number, record, should_prune=should_prune)
        return answer, unit.commit

    def _should_prune(self, trial: FrozenTrial, record: TrialRecord, step: int) -> bool:
        """The pruner's decision after a report of `step`; a decision to prune is kept.

        At a rung a trial competes only once. If the answer is lost and the report repeated, the pruner
        would let the trial go on: so its decision is kept.
        """
        if record.prune_at == step:
            return True
        decision = self._state.derived.pruning.decide(trial)
        kept = record.with_(prune_at=step) if decision.prune else None
        if kept is not None or decision.notes:
            self._state.update(trial, kept, system_attrs=dict(decision.notes))
        return decision.prune

    def renew(self, number: int, lease: str, seconds: float | None) -> tuple[Answer, Commit]:
        """Start a new term of the lease, of `seconds` if given."""
        state = self._state
        with transitions.unit_after_deadlines(state, expiries=False) as unit:
            trial, record = held_trial(state, number, lease)
            transitions.renew(state, trial, record, seconds)
            answer = self._answer(number, record)
        return answer, unit.commit

    def _answer(self, number: int, record: TrialRecord, *, should_prune: bool = False) -> Answer:
        return Answer(
            should_prune=should_prune,
            stop_requested=record.stop_requested,
            lease=self._state.deadlines.leases.get(number),
        )

    def release(self, number: int, lease: str | None) -> tuple[TrialView, Commit]:
        """Put the trial back, to be handed out again."""
        state = self._state
        with state.unit() as unit:
            view = state.view(transitions.put_back(state, *held_trial(state, number, lease)))
        return view, unit.commit

    def give_back(self, views: Sequence[TrialView]) -> Commit:
        """Put back trials whose worker left before it got the reply.

        A trial that was handed on since, or has ended, stays as it is.
        """
        state = self._state
        with state.unit() as unit:
            for view in views:
                if view.study_uid != state.uid:  # deleted and made again since
                    continue
                trial = state.trial(view.trial.number)
                record, known = TrialRecord.of(trial), TrialRecord.of(view.trial)
                same_attempt = (record.attempt, record.lease) == (known.attempt, known.lease)
                if trial.state == TrialState.RUNNING and same_attempt:
                    transitions.put_back(state, trial, record)
        return unit.commit

    # By hand

    def stop(self, number: int) -> tuple[TrialView, Commit]:
        """Ask the trial's worker to end it.

        Raises:
            TrialNotFound: the study has no such trial.
            TrialFinished: the trial is finished.
            TrialWaiting: no worker has it.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            _check_open(state, trial)
            if trial.state == TrialState.WAITING:
                raise TrialWaiting(f"trial {number} is queued: no worker runs it")
            view = state.view(transitions.request_stop(state, trial, TrialRecord.of(trial)))
        return view, unit.commit

    def cancel(self, number: int) -> tuple[TrialView, Commit]:
        """Fail an open trial, reason `cancelled`.

        Raises:
            TrialNotFound: the study has no such trial.
            TrialFinished: the trial is finished.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            _check_open(state, trial)
            view = state.view(transitions.cancel(state, trial))
        return view, unit.commit

    def cancel_all(
        self, states: Container[TrialState], worker: str | None = None
    ) -> tuple[int, Commit]:
        """Fail every open trial in one of these states, or those of one worker; return how many.

        The reason is `cancelled`.
        """
        state = self._state
        with state.unit() as unit:
            chosen = [
                trial
                for trial in state.store.open_trials(state.id)
                if trial.state in states and worker in (None, TrialRecord.of(trial).worker)
            ]
            for trial in chosen:
                transitions.cancel(state, trial)
        return len(chosen), unit.commit

    def set_user_attrs(
        self, number: int, user_attrs: Mapping[str, Any]
    ) -> tuple[TrialView, Commit]:
        """Set attributes of a trial, open or finished: what it cost may be known after it ended.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        state = self._state
        with state.unit() as unit:
            view = state.view(state.update(state.trial(number), user_attrs=user_attrs))
        return view, unit.commit
