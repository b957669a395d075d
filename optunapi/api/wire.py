"""The wire's shapes, made from the engine's values."""

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.leases import Lease
from optunapi.engine.names import slug_of
from optunapi.engine.records import TrialRecord
from optunapi.engine.reports.summary import Summary
from optunapi.engine.samplers.make import engine_of
from optunapi.engine.spec.model import parameter_to_wire
from optunapi.engine.trials.artifacts import Artifact
from optunapi.engine.values import Scoreboard, StudyView, TrialView

STATES = (
    TrialState.WAITING,
    TrialState.RUNNING,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
)


def finite(value: float | None) -> float | None:
    """A number as strict JSON can hold it: Optuna allows infinities, which show as null."""
    return value if value is not None and math.isfinite(value) else None


def time_of(value: datetime | float | None) -> str | None:
    """RFC 3339 in UTC, of seconds since the epoch or of Optuna's local naive time."""
    if value is None:
        return None
    moment = (
        value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    )
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def values_of(trial: FrozenTrial) -> list[float | None] | None:
    """One value an objective, or null while there are none."""
    return [finite(value) for value in trial.values] if trial.values else None


def lease_of(lease: Lease | None) -> dict[str, Any] | None:
    """A Trial's lease."""
    return None if lease is None else {"id": lease.id, "expires_at": time_of(lease.expires_at)}


def study_of(view: StudyView) -> dict[str, Any]:
    """A Study."""
    spec, best = view.spec, view.best
    return {
        "name": view.name,
        "slug": slug_of(view.name),
        "state": view.state,
        "finished_reason": view.finished_reason,
        "objectives": [{"name": o.name, "direction": o.direction} for o in spec.objectives],
        "parameters": {p.name: parameter_to_wire(p) for p in spec.parameters},
        "sampler": {**spec.sampler, "engine": engine_of(spec)},
        "pruner": dict(spec.pruner),
        "limits": view.limits.to_json(),
        "lease_seconds": view.lease_seconds,
        "max_attempts": spec.max_attempts,
        "avoid_duplicates": spec.avoid_duplicates,
        "trials": {state.name.lower(): view.counts[state] for state in STATES},
        "best": best and {"number": best.number, "values": values_of(best), "params": best.params},
        "spec_version": spec.version,
        "config_error": view.config_error,
        "user_attrs": dict(view.user_attrs),
        "created_at": time_of(view.created_at),
        "last_activity_at": time_of(view.last_activity_at),
    }


def trial_of(view: TrialView) -> dict[str, Any]:
    """A Trial."""
    trial, record = view.trial, TrialRecord.of(view.trial)
    return {
        "study": view.study,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "params": trial.params,
        "values": values_of(trial),
        "intermediate_values": {
            str(step): finite(value) for step, value in sorted(trial.intermediate_values.items())
        },
        "constraints": {name: finite(value) for name, value in trial.constraints.items()},
        "user_attrs": trial.user_attrs,
        "worker": record.worker,
        "attempt": record.attempt,
        "lease": lease_of(view.lease),
        "stop_requested": record.stop_requested,
        "fail_reason": record.fail_reason,
        "spec_version": record.spec_version,
        "created_at": time_of(record.created_at or trial.datetime_start),
        "started_at": time_of(trial.datetime_start),
        "finished_at": time_of(trial.datetime_complete),
    }


def summary_of(summary: Summary) -> dict[str, Any]:
    """A study's figures."""
    found = asdict(summary)
    for point in found["best_curve"]:
        point["finished_at"] = time_of(point["finished_at"])
    for worker in found["workers"]:
        worker["last_seen"] = time_of(worker["last_seen"])
    return found


def artifact_of(artifact: Artifact) -> dict[str, Any]:
    """An artifact."""
    return {
        "artifact_id": artifact.artifact_id,
        "filename": artifact.filename,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "uploaded_at": time_of(artifact.uploaded_at),
    }


def legacy_ask(view: TrialView, board: Scoreboard) -> dict[str, Any]:
    """The reply of OptunAPI 0.1 to a GET of `hparams`."""
    return {
        "model_name": view.study,
        "trial_id": view.trial.number,
        "params": view.trial.params,
        **_legacy_counts(board),
    }


def legacy_tell(view: TrialView, board: Scoreboard) -> dict[str, Any]:
    """The reply of OptunAPI 0.1 to a GET of `score`; `best_*` are null while no trial is complete."""
    best = board.best[0] if board.best else None
    number = None if best is None else best.number
    return {
        "model_name": view.study,
        "trial_id": view.trial.number,
        "params": view.trial.params,
        "score": _scalar(values_of(view.trial)),
        "best_trial": number,
        "best_trial_id": number,
        "best_score_id": number,
        "best_params": None if best is None else best.params,
        "best_score": None if best is None else _scalar(values_of(best)),
        **_legacy_counts(board),
        "state": view.trial.state.name.lower(),
    }


def _legacy_counts(board: Scoreboard) -> dict[str, int]:
    return {
        "running_trials": board.counts[TrialState.RUNNING],
        "completed_trials": board.counts[TrialState.COMPLETE],
    }


def _scalar(values: list[float | None] | None) -> float | list[float | None] | None:
    return values[0] if values is not None and len(values) == 1 else values
