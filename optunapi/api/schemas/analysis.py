"""Replies about what a study's trials show: its figures, and which parameters matter."""

from dataclasses import asdict
from typing import Any

from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, Time, example, time_of
from optunapi.engine.reports.summary import Summary


class ImportancesReply(Reply):
    """Each parameter's share in an objective; they add up to 1."""

    model_config = ConfigDict(json_schema_extra=example(importances={"lr": 0.61, "layers": 0.39}))

    importances: dict[str, float]


class ImprovementReply(Reply):
    """A trial that was better than all that had finished before it."""

    number: int
    value: float
    finished_at: Time


class WorkerReply(Reply):
    """One worker, and when it was last heard of."""

    name: str
    running: int
    last_seen: Time | None


class LatencyReply(Reply):
    """How long commits take, in seconds."""

    p50: float
    p99: float


class SummaryReply(Reply):
    """A study's figures: rates are shares of the finished trials, durations are seconds."""

    model_config = ConfigDict(
        json_schema_extra=example(
            completion_rate=0.75,
            prune_rate=0.125,
            failure_rate=0.125,
            failures_by_reason={"timeout": 1},
            mean_duration=61.5,
            median_duration=60.0,
            cost_total=0.0,
            best_curve=[{"number": 0, "value": 0.4, "finished_at": "2026-11-21T09:29:00.000Z"}],
            time_to_best=61.5,
            trials_to_best=1,
            workers=[{"name": "gpu-03-4711", "running": 1, "last_seen": None}],
            storage_latency={"p50": 0.002, "p99": 0.011},
        )
    )

    completion_rate: float | None
    prune_rate: float | None
    failure_rate: float | None
    failures_by_reason: dict[str, int]
    mean_duration: float | None
    median_duration: float | None
    cost_total: float | None
    best_curve: list[ImprovementReply]
    time_to_best: float | None
    trials_to_best: int | None
    workers: list[WorkerReply]
    storage_latency: LatencyReply | None


def summary_of(summary: Summary) -> dict[str, Any]:
    """A study's figures."""
    found = asdict(summary)
    for point in found["best_curve"]:
        point["finished_at"] = time_of(point["finished_at"])
    for worker in found["workers"]:
        worker["last_seen"] = time_of(worker["last_seen"])
    return found
