"""Bodies and replies of many trials in one request."""

from typing import Annotated

from pydantic import ConfigDict, Field

from optunapi.api.schemas.fields import WHOLE, Body, Reply, example
from optunapi.api.schemas.problem import Problem
from optunapi.api.schemas.trials import (
    ONE_WAY_OF_GIVING_VALUES,
    TRIAL,
    AskBody,
    TellBody,
    TellReply,
)


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
    trial: TellReply | None = None
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
