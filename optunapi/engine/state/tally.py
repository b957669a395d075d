"""Sums and indexes over the trials of a study, for limits, workers and idempotency keys."""

import math
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.lifecycle import NOT_FAILURES
from optunapi.engine.records import TrialRecord

_RECORDED = (TrialState.FAIL, TrialState.RUNNING)  # of other trials only the record's keys are read


def counts_as_failure(trial: FrozenTrial, record: TrialRecord) -> bool:
    """Whether the trial counts towards `max_failed_trials`."""
    return trial.state == TrialState.FAIL and record.fail_reason not in NOT_FAILURES


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """One trial that a request with an idempotency key got.

    `attempt` is None where the request started no attempt (enqueue, import); `places` are the trial's
    places in the reply. `request` is the digest of the request.
    """

    number: int
    attempt: int | None
    request: str
    places: tuple[int, ...]


class Tally:
    """The sums and indexes of one study, updated trial by trial. `keys` has the uses by trial number."""

    def __init__(self) -> None:
        self.failures = 0
        # Exact, so that taking a cost away again leaves the sum as it was.
        self.cost = Fraction()
        self.keys: dict[str, dict[int, KeyUse]] = {}
        self._running_of: defaultdict[str, set[int]] = defaultdict(set)

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if before is not None:
            self._count(before, -1)
        self._count(after, 1)
        for key, (attempt, request, *places) in TrialRecord.keys_of(after).items():
            self.keys.setdefault(key, {})[after.number] = KeyUse(
                number=after.number, attempt=attempt, request=request, places=tuple(places)
            )

    def running_of(self, worker: str) -> list[int]:
        """The numbers of the trials that run at this worker, in order."""
        return sorted(self._running_of.get(worker, ()))

    def _count(self, trial: FrozenTrial, sign: int) -> None:
        if "cost" in trial.user_attrs:
            self.cost += sign * _cost(trial.user_attrs["cost"])
        if trial.state not in _RECORDED:
            return
        record = TrialRecord.of(trial)
        if counts_as_failure(trial, record):
            self.failures += sign
        if trial.state == TrialState.RUNNING and record.worker is not None:
            running = self._running_of[record.worker]
            if sign > 0:
                running.add(trial.number)
            else:
                running.discard(trial.number)
                if not running:
                    del self._running_of[record.worker]


def _cost(cost: Any) -> Fraction:
    """What a user attribute `cost` adds: 0 unless it is a finite number."""
    if isinstance(cost, bool) or not isinstance(cost, int | float):
        return Fraction()
    return Fraction(cost) if isinstance(cost, int) or math.isfinite(cost) else Fraction()
