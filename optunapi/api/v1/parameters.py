"""What the routes of v1 share: their prefix, and the parameters that many of them have."""

import re
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field
from starlette.convertors import StringConvertor, register_url_convertor

from optunapi.api.http.bodies import JsonBody
from optunapi.api.http.routes import V1, PathPart, Routes
from optunapi.api.schemas.fields import StudyUid
from optunapi.api.schemas.trials import TrialBody
from optunapi.engine.names import NAME
from optunapi.errors import ConfigInvalid, NameInvalid, RequestInvalid, StudyNotFound, TrialNotFound

TRIAL = "/studies/{name}/trials/{n}"
TRIAL_ITSELF = "/studies/{name}/trials/{n:trial}"


class _Trial(StringConvertor):
    """A trial's number at the end of a path, where another route has the word `batch`."""

    regex = "(?!batch$)[^/]+"


register_url_convertor("trial", _Trial())

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


def _decimal(value: Any) -> Any:
    # A trial has one address, and Pydantic would read 1_0 as 10 and 7.0 as 7.
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("this is not a whole number in digits alone")
    return value


# Comes after the bounds, which are in a `Field`: in a `Path` or `Query` the document would not have them.
Digits = BeforeValidator(_decimal)
Number = Annotated[
    int,
    Field(ge=0, lt=2**53),
    Digits,
    Path(description="The trial's number.", examples=[0]),
    # The pattern leaves out numbers near the bound, which FastAPI looks at.
    PathPart(pattern="0|[1-9][0-9]{0,14}", errors=(TrialNotFound,)),
]
Count = Annotated[int, Field(ge=1, le=1000), Digits]
Limit = Annotated[Count, Query(description="How many at most.")]
Page = Annotated[
    str | None, Query(max_length=1000, description="`next` of the page before.", alias="page")
]
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?([eE][ +-]?[0-9]{1,2})?")


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError("this is not a number of seconds, such as 30 or 0.5")
        return value.replace(" ", "+")  # as a plus in a URL is read
    return value


Wait = Annotated[
    float,
    Field(ge=0, le=300),
    BeforeValidator(_seconds),
    Query(description="Seconds to wait for a trial or a place to become free."),
]
OfWorker = Annotated[
    str | None,
    Query(min_length=1, max_length=255, description="Only those of this worker."),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key on the same study gives the same trials.",
    ),
]


async def checked_name(
    name: Annotated[
        str,
        Path(
            description="The study's name.",
            examples=["cifar"],
            json_schema_extra={"pattern": f"^{NAME.pattern}$"},
        ),
    ],
) -> str:
    """A study's name from the path.

    Raises:
        NameInvalid: no study can have this name.
    """
    if not NAME.fullmatch(name):
        raise NameInvalid(
            "a study's name has 1 to 128 letters, digits, dots, hyphens and underscores, "
            "and starts with a letter or digit"
        )
    return name


# The name of a study that a request may create, and of one that has to be there.
NewName = Annotated[
    str,
    Depends(checked_name),
    PathPart(pattern=NAME.pattern, errors=(NameInvalid, RequestInvalid, ConfigInvalid)),
]
Name = Annotated[NewName, PathPart(pattern=NAME.pattern, errors=(StudyNotFound,))]
# Which study a request on a trial is about: in the body, or in the query where there is no JSON body.
OfStudy = Annotated[TrialBody, Depends(JsonBody(TrialBody, optional=True))]
Uid = Annotated[
    Annotated[StudyUid, Field(min_length=1, max_length=255)] | None,
    Query(
        description="The study's `uid`: the request is refused if another study has the name by now."
    ),
]


def v1_routes(tag: str) -> Routes:
    """The routes of one resource, under the prefix that all of them share."""
    return Routes(tag, prefix=V1, name_of=_name_of)


def _name_of(route: APIRoute) -> str:
    """A route's operation id, after which generated clients name their functions."""
    return route.name
