"""Bodies and replies of the queue."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from optunapi.api.schemas.fields import Body, NewAttrs, Params, Reply, Value, example
from optunapi.api.schemas.trials import TRIAL

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
