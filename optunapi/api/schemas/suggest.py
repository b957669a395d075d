"""Body and reply of define-by-run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from optunapi.api.schemas.fields import WHOLE, Body, LeaseId, Reply, Scalar, Value, example
from optunapi.api.schemas.trials import OnTrial

# Optuna's columns for names have 512 characters, and PostgreSQL's texts no NUL.
ParamName = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
Whole = Annotated[int, WHOLE]


class FloatBody(Body):
    """A number from `low` to `high`, both among them."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None


class IntBody(Body):
    """A whole number from `low` to `high`, both among them."""

    type: Literal["int"]
    low: Whole
    high: Whole
    log: bool = False
    step: Whole | None = None


class CategoricalBody(Body):
    """One of some values."""

    type: Literal["categorical"]
    choices: Annotated[list[Value], Field(min_length=1)]


class SuggestBody(OnTrial):
    """A parameter that a running trial asks for."""

    model_config = ConfigDict(
        json_schema_extra=example(
            name="units_2", distribution={"type": "int", "low": 8, "high": 512, "log": True}
        )
    )

    name: ParamName
    distribution: Annotated[FloatBody | IntBody | CategoricalBody, Field(discriminator="type")]
    lease: LeaseId | None = None


class SuggestReply(Reply):
    """A parameter's value."""

    model_config = ConfigDict(json_schema_extra=example(value=64))

    value: Scalar
