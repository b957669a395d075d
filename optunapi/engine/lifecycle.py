"""The rules of a trial's and a study's life, as functions of values.

                  enqueue                       ask
        ──────────────────────▶ waiting ─────────────────▶ running ◀─┐ report, renew
                                 ▲   │     release           │ │ │   │ lease expired: handed on,
                                 └───┼───────────────────────┘ │ └───┘ attempt + 1
                          dequeue,   │                         │
                          cancel     ▼          tell           ▼
                                   fail ◀──────────── complete, pruned, fail

A trial fails without being told to, with the reason `lease-expired` after its last attempt, `timeout`
after `trial_timeout` and a term of grace, and `cancelled`. Finished trials do not change: the first
result wins. The one exception is a `complete` for a trial that had failed by `lease-expired` or
`timeout`: it is kept as a finished trial of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from fractions import Fraction
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.read import Limits, Objective
from optunapi.errors import LeaseLost, TrialFinished, TrialWaiting, ValueInvalid

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
    """What the limits look at. `leased` counts open trials under a lease, run out or not."""

    waiting: int
    running: int
    complete: int
    pruned: int
    leased: int
    failures: int
    cost: Fraction
    first_ask_at: float | None
    target_reached: bool
    unused_points: bool
    stopped: bool


def stop_reason(limits: Limits, usage: Usage, now: float) -> FinishedReason | None:
    """Why nothing is handed out any more, not even what waits, or None."""
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


def full_reason(limits: Limits, usage: Usage) -> FinishedReason | None:
    """Why no new trial may be sampled though what waits is still handed out, or None."""
    taken = usage.waiting + usage.running + usage.complete + usage.pruned
    if limits.max_trials is not None and taken >= limits.max_trials:
        return "max_trials"
    if not usage.unused_points:
        return "space-exhausted"
    return None


def finished_reason(limits: Limits, usage: Usage, now: float) -> FinishedReason | None:
    """Why an ask would get `study-finished`, or None.

    A full study with a trial under a lease is not finished: that trial may fail and give its place
    back, or be handed on. One with a trial waiting has that to hand out.
    """
    if reason := stop_reason(limits, usage, now):
        return reason
    if usage.waiting or usage.leased:
        return None
    return full_reason(limits, usage)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a tell says of a trial. `values` has one number an objective, or is None."""

    state: TrialState
    values: tuple[float, ...] | None = None
    reason: str | None = None
    lease: str | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


def filled_in(result: Result, trial: FrozenTrial, n_objectives: int) -> Result:
    """The result; `pruned` without a value takes the last report, which is one of one objective."""
    if result.state != TrialState.PRUNED or result.values is not None or n_objectives > 1:
        return result
    return replace(result, values=last_report(trial) or None)


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
        TrialFinished: the trial is closed.
        TrialWaiting: it was never handed out.
        LeaseLost: it was handed on or given back, or the lease is another attempt's.
    """
    if trial.state.is_finished():
        raise TrialFinished(f"trial {trial.number} is finished ({trial.state.name.lower()})")
    if trial.state == TrialState.WAITING and record.attempt == 0:
        raise TrialWaiting(f"trial {trial.number} is queued and was never handed out: ask for it")
    if trial.state == TrialState.WAITING or lease != record.lease:
        raise LeaseLost(
            f"trial {trial.number} is not held by this lease any more: "
            "drop it and ask for another trial"
        )


class Verdict(Enum):
    """What a tell comes to."""

    CLOSE = auto()
    REPEAT = auto()
    LATE = auto()


def judge(trial: FrozenTrial, record: TrialRecord, result: Result) -> Verdict:
    """Whether `result` closes the trial, repeats what is known, or comes late but is kept.

    Raises:
        TrialFinished: the trial is closed with another result.
        TrialWaiting: it was never handed out.
        LeaseLost: a `fail` or `pruned` from a worker that does not hold the trial.
    """
    if trial.state.is_finished():
        if is_repeat(trial, result):
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
        # The parameters are the same whoever trained with them, so no lease is needed.
        if trial.state == TrialState.WAITING and record.attempt == 0:
            raise TrialWaiting(f"trial {trial.number} is queued and was never handed out")
        return Verdict.CLOSE
    check_lease(trial, record, result.lease)
    return Verdict.CLOSE


def is_repeat(trial: FrozenTrial, result: Result) -> bool:
    """Whether a finished trial has just this state and these values."""
    return trial.state == result.state and tuple(trial.values or ()) == (result.values or ())


def last_report(trial: FrozenTrial) -> tuple[float, ...]:
    """The value reported at the highest step, as a trial's values, or nothing."""
    if trial.last_step is None:
        return ()
    value = trial.intermediate_values[trial.last_step]
    return (value,) if math.isfinite(value) else ()
