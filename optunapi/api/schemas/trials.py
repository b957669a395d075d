"""Bodies and replies of one trial: asked for, told, reported, renewed, released, looked at."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from optuna.trial import FrozenTrial, TrialState
from pydantic import ConfigDict, Field, model_validator

from optunapi.api.schemas.fields import (
    WHOLE,
    Attrs,
    Body,
    Constraints,
    LeaseId,
    LeaseSeconds,
    NewAttrs,
    Params,
    Reply,
    Scalar,
    StudyUid,
    Time,
    Worker,
    example,
    finite,
    time_of,
)
from optunapi.engine.leases import Lease
from optunapi.engine.records import TrialRecord, retry_of
from optunapi.engine.spec.distributions import distribution_to_wire
from optunapi.engine.state.templates import given_params
from optunapi.engine.values import Told, TrialView

# Requests


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


class OnTrial(Body):
    """What every request on a trial may say: which study it is about, if the name is another's by now."""

    study_uid: StudyUid | None = None


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


class TellBody(OnTrial, ResultBody):
    """A trial's result, as its worker tells it."""

    model_config = ConfigDict(
        json_schema_extra=example(values=[0.02], lease="9a1be2c0d4f35e67")
        | ONE_WAY_OF_GIVING_VALUES
    )

    lease: LeaseId | None = None


class ReportBody(OnTrial):
    """An intermediate value."""

    model_config = ConfigDict(
        json_schema_extra=example(step=1, value=0.41, lease="9a1be2c0d4f35e67")
    )

    step: Annotated[int, Field(ge=0, lt=2**63), WHOLE]
    value: Annotated[float | None, Field(description="Null: not a number. It is kept as such.")]
    infinity: Annotated[
        Literal["+", "-"] | None,
        Field(description="With a `value` of null: the value is infinite, with this sign."),
    ] = None
    lease: LeaseId | None = None

    @model_validator(mode="after")
    def _infinity_stands_for_the_value(self) -> Self:
        if self.infinity is not None and self.value is not None:
            raise ValueError("`infinity` goes with a `value` of null")
        return self

    @property
    def number(self) -> float:
        """The value, which JSON cannot hold if it is not finite."""
        if self.value is not None:
            return self.value
        return math.nan if self.infinity is None else float(f"{self.infinity}inf")


class RenewBody(OnTrial):
    """A lease that goes on."""

    model_config = ConfigDict(json_schema_extra=example(lease="9a1be2c0d4f35e67"))

    lease: LeaseId
    lease_seconds: LeaseSeconds | None = None


class ReleaseBody(OnTrial):
    """A trial that is given back."""

    model_config = ConfigDict(json_schema_extra=example(lease="9a1be2c0d4f35e67"))

    lease: LeaseId | None = None


class TrialBody(OnTrial):
    """The body of a request that names a trial and has nothing more to say."""

    model_config = ConfigDict(json_schema_extra=example(study_uid="5b1c0e4f2a7d9386"))


class TrialPatch(OnTrial):
    """Attributes to set."""

    model_config = ConfigDict(json_schema_extra=example(user_attrs={"host": "gpu-03"}))

    user_attrs: NewAttrs


# Replies


LEASE = {"id": "9a1be2c0d4f35e67", "expires_at": "2026-11-21T09:30:00.000Z"}
TRIAL = {
    "study": "cifar",
    "study_uid": "5b1c0e4f2a7d9386",
    "number": 7,
    "state": "running",
    "params": {"lr": 0.001},
    "distributions": {},
    "values": None,
    "intermediate_values": {"1": 0.41},
    "constraints": {},
    "user_attrs": {"host": "gpu-03"},
    "worker": "gpu-03-4711",
    "attempt": 1,
    "lease": LEASE,
    "stop_requested": False,
    "fail_reason": None,
    "retry_of": None,
    "spec_version": "9f2c41d07a6b",
    "created_at": "2026-11-21T09:29:00.000Z",
    "started_at": "2026-11-21T09:29:00.000Z",
    "finished_at": None,
}


class LeaseReply(Reply):
    """One attempt's hold on a trial."""

    id: str
    expires_at: Time


class TrialReply(Reply):
    """A trial."""

    model_config = ConfigDict(json_schema_extra=example(**TRIAL))

    study: str
    study_uid: str
    number: int
    state: Literal["waiting", "running", "complete", "pruned", "fail"]
    params: dict[str, Scalar]
    distributions: dict[str, dict[str, Any]]
    values: list[float | None] | None
    intermediate_values: dict[str, float | None]
    constraints: dict[str, float | None]
    user_attrs: Attrs
    worker: str | None
    attempt: int
    lease: LeaseReply | None
    stop_requested: bool
    fail_reason: str | None
    retry_of: int | None
    spec_version: str | None
    created_at: Time | None
    started_at: Time | None
    finished_at: Time | None


class TellReply(TrialReply):
    """The closed trial. `ignored` is there only if the trial had been finished before and keeps what it
    had: it names the fields of this tell that were not stored, such as `user_attrs.cost`.
    """

    model_config = ConfigDict(
        json_schema_extra=example(
            **TRIAL | {"state": "complete", "values": [0.02], "lease": None},
            ignored=["user_attrs.cost"],
        )
    )

    ignored: list[str] = Field(default_factory=list)


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


def values_of(trial: FrozenTrial) -> list[float | None] | None:
    """One value for each objective, or None while there are none."""
    return [finite(value) for value in trial.values] if trial.values else None


def lease_of(lease: Lease | None) -> dict[str, Any] | None:
    """A LeaseReply."""
    return None if lease is None else {"id": lease.id, "expires_at": time_of(lease.expires_at)}


def suggested(view: TrialView, record: TrialRecord) -> dict[str, Any]:
    """The distributions that the trial has beyond the specification of its version."""
    found, configured = view.trial.distributions, view.configured.get(record.spec_version)
    if record.configured is not None or configured is None:
        configured = frozenset(record.configured or ())
    if found.keys() <= configured:
        return {}
    return {
        name: distribution_to_wire(each) for name, each in found.items() if name not in configured
    }


def shown_params(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial has, or is queued with."""
    return given_params(trial) if trial.state == TrialState.WAITING else trial.params


def trial_of(view: TrialView) -> dict[str, Any]:
    """A TrialReply."""
    trial, record = view.trial, TrialRecord.of(view.trial)
    return {
        "study": view.study,
        "study_uid": view.study_uid,
        "number": trial.number,
        "state": trial.state.name.lower(),
        "params": shown_params(trial),
        "distributions": suggested(view, record),
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
        "retry_of": retry_of(record, trial.system_attrs),
        "spec_version": record.spec_version,
        "created_at": time_of(record.created_at or trial.datetime_start),
        "started_at": time_of(trial.datetime_start),
        "finished_at": time_of(trial.datetime_complete),
    }


def told_of(told: Told) -> dict[str, Any]:
    """A TellReply."""
    content = trial_of(told.view)
    return {**content, "ignored": list(told.ignored)} if told.ignored else content


def trials_of(views: Iterable[TrialView]) -> dict[str, Any]:
    """A TrialList."""
    return {"items": [trial_of(view) for view in views]}
