"""Tells: a tell closes its trial, repeats its result, or brings a late one for a trial that had failed."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import Result, Verdict, check_values, filled_in, judge
from optunapi.engine.records import LATE_FOR, TrialRecord, constraint_attrs
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.values import Told
from optunapi.errors import BadRequest, Conflict, NotFound, OptunAPIError, TrialFinished
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import LateResultKept, ResultRefused


def tell_each(
    state: StudyState, results: Sequence[tuple[int, Result]]
) -> list[Told | OptunAPIError]:
    """What `tell` returns or raises, for each trial number and result. Call it inside a unit."""
    outcomes: list[Told | OptunAPIError] = []
    for number, result in results:
        try:
            outcomes.append(tell(state, number, result))
        except (BadRequest, NotFound, Conflict) as error:  # raised before anything changes
            outcomes.append(error)
    return outcomes


def tell(state: StudyState, number: int, result: Result) -> Told:
    """Close a trial with its result. Call it inside a unit.

    The first result wins. Repeating it adds the user attributes that the trial does not have, and changes
    nothing else.

    Raises:
        StudyReplaced: the result is of another study's trial.
        TrialNotFound: the study has no such trial.
        ValueInvalid: the values do not fit the objectives; the trial stays open.
        TrialFinished: the trial is finished with another result, which is in `trial`.
        TrialWaiting: it was never handed out.
        LeaseLost: a `fail` or `pruned` from a worker that does not hold the trial any more, or the trial
            never had this lease.
    """
    try:
        return _tell(state, number, result)
    except Conflict as error:
        if result.state == TrialState.COMPLETE:  # a training is lost
            refusal = ResultRefused(
                study=state.name, trial=number, code=error.code, reason=error.detail
            )
            emit(refusal)
        raise


def _tell(state: StudyState, number: int, result: Result) -> Told:
    state.check_uid(result.study_uid)
    trial = state.trial(number)
    check_values(result, len(state.spec.objectives))
    result = filled_in(result, trial, len(state.spec.objectives))
    record = TrialRecord.of(trial)
    try:
        verdict = judge(trial, record, result)
    except TrialFinished as error:
        raise TrialFinished(error.detail, trial=state.view(trial)) from None
    if verdict == Verdict.CLOSE:
        return Told(view=state.view(_close(state, trial, record, result)))
    if verdict == Verdict.REPEAT:
        return _repeat(state, trial, result)
    return _keep_late(state, trial, record, result)


def _repeat(state: StudyState, trial: FrozenTrial, result: Result) -> Told:
    """Add the user attributes that a finished trial does not have.

    Those that it has stay: they may have been changed since, and the request may be a copy of the first.
    """
    ignored, user_attrs = [], {}
    for name, value in result.user_attrs.items():
        if name not in trial.user_attrs:
            user_attrs[name] = value
        elif trial.user_attrs[name] != value:
            ignored.append(f"user_attrs.{name}")
    constraints = trial.constraints
    for name, bound in result.constraints.items():
        if constraints.get(name) != bound:
            ignored.append(f"constraints.{name}")
    if result.reason is not None and result.reason != TrialRecord.of(trial).fail_reason:
        ignored.append("reason")
    if user_attrs:
        trial = state.update(trial, user_attrs=user_attrs)
    return Told(view=state.view(trial), ignored=tuple(ignored))


def _close(
    state: StudyState, trial: FrozenTrial, record: TrialRecord, result: Result
) -> FrozenTrial:
    notes: dict[str, Any] = {
        "user_attrs": result.user_attrs or None,
        "system_attrs": constraint_attrs(result.constraints, trial.system_attrs),
    }
    if result.state == TrialState.FAIL:
        return transitions.fail(state, trial, record, result.reason, **notes)
    return transitions.close(state, trial, record, result.state, values=result.values, **notes)


def _keep_late(state: StudyState, trial: FrozenTrial, record: TrialRecord, result: Result) -> Told:
    """Store a result that came after its trial had timed out or expired as a trial of its own."""
    if record.late is not None:
        kept = state.trial(record.late)
        if tuple(kept.values) != result.values:
            raise TrialFinished(
                f"a late result of trial {trial.number} is kept as trial {kept.number}, "
                "with other values; the first one is kept",
                trial=state.view(kept),
            )
        return _repeat(state, kept, result)
    template = blank_trial(-1, trial.datetime_start, TrialState.COMPLETE)
    template.params = dict(trial.params)
    template.distributions = dict(trial.distributions)
    # The trial's cost so far is counted with that trial already.
    known = {key: value for key, value in trial.user_attrs.items() if key != "cost"}
    template.user_attrs = {**known, **result.user_attrs, LATE_FOR: trial.number}
    template.system_attrs = constraint_attrs(result.constraints, {})
    template.datetime_complete = state.local_time()
    template.values = list(result.values or ())
    kept = state.add(
        template,
        TrialRecord(
            created_at=state.clock.time(),
            spec_version=record.spec_version,
            worker=record.worker,
            attempt=record.attempt,
        ),
    )
    state.update(trial, record.with_(late=kept.number))
    state.note_trial(LateResultKept, trial, record, kept_as=kept.number)
    return Told(view=state.view(kept))
