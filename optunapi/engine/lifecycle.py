"""The rules for the life of a trial and of a study, as functions of values.

                  enqueue                       ask
        ──────────────────────▶ waiting ─────────────────▶ running ◀─┐ report, renew
                                 ▲   │     release           │ │ │   │ lease expired: handed on,
                                 └───┼───────────────────────┘ │ └───┘ attempt + 1
                          dequeue,   │                         │
                          cancel     ▼          tell           ▼
                                   fail ◀──────────── complete, pruned, fail

A trial also fails without a tell: with the reason `lease-expired` after its last attempt, `timeout`
after `trial_timeout` and a term of grace, or `cancelled`. Finished trials do not change: the first
result wins. A `complete` for a trial that had failed by `lease-expired` or `timeout` is kept as a
finished trial of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from fractions import Fraction
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.model import Limits, Objective
from optunapi.errors import (
    LeaseLost,
    NoSlot,
    StudyFinished,
    TrialFinished,
    TrialWaiting,
    ValueInvalid,
)

LEASE_EXPIRED = "lease-expired"
TIMEOUT = "timeout"
CANCELLED = "cancelled"
STOPPED = "stopped"

NOT_FAILURES = frozenset({CANCELLED, STOPPED})
NOT_EVALUATED = frozenset({CANCELLED, STOPPED, LEASE_EXPIRED, TIMEOUT})
GRACE_SECONDS = 60.0

FinishedReason = Literal[
    "stopped",
    "target",
    "max_duration",
    "max_failed_trials",
    "max_cost",
    "max_trials",
    "space-exhausted",
]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the limits are compared with.

    `places` counts trials that take a place of `max_trials`: all but failed ones. `leased` counts leases,
    expired ones too.
    """

    waiting: int
    running: int
    places: int
    leased: int
    failures: int
    cost: Fraction
    first_ask_at: float | None
    target_reached: bool
    unused_points: bool
    stopped: bool


def stop_reason(limits: Limits, usage: Usage, now: float) -> FinishedReason | None:
    """Why nothing is handed out any more, not even a waiting trial, or None."""
    if usage.stopped:
        return "stopped"
    if usage.target_reached:
        return "target"
    started = usage.first_ask_at
    duration = 0.0 if started is None else now - started
    if limits.max_duration is not None and duration >= limits.max_duration:
        return "max_duration"
    if limits.max_failed_trials is not None and usage.failures >= limits.max_failed_trials:
        return "max_failed_trials"
    if limits.max_cost is not None and usage.cost >= limits.max_cost:
        return "max_cost"
    return None


def full_reason(limits: Limits, usage: Usage) -> FinishedReason | None:
    """Why no new trial may be sampled, though waiting ones are still handed out, or None."""
    if not places_left(limits, usage.places, 1):
        return "max_trials"
    if not usage.unused_points:
        return "space-exhausted"
    return None


def places_left(limits: Limits, taken: int, count: int) -> int:
    """How many of `count` more trials `max_trials` allows when so many places are taken."""
    if limits.max_trials is None:
        return count
    return max(0, min(count, limits.max_trials - taken))


def finished_reason(limits: Limits, usage: Usage, now: float) -> FinishedReason | None:
    """Why an ask is refused with `study-finished`, or None.

    A full study with a leased trial is not finished: that trial may fail and free its place, or be
    handed on. Nor is one with a waiting trial, which is still handed out.
    """
    if reason := stop_reason(limits, usage, now):
        return reason
    return None if usage.waiting or usage.leased else full_reason(limits, usage)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many trials a request gets: running ones again, waiting ones, and new ones."""

    again: int
    waiting: int
    new: int


def allowance(
    limits: Limits, usage: Usage, now: float, *, count: int, again: int, takes_waiting: bool
) -> Allowance:
    """What a request for `count` trials gets when `again` running ones can be handed out again.

    Those need no place and come first, then waiting trials unless `takes_waiting` is False, then new
    ones.

    Raises:
        StudyFinished: nothing is handed out any more; `finished_reason` says why.
        NoSlot: nothing is free now, but something may become free.
    """
    reason = stop_reason(limits, usage, now) if again else finished_reason(limits, usage, now)
    if reason:
        raise study_finished(reason)
    again = min(again, count)
    room = count - again
    if limits.max_running is not None:
        room = max(0, min(room, limits.max_running - usage.running))
        if not again and not room:
            raise NoSlot(f"{usage.running} trials are running, which is the limit: ask again")
    waiting = min(room, usage.waiting) if takes_waiting else 0
    new = places_left(limits, usage.places, room - waiting) if usage.unused_points else 0
    if not again and not waiting and not new:
        raise NoSlot("every place is taken, but an open trial may still free its place: ask again")
    return Allowance(again=again, waiting=waiting, new=new)


def check_places(limits: Limits, taken: int, count: int) -> None:
    """Refuse to queue `count` more trials where `max_trials` does not allow all of them.

    Raises:
        StudyFinished: it does not.
    """
    if places_left(limits, taken, count) < count:
        raise StudyFinished(
            f"{count} more trial(s) would exceed max_trials: "
            f"{taken} of {limits.max_trials} places are taken",
            finished_reason="max_trials",
        )


def study_finished(reason: FinishedReason) -> StudyFinished:
    """The error for a study that hands out nothing more."""
    return StudyFinished(f"the study is finished: {reason}", finished_reason=reason)


def meets_target(
    target: Mapping[str, float], objectives: Sequence[Objective], values: Sequence[float]
) -> bool:
    """Whether a trial's values are as good as the target in every objective that it names."""
    for objective, value in zip(objectives, values, strict=True):
        goal = target.get(objective.name)
        if goal is None:
            continue
        if value > goal if objective.direction == "minimize" else value < goal:
            return False
    return True


@dataclass(frozen=True, kw_only=True)
class Result:
    """The content of a tell. `values` has one number for each objective, or is None."""

    state: TrialState
    values: tuple[float, ...] | None = None
    reason: str | None = None
    lease: str | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


def filled_in(result: Result, trial: FrozenTrial, n_objectives: int) -> Result:
    """The result; with one objective, `pruned` without a value gets the value of the last report."""
    if result.state != TrialState.PRUNED or result.values is not None or n_objectives > 1:
        return result
    return replace(result, values=_last_report(trial) or None)


def check_values(result: Result, n_objectives: int) -> None:
    """Refuse values that do not fit the objectives.

    Raises:
        ValueInvalid: too few or too many values, one that is not finite, or values with a failure.
    """
    values = result.values
    if result.state == TrialState.FAIL:
        if values is not None:
            raise ValueInvalid("a failed trial has no values: leave them out, or tell complete")
        return
    if values is None:
        if result.state == TrialState.COMPLETE:
            raise ValueInvalid(f"a complete trial needs {n_objectives} finite value(s), none given")
        return
    if len(values) != n_objectives:
        raise ValueInvalid(
            f"the study has {n_objectives} objective(s), {len(values)} value(s) given"
        )
    if not all(map(math.isfinite, values)):
        raise ValueInvalid("every value must be finite: tell fail for a training that diverged")


def check_lease(trial: FrozenTrial, record: TrialRecord, lease: str | None) -> None:
    """Refuse a worker that does not hold this open trial.

    Raises:
        TrialWaiting: the trial was never handed out.
        LeaseLost: it was handed on or given back, or the lease belongs to another attempt.
    """
    _check_handed_out(trial, record)
    if trial.state == TrialState.WAITING or lease != record.lease:
        raise LeaseLost(
            f"trial {trial.number} is not held by this lease any more: "
            "drop it and ask for another trial"
        )


def _check_handed_out(trial: FrozenTrial, record: TrialRecord) -> None:
    if trial.state == TrialState.WAITING and record.attempt == 0:
        raise TrialWaiting(f"trial {trial.number} is queued and was never handed out: ask for it")


class Verdict(Enum):
    """What to do with a tell: close the trial, do nothing, or keep a result that came late."""

    CLOSE = auto()
    REPEAT = auto()
    LATE = auto()


def judge(trial: FrozenTrial, record: TrialRecord, result: Result) -> Verdict:
    """What to do with a tell of `result`.

    Raises:
        TrialFinished: the trial is finished with another result.
        TrialWaiting: it was never handed out.
        LeaseLost: a `fail` or `pruned` from a worker that does not hold the trial.
    """
    if trial.state.is_finished():
        if _is_repeat(trial, result):
            return Verdict.REPEAT
        if (
            result.state == TrialState.COMPLETE
            and trial.state == TrialState.FAIL
            and record.fail_reason in (LEASE_EXPIRED, TIMEOUT)
        ):
            return Verdict.LATE
        raise TrialFinished(
            f"trial {trial.number} is finished ({trial.state.name.lower()}) with another result; "
            "the first one is kept"
        )
    if result.state == TrialState.COMPLETE:
        # The parameters are the same for every worker that trained with them: no lease is needed.
        _check_handed_out(trial, record)
    else:
        check_lease(trial, record, result.lease)
    return Verdict.CLOSE


def _is_repeat(trial: FrozenTrial, result: Result) -> bool:
    """Whether a finished trial has the state and values of `result`."""
    return trial.state == result.state and tuple(trial.values or ()) == (result.values or ())


def _last_report(trial: FrozenTrial) -> tuple[float, ...]:
    """The value reported at the highest step, as a trial's values; empty if there is none."""
    if trial.last_step is None:
        return ()
    value = trial.intermediate_values[trial.last_step]
    return (value,) if math.isfinite(value) else ()
