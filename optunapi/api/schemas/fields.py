"""What bodies and replies are made of: base classes, the types of fields, examples."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from optunapi.local_times import utc_time

Scalar = str | int | float | bool | None


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 3.0 is 3 in JSON Schema, and in languages without integers.
    return int(value) if type(value) is float and value.is_integer() else value


WHOLE = BeforeValidator(_whole)


def _scalar(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise ValueError("a parameter's value is a text, a number, a boolean or null")
    return value


def _names(longest: int) -> AfterValidator:
    """For a mapping: its names fit Optuna's columns, and have no NUL, which PostgreSQL refuses."""

    def check(found: dict[str, Any]) -> dict[str, Any]:
        for name in found:
            if len(name) > longest or "\0" in name:
                raise ValueError(f"a name has at most {longest} characters, and no NUL among them")
        return found

    return AfterValidator(check)


def _names_schema(longest: int) -> dict[str, Any]:
    return {"propertyNames": {"maxLength": longest, "pattern": r"^[^\u0000]*$"}}


Value = Annotated[Scalar, BeforeValidator(_scalar)]
Params = Annotated[dict[str, Value], _names(512), Field(json_schema_extra=_names_schema(512))]
Constraints = Annotated[dict[str, float], _names(500), Field(json_schema_extra=_names_schema(500))]
NewAttrs = Annotated[dict[str, Any], _names(512), Field(json_schema_extra=_names_schema(512))]
Attrs = dict[str, Any]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Worker = Annotated[str, Field(min_length=1, max_length=255)]
LeaseSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
# Any text: one that is no id of ours is a lease that the trial never had, or another study's uid.
LeaseId = str
StudyUid = str


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


class Reply(BaseModel):
    """A reply; fields may be added to it."""

    model_config = ConfigDict(extra="allow")


def example(**fields: Any) -> dict[str, Any]:
    """The `json_schema_extra` that adds an example to a model's schema."""
    return {"examples": [fields]}


class Body(BaseModel):
    """A body's fields. Types are exact: no "3" for 3, no true for 1."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def finite(value: float | None) -> float | None:
    """The number, or None for one that is not finite: Optuna allows those, and JSON does not."""
    return value if value is not None and math.isfinite(value) else None


def time_of(value: datetime | float | None) -> str | None:
    """A time as RFC 3339 in UTC, from seconds since the epoch or from Optuna's local naive time."""
    if value is None:
        return None
    moment = utc_time(value) if isinstance(value, datetime) else datetime.fromtimestamp(value, UTC)
    # Milliseconds are easier to read, but what is shown must be what is stored.
    digits = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.isoformat(timespec=digits).replace("+00:00", "Z")


_STEP = r"(0|[1-9][0-9]{0,18})"


def _steps(values: dict[str, float | None]) -> dict[str, float | None]:
    for step in values:
        if not re.fullmatch(_STEP, step):
            raise ValueError("a step is a whole number of at most 19 digits")
    return values


Steps = Annotated[
    dict[str, float | None],
    AfterValidator(_steps),
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{_STEP}$"}}),
]


def by_step(values: Mapping[str, float | None]) -> dict[int, float]:
    """Intermediate values by step. Null is not a number."""
    return {int(step): math.nan if value is None else value for step, value in values.items()}
