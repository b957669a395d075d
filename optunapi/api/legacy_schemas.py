"""The wire's models: what bodies hold, and what replies look like in the OpenAPI document."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from optunapi.api.bodies import Body
from optunapi.engine.names import NAME

Scalar = str | int | float | bool | None


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 3.0 is 3 to JSON Schema, and to languages that know no integers.
    return int(value) if type(value) is float and value.is_integer() else value


WHOLE = BeforeValidator(_whole)


def _scalar(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ValueError("a parameter's value is a text, a number, a boolean or null")
    return value


def _names(longest: int) -> AfterValidator:
    """For a mapping: its names fit Optuna's columns, and hold no NUL, which PostgreSQL refuses."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        for name in found:
            if len(name) > longest or "\0" in name:
                raise ValueError(f"a name has at most {longest} characters, and no NUL among them")
        return found

    return AfterValidator(check)


def _names_schema(longest: int) -> dict[str, Any]:
    return {"propertyNames": {"maxLength": longest, "pattern": r"^[^\u0000]*$"}}


Value = Annotated[Scalar, BeforeValidator(_scalar)]
Params = Annotated[
    dict[str, Value],
    _names(512),
    Field(json_schema_extra=_names_schema(512)),
]
Constraints = Annotated[dict[str, float], _names(500), Field(json_schema_extra=_names_schema(500))]
NewAttrs = Annotated[dict[str, Any], _names(512), Field(json_schema_extra=_names_schema(512))]
Attrs = dict[str, Any]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Worker = Annotated[str, Field(min_length=1, max_length=255)]
LeaseSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
LeaseId = Annotated[str, Field(min_length=1, max_length=255)]

# Requests


def example(**fields: Any) -> dict[str, Any]:
    """What adds an example to a model's schema."""
    return {"examples": [fields]}


class AskBody(Body):
    """What a worker may say when it asks for a trial."""

    model_config = ConfigDict(json_schema_extra=example(worker="gpu-03-4711", lease_seconds=60.0))

    worker: Worker | None = None
    resume: bool = False
    lease_seconds: LeaseSeconds | None = None
    params: Params = Field(default_factory=dict)
    user_attrs: NewAttrs = Field(default_factory=dict)

    @model_validator(mode="after")
    def _resume_names_a_worker(self) -> "AskBody":
        if self.resume and self.worker is None:
            raise ValueError("resume gives a worker its own trial back: name it in `worker`")
        return self


# What `_one_way_of_giving_values` checks.
ONE_WAY_OF_GIVING_VALUES: dict[str, Any] = {
    "not": {
        "required": ["value", "values"],
        "properties": {"value": {"type": "number"}, "values": {"type": "array"}},
    }
}


class ResultBody(Body):
    """A trial's result."""

    model_config = ConfigDict(json_schema_extra=ONE_WAY_OF_GIVING_VALUES)

    state: Literal["complete", "pruned", "fail"] = "complete"
    value: float | None = None
    values: list[float] | None = None
    reason: Annotated[str, Field(max_length=10_000)] | None = None
    constraints: Constraints = Field(default_factory=dict)
    user_attrs: NewAttrs = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_of_giving_values(self) -> Self:
        if self.value is not None and self.values is not None:
            raise ValueError("give `value` or `values`, not both")
        return self


class TellBody(ResultBody):
    """A trial's result, as its worker tells it."""

    model_config = ConfigDict(
        json_schema_extra=example(values=[0.02], lease="9a1be2c0d4f35e67")
        | ONE_WAY_OF_GIVING_VALUES
    )

    lease: LeaseId | None = None


class ReportBody(Body):
    """An intermediate value."""

    model_config = ConfigDict(
        json_schema_extra=example(step=1, value=0.41, lease="9a1be2c0d4f35e67")
    )

    step: Annotated[int, Field(ge=0, lt=2**31), WHOLE]
    value: float
    lease: LeaseId | None = None


class RenewBody(Body):
    """A lease that goes on."""

    model_config = ConfigDict(json_schema_extra=example(lease="9a1be2c0d4f35e67"))

    lease: LeaseId
    lease_seconds: LeaseSeconds | None = None


class ReleaseBody(Body):
    """A trial that is given back."""

    model_config = ConfigDict(json_schema_extra=example(lease="9a1be2c0d4f35e67"))

    lease: LeaseId | None = None


class EmptyBody(Body):
    """A body that has nothing to say."""

    model_config = ConfigDict(json_schema_extra=example())


class TrialPatch(Body):
    """Attributes to set."""

    model_config = ConfigDict(json_schema_extra=example(user_attrs={"host": "gpu-03"}))

    user_attrs: NewAttrs


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
    user_attrs: NewAttrs = Field(default_factory=dict)


class ForkBody(Body):
    """The name of the study that a fork makes."""

    model_config = ConfigDict(json_schema_extra=example(name="cifar-2"))

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]


# Replies


class Reply(BaseModel):
    """A reply; fields may be added to it."""

    model_config = ConfigDict(extra="allow")


class Problem(Reply):
    """What was wrong with a request (RFC 9457). Some codes say more in fields of their own."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] = Field(
        default_factory=list,
        description="`request-invalid`: location and reason; `config-invalid`: file, line, key, reason.",
    )
    diff: list[dict[str, Any]] = Field(
        default_factory=list, description="`spec-conflict`: key, old and new."
    )
    trial: "TrialReply | None" = Field(
        default=None, description="`trial-finished`: the stored one."
    )
    finished_reason: str | None = Field(default=None, description="`study-finished`: why.")
    request_id: str | None = Field(default=None, description="`internal`: what is in the log.")


LEASE = {"id": "9a1be2c0d4f35e67", "expires_at": "2026-11-21T09:30:00.000Z"}
TRIAL = {
    "study": "cifar",
    "number": 7,
    "state": "running",
    "params": {"lr": 0.001},
    "values": None,
    "intermediate_values": {"1": 0.41},
    "constraints": {},
    "user_attrs": {"host": "gpu-03"},
    "worker": "gpu-03-4711",
    "attempt": 1,
    "lease": LEASE,
    "stop_requested": False,
    "fail_reason": None,
    "spec_version": "9f2c41d07a6b",
    "created_at": "2026-11-21T09:29:00.000Z",
    "started_at": "2026-11-21T09:29:00.000Z",
    "finished_at": None,
}
STUDY = {
    "name": "cifar",
    "slug": "cifar",
    "state": "open",
    "finished_reason": None,
    "objectives": [{"name": "score", "direction": "minimize"}],
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


class LeaseReply(Reply):
    """One attempt's hold on a trial."""

    id: str
    expires_at: Time


class TrialReply(Reply):
    """A trial."""

    model_config = ConfigDict(json_schema_extra=example(**TRIAL))

    study: str
    number: int
    state: Literal["waiting", "running", "complete", "pruned", "fail"]
    params: dict[str, Scalar]
    values: list[float | None] | None
    intermediate_values: dict[str, float | None]
    constraints: dict[str, float | None]
    user_attrs: Attrs
    worker: str | None
    attempt: int
    lease: LeaseReply | None
    stop_requested: bool
    fail_reason: str | None
    spec_version: str | None
    created_at: Time | None
    started_at: Time | None
    finished_at: Time | None


class TrialPage(Reply):
    """Some trials, and where the next ones are."""

    model_config = ConfigDict(json_schema_extra=example(items=[TRIAL], next="WyI0ZjNiIiwgN10"))

    items: list[TrialReply]
    next: str | None


class TrialList(Reply):
    """Some trials."""

    model_config = ConfigDict(json_schema_extra=example(items=[TRIAL]))

    items: list[TrialReply]


class ReportReply(Reply):
    """Whether to go on."""

    model_config = ConfigDict(
        json_schema_extra=example(should_prune=False, stop_requested=False, lease=LEASE)
    )

    should_prune: bool
    stop_requested: bool
    lease: LeaseReply | None


class RenewReply(Reply):
    """Whether to go on, and until when the trial is held."""

    model_config = ConfigDict(json_schema_extra=example(stop_requested=False, lease=LEASE))

    stop_requested: bool
    lease: LeaseReply | None


class CancelReply(Reply):
    """How many open trials were cancelled."""

    model_config = ConfigDict(json_schema_extra=example(cancelled=3))

    cancelled: int


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
    """The sampler with its arguments, and what draws: rustuna, which is in Rust, or Optuna itself."""

    name: str
    engine: Literal["optuna", "rustuna"]


class StudyReply(Reply):
    """A study."""

    model_config = ConfigDict(json_schema_extra=example(**STUDY))

    name: str
    slug: str
    state: Literal["open", "paused", "finished"]
    finished_reason: str | None
    objectives: list[ObjectiveReply]
    parameters: dict[str, dict[str, Any]]
    sampler: SamplerReply
    pruner: dict[str, Any]
    limits: LimitsReply
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


class StudyPage(Reply):
    """Some studies, and where the next ones are."""

    model_config = ConfigDict(json_schema_extra=example(items=[STUDY], next=None))

    items: list[StudyReply]
    next: str | None


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


ARTIFACT = {
    "artifact_id": "5a1de2b0-0d55-4a53-9f9c-6f1f9d2f1c3e",
    "filename": "model.pt",
    "size": 5,
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "uploaded_at": "2026-11-21T09:29:00.000Z",
}


class ArtifactReply(Reply):
    """A file kept with a trial; one that Optuna itself uploaded has no size, SHA-256 and time."""

    model_config = ConfigDict(json_schema_extra=example(**ARTIFACT))

    artifact_id: str
    filename: str
    size: int | None
    sha256: str | None
    uploaded_at: Time | None


class ArtifactList(Reply):
    """The files kept with a trial, in the order of their upload."""

    model_config = ConfigDict(json_schema_extra=example(items=[ARTIFACT]))

    items: list[ArtifactReply]


class PruneReply(Reply):
    """How many artifacts were deleted, and how many bytes they had together."""

    model_config = ConfigDict(json_schema_extra=example(deleted=3, size=1_500_000))

    deleted: int
    size: int


class LegacyAskReply(Reply):
    """A trial, as OptunAPI 0.1 hands it out."""

    model_config = ConfigDict(
        json_schema_extra=example(
            model_name="cifar",
            trial_id=7,
            params={"lr": 0.001},
            running_trials=1,
            completed_trials=6,
        )
    )

    model_name: str
    trial_id: int
    params: dict[str, Scalar]
    running_trials: int
    completed_trials: int


class LegacyTellReply(Reply):
    """A scored trial and the best one, as OptunAPI 0.1 shows them."""

    model_config = ConfigDict(
        json_schema_extra=example(
            model_name="cifar",
            trial_id=7,
            params={"lr": 0.001},
            score=0.02,
            best_trial=7,
            best_trial_id=7,
            best_score_id=7,
            best_params={"lr": 0.001},
            best_score=0.02,
            running_trials=0,
            completed_trials=7,
            state="complete",
        )
    )

    model_name: str
    trial_id: int
    params: dict[str, Scalar]
    score: float | list[float | None] | None
    best_trial: int | None
    best_trial_id: int | None
    best_score_id: int | None
    best_params: dict[str, Scalar] | None
    best_score: float | list[float | None] | None
    running_trials: int
    completed_trials: int
    state: Literal["waiting", "running", "complete", "pruned", "fail"]


class StatusReply(Reply):
    """How the server is."""

    model_config = ConfigDict(json_schema_extra=example(status="alive"))

    status: str


class VersionReply(Reply):
    """Versions of OptunAPI and what it runs on."""

    model_config = ConfigDict(
        json_schema_extra=example(
            optunapi="1.0.0", optuna="5.0.0", python="3.11.7", storage="sqlite"
        )
    )

    optunapi: str
    optuna: str
    python: str
    storage: str
