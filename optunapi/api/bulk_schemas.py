"""The wire's models of requests for many trials at once: the queue, imports, batches."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from optunapi.api.http.bodies import Body
from optunapi.api.schemas.fields import WHOLE, NewAttrs, Params, Reply, Value, example
from optunapi.api.schemas.problem import Problem
from optunapi.api.schemas.trials import (
    ONE_WAY_OF_GIVING_VALUES,
    TRIAL,
    AskBody,
    ResultBody,
    TellBody,
    TrialReply,
)

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE
)


def _seconds(value: Any) -> Any:
    """A time of RFC 3339 as seconds since the epoch."""
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("this is not a time as RFC 3339 writes it, as 2026-11-21T09:30:00Z")
    minute, second, fraction, zone = match.groups()
    # Python knows no leap second.
    leap = timedelta(seconds=second == "60")
    second = "59" if leap else second
    text = f"{minute}{second}{fraction or ''}{zone}".upper()
    return datetime.fromisoformat(text).timestamp() + leap.total_seconds()


Moment = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
_STEP = r"(0|[1-9][0-9]{0,9})"


def _steps(values: dict[str, float]) -> dict[str, float]:
    for step in values:
        if not re.fullmatch(_STEP, step):
            raise ValueError("a step is a whole number of at most ten digits")
    return values


Steps = Annotated[
    dict[str, float],
    AfterValidator(_steps),
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{_STEP}$"}}),
]
Grid = Annotated[dict[str, Annotated[list[Value], Field(min_length=1)]], Field(min_length=1)]


class PointBody(Body):
    """A point to be tried; parameters left out are sampled when it is handed out."""

    model_config = ConfigDict(json_schema_extra=example(params={"lr": 0.001}))

    params: Params
    user_attrs: NewAttrs = Field(default_factory=dict)
    skip_if_exists: bool = False


class QueueBody(Body):
    """One point, a list of them, or a grid: every combination of its values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"params": {"lr": 0.001}, "skip_if_exists": True},
                {"items": [{"params": {"lr": 0.001}}, {"params": {"lr": 0.01}}]},
                {"grid": {"lr": [0.1, 0.01], "layers": [1, 2]}},
            ]
        }
    )

    params: Params | None = None
    user_attrs: NewAttrs = Field(default_factory=dict)
    skip_if_exists: bool = False
    items: Annotated[list[PointBody], Field(min_length=1)] | None = None
    grid: Grid | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "QueueBody":
        if sum(form is not None for form in (self.params, self.items, self.grid)) != 1:
            raise ValueError("give one of `params` (a point), `items` (several) and `grid`")
        if self.params is None and self.model_fields_set & {"user_attrs", "skip_if_exists"}:
            raise ValueError("`user_attrs` and `skip_if_exists` stand beside a point's `params`")
        return self


class QueueReply(Reply):
    """The waiting trial of one point, or `items` with one for each."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"$ref": "#/components/schemas/TrialReply"},
                {"$ref": "#/components/schemas/TrialList"},
            ],
            **example(items=[TRIAL]),
        }
    )


class ImportedBody(ResultBody):
    """A trial that was finished elsewhere. Times are RFC 3339, by default now."""

    model_config = ConfigDict(
        json_schema_extra=example(params={"lr": 0.001}, values=[0.02]) | ONE_WAY_OF_GIVING_VALUES
    )

    params: Params
    distributions: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Needed where the study has no parameters of its own."
    )
    intermediate_values: Steps = Field(default_factory=dict)
    started_at: Moment | None = None
    finished_at: Moment | None = None


class ImportBody(Body):
    """Trials to be taken in, all of them or none."""

    model_config = ConfigDict(
        json_schema_extra=example(
            items=[
                {"params": {"lr": 0.001}, "values": [0.02], "finished_at": "2026-11-20T09:30:00Z"},
                {"params": {"lr": 0.01}, "state": "fail", "reason": "diverged"},
            ]
        )
    )

    items: Annotated[list[ImportedBody], Field(min_length=1)]


class ImportReply(Reply):
    """How many trials were taken in."""

    model_config = ConfigDict(json_schema_extra=example(imported=2))

    imported: int


class BatchAskBody(AskBody):
    """What a worker may say when it asks for several trials."""

    model_config = ConfigDict(
        json_schema_extra=example(count=8, worker="gpu-03-4711", lease_seconds=60.0)
    )

    count: Annotated[int, Field(ge=1, le=1000), WHOLE]


class TellItem(TellBody):
    """The result of one of several trials."""

    model_config = ConfigDict(
        json_schema_extra=example(number=7, values=[0.02]) | ONE_WAY_OF_GIVING_VALUES
    )

    number: Annotated[int, Field(ge=0, lt=2**53), WHOLE]


class BatchTellBody(Body):
    """The results of several trials."""

    model_config = ConfigDict(
        json_schema_extra=example(
            items=[{"number": 7, "values": [0.02]}, {"number": 8, "state": "fail"}]
        )
    )

    items: Annotated[list[TellItem], Field(min_length=1, max_length=1000)]


class TellOutcome(Reply):
    """What a tell of this trial alone would have been answered: its status, and the trial or the error."""

    number: int
    status: int
    trial: TrialReply | None = None
    error: Problem | None = None


class BatchTellReply(Reply):
    """What each tell came to, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra=example(
            items=[
                {"number": 7, "status": 200, "trial": TRIAL},
                {
                    "number": 99,
                    "status": 404,
                    "error": {
                        "type": "urn:optunapi:error:trial-not-found",
                        "title": "Not Found",
                        "status": 404,
                        "detail": "the study has no trial 99",
                        "code": "trial-not-found",
                    },
                },
            ]
        )
    )

    items: list[TellOutcome]
