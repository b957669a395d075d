"""The transitions of a trial, each in one place: the edges of the diagram in `lifecycle`.

Call every function inside a unit of the state, except `unit_after_deadlines`, which makes one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.leases import lease_id
from optunapi.engine.lifecycle import CANCELLED, LEASE_EXPIRED, STOPPED, TIMEOUT
from optunapi.engine.records import TrialRecord, retry_attrs
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import waiting_trial
from optunapi.engine.store import Unit
from optunapi.engine.values import AskRequest
from optunapi.telemetry import events as log

_FAILURES: Mapping[str, type[log.TrialFailed]] = {
    LEASE_EXPIRED: log.TrialGivenUp,
    TIMEOUT: log.TrialTimedOut,
    CANCELLED: log.TrialCancelled,
    STOPPED: log.TrialStopped,
}


def enqueue(
    state: StudyState,
    point: Mapping[str, Any],
    user_attrs: Mapping[str, Any] | None = None,
    *,
    failed: FrozenTrial | None = None,
) -> FrozenTrial:
    """Add a waiting trial with these parameters fixed, which repeats the `failed` one if given."""
    template, record = waiting_trial(point, state.spec, state.clock.time())
    template.user_attrs = dict(user_attrs or {})
    if failed is not None:
        template.system_attrs |= retry_attrs(failed)
        record = record.with_(retry_of=failed.number)
    return state.add(template, record)


def start_new(
    state: StudyState, template: FrozenTrial, request: AskRequest, *, place: int
) -> FrozenTrial:
    """Add a trial that is handed out at once, at this place in the reply."""
    now = state.clock.now()  # once: the trial is created when it starts
    time = state.clock.time_of(now)
    record = TrialRecord(spec_version=state.spec.version, created_at=time)
    record = _next_attempt(state, record, request, place)
    template.user_attrs = dict(request.user_attrs)
    template.datetime_start = datetime.fromtimestamp(time)
    trial = state.add(template, record)
    state.note_trial(log.TrialHandedOut, trial, record)
    state.deadlines.begin(trial, record, state.limits.trial_timeout, now)
    return trial


def start(
    state: StudyState,
    trial: FrozenTrial,
    record: TrialRecord,
    request: AskRequest,
    *,
    place: int,
    **changes: Any,
) -> FrozenTrial:
    """Hand out a trial that exists, at this place in the reply: its next attempt begins now."""
    is_handed_on, former = state.deadlines.leases.has_expired(trial.number), record.worker
    if is_handed_on:
        record = record.with_(expiries=record.expiries + 1)
    if trial.state == TrialState.WAITING and record.attempt == 0:
        record = record.with_(spec_version=state.spec.version)  # it was queued, maybe under another
    record = _next_attempt(state, record, request, place)
    now = state.clock.now()
    changed = state.update(
        trial,
        record,
        state=TrialState.RUNNING,
        user_attrs=request.user_attrs,
        datetime_start=datetime.fromtimestamp(state.clock.time_of(now)),
        **changes,
    )
    if is_handed_on:
        state.note_trial(log.TrialHandedOn, trial, record, former_worker=former)
    else:
        state.note_trial(log.TrialHandedOut, trial, record)
    state.deadlines.begin(changed, record, state.limits.trial_timeout, now)
    return changed


def _next_attempt(
    state: StudyState, record: TrialRecord, request: AskRequest, place: int
) -> TrialRecord:
    attempt, worker = record.attempt + 1, request.worker
    seconds = request.lease_seconds or state.lease_seconds if request.leased else None
    # A stop by hand is meant for its worker, also when the worker comes back; a time-out was meant for
    # the attempt.
    is_back = worker is not None and worker == record.worker
    key = {request.key: (attempt, request.digest, place)} if request.key else {}
    lease_key = record.lease_key
    if lease_key is None and not record.attempt:
        lease_key = state.new_id()
    lease = None
    if seconds is not None:
        lease = lease_id(lease_key, attempt) if lease_key else state.new_id()
    return record.with_(
        created_at=record.created_at or state.clock.time(),
        worker=worker,
        attempt=attempt,
        lease=lease,
        lease_seconds=seconds,
        lease_key=lease_key,
        stop_requested=is_back and record.stop_requested and record.timed_out_at is None,
        timed_out_at=None,
        prune_at=None,
        keys={**record.keys, **key},
    )


def renew(
    state: StudyState, trial: FrozenTrial, record: TrialRecord, seconds: float | None = None
) -> None:
    """Start a new term of the trial's lease, if it has one; `seconds` changes the term's length."""
    leases = state.deadlines.leases
    term = leases.term(trial.number)
    if term is None:
        return
    seconds = seconds or term.seconds
    if seconds != record.lease_seconds:
        state.update(trial, record.with_(lease_seconds=seconds))
    leases.grant(trial.number, term.id, seconds, state.clock.now())


def request_stop(state: StudyState, trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
    """Let the trial's worker know, with its next report or renewal, that it should end."""
    if record.stop_requested:
        return trial
    state.note_trial(log.StopRequested, trial, record, reason="request")
    return state.update(trial, record.with_(stop_requested=True))


def put_back(state: StudyState, trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
    """Make a running trial wait for its next attempt."""
    state.note_trial(log.TrialReleased, trial, record)
    record = record.with_(lease=None, lease_seconds=None, worker=None, stop_requested=False)
    changed = state.update(trial, record, state=TrialState.WAITING)
    state.deadlines.end(trial.number)
    return changed


def close(
    state: StudyState,
    trial: FrozenTrial,
    record: TrialRecord,
    final: TrialState,
    *,
    detail: str | None = None,
    **changes: Any,
) -> FrozenTrial:
    """End an open trial."""
    if final == TrialState.FAIL:
        reason = record.fail_reason
        kind = _FAILURES.get(reason or "", log.TrialFailed)
        state.note_trial(kind, trial, record, reason=reason, detail=detail)
    else:
        ended = log.TrialPruned if final == TrialState.PRUNED else log.TrialCompleted
        state.note_trial(ended, trial, record, values=changes.get("values"))
    now = state.local_time()
    changed = state.update(
        trial,
        record.with_(lease=None, lease_seconds=None),
        state=final,
        # Optuna accepts no finished trial without a start; a waiting trial has none.
        datetime_start=trial.datetime_start or now,
        datetime_complete=now,
        **changes,
    )
    state.deadlines.end(trial.number)
    return changed


def fail(
    state: StudyState, trial: FrozenTrial, record: TrialRecord, reason: str | None, **changes: Any
) -> FrozenTrial:
    """End an open trial without a result."""
    return close(state, trial, record.with_(fail_reason=reason), TrialState.FAIL, **changes)


def cancel(state: StudyState, trial: FrozenTrial, *, detail: str | None = None) -> FrozenTrial:
    """End an open trial by hand; if a worker has it, the worker is to stop. `detail` is for the log."""
    record = TrialRecord.of(trial)
    is_running = trial.state == TrialState.RUNNING
    record = record.with_(stop_requested=record.stop_requested or is_running)
    return fail(state, trial, record, CANCELLED, detail=detail)


def apply_deadlines(state: StudyState, *, expiries: bool = True) -> None:
    """Ask trials that timed out to stop; fail those whose grace is over or whose last lease expired.

    Without `expiries` only time-outs are applied: an expired lease counts until its trial is handed on.
    """
    deadlines, now = state.deadlines, state.clock.now()
    for number in deadlines.leases.expire(now) if expiries else ():
        state.note_expiry()
        trial = state.trial(number)
        record = TrialRecord.of(trial)
        if record.expiries + 1 >= state.spec.max_attempts:
            fail(state, trial, record.with_(expiries=record.expiries + 1), LEASE_EXPIRED)
        else:
            state.note_trial(log.LeaseExpired, trial, record)
    while (due := deadlines.timeouts.due(now)) is not None:
        trial = state.trial(due)
        record = TrialRecord.of(trial)
        if record.timed_out_at is not None:
            fail(state, trial, record, TIMEOUT)
            continue
        state.note_trial(log.StopRequested, trial, record, reason="timeout")
        record = record.with_(stop_requested=True, timed_out_at=state.clock.time_of(now))
        deadlines.begin_grace(state.update(trial, record), record, now)


@contextmanager
def unit_after_deadlines(state: StudyState, *, expiries: bool = True) -> Iterator[Unit]:
    """A unit before which `apply_deadlines` was called, if anything was due.

    What that changed stays, even if the unit fails.
    """
    with state.unit() as unit:
        due = state.deadlines.next(expiries=expiries)
        if due is None or due > state.clock.now():
            yield unit
            return
    with state.unit():
        apply_deadlines(state, expiries=expiries)
    with state.unit() as unit:
        yield unit
