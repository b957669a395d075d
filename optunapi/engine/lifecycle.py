"""The life of a trial: its states, and the rules of what a tell and a lease may do. Functions of values.

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
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.documents.document import quoted
from optunapi.engine.leases import lease_id
from optunapi.engine.records import TrialRecord
from optunapi.errors import (
    LeaseLost,
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

# The lease's id: of an older server, and ours, whose beginning is the attempt.
_RANDOM_ID = re.compile(r"[0-9a-f]{16}")
_ATTEMPT = re.compile(r"([1-9][0-9]{0,9})-")


@dataclass(frozen=True, kw_only=True)
class Result:
    """The content of a tell. `values` has one number for each objective, or is None.

    `lease` and `study_uid` say for which attempt of which study's trial it is, as far as the sender knows.
    """

    state: TrialState
    values: tuple[float, ...] | None = None
    reason: str | None = None
    lease: str | None = None
    study_uid: str | None = None
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
            f"the study has {n_objectives} objective(s), and `values` has {len(values)}: "
            f"{quoted(list(values))}"
        )
    if not all(map(math.isfinite, values)):
        raise ValueInvalid("every value must be finite: tell fail for a training that diverged")


def check_had_lease(trial: FrozenTrial, record: TrialRecord, lease: str | None) -> None:
    """Refuse a lease that no attempt of this trial ever had: its worker has other parameters.

    Such a lease is of a trial of the same number, in a study that was deleted and made again or in
    another one.

    Raises:
        LeaseLost: the trial never had this lease.
    """
    if lease is None or lease == record.lease or _had(record, lease):
        return
    raise LeaseLost(
        f"trial {trial.number} of this study never had this lease: "
        "drop the trial and ask for another one"
    )


def _had(record: TrialRecord, lease: str) -> bool:
    if record.lease_key is None:
        # An older server handed the trial out, if anyone did. Former leases were not stored then: its id
        # has to do.
        return record.attempt > 0 and _RANDOM_ID.fullmatch(lease) is not None
    match = _ATTEMPT.match(lease)
    attempt = 0 if match is None else int(match[1])
    return 0 < attempt <= record.attempt and lease == lease_id(record.lease_key, attempt)


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
        LeaseLost: a `fail` or `pruned` from a worker that does not hold the trial, or the trial never had
            this lease.
    """
    check_had_lease(trial, record, result.lease)
    _check_handed_out(trial, record)
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
    # A `complete` needs no lease: the parameters are the same for every worker that trained with them.
    if result.state != TrialState.COMPLETE:
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
    return () if math.isnan(value) else (value,)
