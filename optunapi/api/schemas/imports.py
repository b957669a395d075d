"""Body and reply of an import: trials that were finished elsewhere."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from optunapi.api.schemas.fields import Body, Params, Reply, example
from optunapi.api.schemas.trials import ONE_WAY_OF_GIVING_VALUES, ResultBody

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE
)


def _seconds(value: Any) -> Any:
    """A time of RFC 3339 as seconds since the epoch."""
    match = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("this is not a time as RFC 3339 writes it, as 2026-11-21T09:30:00Z")
    minute, second, fraction, zone = match.groups()
    # Python has no leap seconds.
    leap = timedelta(seconds=second == "60")
    second = "59" if leap else second
    text = f"{minute}{second}{fraction or ''}{zone}".upper()
    return datetime.fromisoformat(text).timestamp() + leap.total_seconds()


Moment = Annotated[
    float, BeforeValidator(_seconds), WithJsonSchema({"type": "string", "format": "date-time"})
]


_STEP = r"(0|[1-9][0-9]{0,18})"


def _steps(values: dict[str, float]) -> dict[str, float]:
    for step in values:
        if not re.fullmatch(_STEP, step):
            raise ValueError("a step is a whole number of at most 19 digits")
    return values


Steps = Annotated[
    dict[str, float],
    AfterValidator(_steps),
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{_STEP}$"}}),
]


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
