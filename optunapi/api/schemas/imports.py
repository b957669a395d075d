"""Body and reply of an import: trials that were finished elsewhere."""

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag

from optunapi.api.schemas.exports import ExportedBody
from optunapi.api.schemas.fields import Body, Moment, Params, Reply, Steps, example
from optunapi.api.schemas.trials import ONE_WAY_OF_GIVING_VALUES, ResultBody


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


# Pydantic puts a tag among the parts of an error's location; no name in a body has a NUL.
TAGS = ("\0imported", "\0exported")


def _form(item: Any) -> str:
    return TAGS[1] if isinstance(item, dict) and item.keys() >= {"study", "number"} else TAGS[0]


Item = Annotated[
    Annotated[ImportedBody, Tag(TAGS[0])] | Annotated[ExportedBody, Tag(TAGS[1])],
    Discriminator(_form),
]


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

    items: Annotated[list[Item], Field(min_length=1)]


class ImportReply(Reply):
    """How many trials were taken in."""

    model_config = ConfigDict(json_schema_extra=example(imported=2))

    imported: int
