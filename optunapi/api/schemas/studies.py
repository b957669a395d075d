"""Bodies and replies of a study: changed by hand, forked, looked at."""

from typing import Annotated, Any, Literal

from optuna.trial import TrialState
from pydantic import ConfigDict, Field

from optunapi.api.schemas.fields import (
    WHOLE,
    Attrs,
    Body,
    LeaseSeconds,
    NewAttrs,
    Reply,
    Scalar,
    Time,
    example,
    time_of,
)
from optunapi.api.schemas.trials import values_of
from optunapi.engine.config_files import InvalidFile
from optunapi.engine.names import NAME
from optunapi.engine.samplers.native.engine import engine_of
from optunapi.engine.spec.model import parameter_to_wire
from optunapi.engine.values import StudyView

# Requests


class LimitsPatch(Body):
    """Limits to set by hand; null lifts one."""

    max_trials: Annotated[int, Field(ge=1, lt=2**53), WHOLE] | None = None
    max_running: Annotated[int, Field(ge=1, lt=2**53), WHOLE] | None = None
    max_duration: Annotated[float, Field(gt=0)] | None = None
    max_failed_trials: Annotated[int, Field(ge=1, lt=2**53), WHOLE] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    target: float | dict[str, float] | None = None


class StudyPatch(Body):
    """What may be changed of a study by hand."""

    model_config = ConfigDict(json_schema_extra=example(state="paused", limits={"max_trials": 300}))

    state: Literal["open", "paused", "finished"] | None = None
    limits: LimitsPatch | None = None
    lease_seconds: LeaseSeconds | None = None
    description: Annotated[str, Field(max_length=100_000)] | None = None
    metric_names: Annotated[list[str], Field(max_length=1000)] | None = None
    user_attrs: NewAttrs = Field(default_factory=dict)


class ForkBody(Body):
    """The name of the study that a fork makes."""

    model_config = ConfigDict(json_schema_extra=example(name="cifar-2"))

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]


# Replies


STUDY = {
    "name": "cifar",
    "slug": "cifar",
    "uid": "5b1c0e4f2a7d9386",
    "description": None,
    "state": "open",
    "finished_reason": None,
    "objectives": [{"name": "score", "direction": "minimize"}],
    "metric_names": None,
    "metric_names_error": None,
    "parameters": {"lr": {"type": "float", "low": 1e-5, "high": 0.01, "log": True, "step": None}},
    "sampler": {"name": "tpe", "engine": "rustuna"},
    "pruner": {"name": "none"},
    "limits": {
        "max_trials": None,
        "max_running": None,
        "max_duration": None,
        "max_failed_trials": None,
        "max_cost": None,
        "trial_timeout": None,
        "target": None,
    },
    "limits_source": {"max_trials": "file", "lease_seconds": "patch"},
    "lease_seconds": None,
    "max_attempts": 3,
    "avoid_duplicates": "running",
    "trials": {"waiting": 0, "running": 1, "complete": 12, "pruned": 0, "fail": 0},
    "best": {"number": 7, "values": [0.02], "params": {"lr": 0.001}},
    "spec_version": "9f2c41d07a6b",
    "config_error": None,
    "user_attrs": {},
    "created_at": "2026-11-21T08:00:00.000Z",
    "last_activity_at": "2026-11-21T09:29:00.000Z",
}


class ObjectiveReply(Reply):
    """What is optimised."""

    name: str
    direction: Literal["minimize", "maximize"]


class BestReply(Reply):
    """A study's best trial."""

    number: int
    values: list[float | None]
    params: dict[str, Scalar]


class LimitsReply(Reply):
    """Where a study ends or holds back; null where it does not."""

    max_trials: int | None
    max_running: int | None
    max_duration: float | None
    max_failed_trials: int | None
    max_cost: float | None
    trial_timeout: float | None
    target: dict[str, float] | None


class CountsReply(Reply):
    """How many trials are in each state."""

    waiting: int
    running: int
    complete: int
    pruned: int
    fail: int


class SamplerReply(Reply):
    """The sampler with its arguments, and what draws: rustuna, which is in Rust, or Optuna itself.

    `failure` says why the latest values were drawn at random, after the sampler has failed.
    """

    name: str
    engine: Literal["optuna", "rustuna"]


class StudyReply(Reply):
    """A study. `metric_names` are the objectives' names that Optuna shows, null if nobody named them;
    `metric_names_error` says why names that Optuna stored are not used.
    """

    model_config = ConfigDict(json_schema_extra=example(**STUDY))

    name: str
    slug: str
    uid: str | None
    description: str | None
    state: Literal["open", "paused", "finished"]
    finished_reason: str | None
    objectives: list[ObjectiveReply]
    metric_names: list[str] | None
    metric_names_error: str | None
    parameters: dict[str, dict[str, Any]]
    sampler: SamplerReply
    pruner: dict[str, Any]
    limits: LimitsReply
    limits_source: dict[str, Literal["file", "http", "optuna", "patch"] | None]
    lease_seconds: float | None
    max_attempts: int
    avoid_duplicates: Literal["off", "running", "all"]
    trials: CountsReply
    best: BestReply | None
    spec_version: str
    config_error: str | None
    user_attrs: Attrs
    created_at: Time | None
    last_activity_at: Time | None


class InvalidFileReply(Reply):
    """A file of the config folder that is no study. Each error has file, line, key and reason."""

    file: str
    errors: list[dict[str, Any]]


class StudyPage(Reply):
    """Some studies, and where the next ones are; the first page lists the files that are no study."""

    model_config = ConfigDict(json_schema_extra=example(items=[STUDY], next=None, invalid=[]))

    items: list[StudyReply]
    next: str | None
    invalid: list[InvalidFileReply]


STATES = (
    TrialState.WAITING,
    TrialState.RUNNING,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
)


def sampler_of(view: StudyView) -> dict[str, Any]:
    """A SamplerReply. `failure` is there only after the sampler has failed."""
    found = {**view.spec.sampler, "engine": engine_of(view.spec.problem)}
    return found if view.sampler_failure is None else {**found, "failure": view.sampler_failure}


def invalid_of(file: InvalidFile) -> dict[str, Any]:
    """A file that is no study."""
    return {"file": file.file, "errors": file.errors}


def study_of(view: StudyView) -> dict[str, Any]:
    """A Study."""
    spec, best = view.spec, view.best
    return {
        "name": view.name,
        "slug": view.slug,
        "uid": view.uid,
        "description": view.description,
        "state": view.state,
        "finished_reason": view.finished_reason,
        "objectives": [{"name": o.name, "direction": o.direction} for o in spec.objectives],
        "metric_names": view.metric_names and list(view.metric_names),
        "metric_names_error": view.metric_names_error,
        "parameters": {p.name: parameter_to_wire(p) for p in spec.parameters},
        "sampler": sampler_of(view),
        "pruner": dict(spec.pruner),
        "limits": view.limits.to_json(),
        "limits_source": dict(view.limits_source),
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
