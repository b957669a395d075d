"""A study's figures: rates, durations, how the best value improved, and the workers."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.reports.snapshot import Snapshot
from optunapi.engine.state.best import is_feasible
from optunapi.engine.state.tally import counts_as_failure
from optunapi.local_times import time_between

MAX_CURVE_POINTS = 500
MAX_REASONS = 100
MAX_WORKERS = 1000
UNKNOWN = "unknown"
OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """How many trials a worker runs, and when it last sent a request (seconds since the epoch)."""

    name: str
    running: int
    last_seen: float | None


@dataclass(frozen=True, kw_only=True)
class Improvement:
    """A trial that is better than all that finished before it."""

    number: int
    value: float
    finished_at: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Percentiles of how long commits took, in seconds."""

    p50: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures of a study.

    Rates are shares of the finished trials, or None without any. They leave out trials that a person
    cancelled or stopped; `failures_by_reason` counts these too. Durations are in seconds and of
    complete trials. With one objective, `best_curve` has the improvements in the order of time, at most
    `MAX_CURVE_POINTS` of them; `time_to_best` is in seconds, from the first start to the end of the best
    trial, which is the `trials_to_best`-th by number. `failures_by_reason` has the `MAX_REASONS` most
    frequent reasons and counts the rest as `others`; `workers` has at most `MAX_WORKERS`, those that run
    the most trials and were last heard of first.
    """

    completion_rate: float | None
    prune_rate: float | None
    failure_rate: float | None
    failures_by_reason: dict[str, int]
    mean_duration: float | None
    median_duration: float | None
    cost_total: float
    best_curve: list[Improvement]
    time_to_best: float | None
    trials_to_best: int | None
    workers: list[Worker]
    storage_latency: Latency | None


def summarise(snapshot: Snapshot) -> Summary:
    """The figures of a study at the moment of the snapshot."""
    trials = snapshot.trials
    finished = [trial for trial in trials if trial.state.is_finished()]
    rated = [
        trial
        for trial in finished
        if trial.state != TrialState.FAIL or counts_as_failure(trial, TrialRecord.of(trial))
    ]
    durations = [
        time_between(trial.datetime_start, trial.datetime_complete).total_seconds()
        for trial in finished
        if trial.state == TrialState.COMPLETE
        and trial.datetime_start is not None
        and trial.datetime_complete is not None
    ]
    best = snapshot.best[0] if snapshot.best and len(snapshot.spec.objectives) == 1 else None
    return Summary(
        completion_rate=_share(rated, TrialState.COMPLETE),
        prune_rate=_share(rated, TrialState.PRUNED),
        failure_rate=_share(rated, TrialState.FAIL),
        failures_by_reason=_failures_by_reason(finished),
        mean_duration=fmean(durations) if durations else None,
        median_duration=median(durations) if durations else None,
        cost_total=snapshot.cost,
        best_curve=_best_curve(snapshot, finished),
        time_to_best=None if best is None else _time_to(best, trials),
        trials_to_best=None if best is None else best.number + 1,
        workers=_workers(snapshot),
        storage_latency=_latency(snapshot.commit_seconds),
    )


def _share(finished: Sequence[FrozenTrial], state: TrialState) -> float | None:
    return sum(t.state == state for t in finished) / len(finished) if finished else None


def _failures_by_reason(finished: Iterable[FrozenTrial]) -> dict[str, int]:
    counted = Counter(
        TrialRecord.of(trial).fail_reason or UNKNOWN
        for trial in finished
        if trial.state == TrialState.FAIL
    )
    found = dict(counted.most_common(MAX_REASONS))
    if others := counted.total() - sum(found.values()):
        found[OTHERS] = found.get(OTHERS, 0) + others
    return found


def _best_curve(snapshot: Snapshot, finished: Iterable[FrozenTrial]) -> list[Improvement]:
    if len(snapshot.spec.objectives) > 1:
        return []
    sign = 1.0 if snapshot.spec.objectives[0].direction == "minimize" else -1.0
    complete = [
        (trial.datetime_complete.timestamp(), trial.number, trial.values[0])
        for trial in finished
        if trial.state == TrialState.COMPLETE
        and trial.datetime_complete is not None
        and math.isfinite(trial.values[0])
        and is_feasible(trial)
    ]
    curve: list[Improvement] = []
    for time, number, value in sorted(complete):
        if not curve or sign * value < sign * curve[-1].value:
            curve.append(Improvement(number=number, value=value, finished_at=time))
    if len(curve) <= MAX_CURVE_POINTS:
        return curve
    # Evenly spaced, with the first point and the last, which is the best.
    step = (len(curve) - 1) / (MAX_CURVE_POINTS - 1)
    return [curve[round(i * step)] for i in range(MAX_CURVE_POINTS)]


def _time_to(best: FrozenTrial, trials: Iterable[FrozenTrial]) -> float | None:
    starts = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    if best.datetime_complete is None or not starts:
        return None
    first = min(starts, key=datetime.timestamp)
    return time_between(first, best.datetime_complete).total_seconds()


def _workers(snapshot: Snapshot) -> list[Worker]:
    running: Counter[str] = Counter()
    seen: dict[str, float] = {}
    for trial in snapshot.trials:
        name = TrialRecord.of(trial).worker
        if name is None:
            continue
        running[name] += trial.state == TrialState.RUNNING
        times = [t.timestamp() for t in (trial.datetime_start, trial.datetime_complete) if t]
        if lease := snapshot.leases.get(trial.number):
            times.append(lease.expires_at - lease.seconds)  # the last renewal
        seen[name] = max([*times, seen.get(name, -math.inf)])
    latest = sorted(seen, key=lambda name: (-running[name], -seen[name], name))[:MAX_WORKERS]
    return [
        Worker(
            name=name,
            running=running[name],
            last_seen=seen[name] if math.isfinite(seen[name]) else None,
        )
        for name in sorted(latest)
    ]


def _latency(seconds: Sequence[float]) -> Latency | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return Latency(p50=p50, p99=p99)
