"""What the routes of v1 share: names and numbers checked, idempotency keys read."""

import hashlib
import json
import re
from collections import Counter
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BeforeValidator, Field
from starlette.convertors import StringConvertor, register_url_convertor

from optunapi.api.http.bodies import MAX_ERRORS
from optunapi.api.http.openapi import Errors
from optunapi.api.schemas.fields import Body
from optunapi.engine.names import NAME
from optunapi.errors import (
    ConfigInvalid,
    CrossSite,
    NameInvalid,
    RequestInvalid,
    StudyNotFound,
    TrialNotFound,
)
from optunapi.security.cross_site import cross_site_refused

CHANGES_STATE = [Depends(cross_site_refused)]


class _Trial(StringConvertor):
    """Where a trial's number stands at the end of a path, and no other route has a word there."""

    regex = "(?!batch$)[^/]+"


register_url_convertor("trial", _Trial())

ON_STUDY: Errors = (NameInvalid, RequestInvalid, ConfigInvalid, StudyNotFound)
ON_TRIAL: Errors = (*ON_STUDY, TrialNotFound)
CHANGES: Errors = (CrossSite,)

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


def _decimal(value: Any) -> Any:
    # Pydantic would read 1_0 as 10 and 7.0 as 7: one trial has one address.
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("this is not a whole number written in digits alone")
    return value


# After the bounds, in a `Field`: given to `Path` or `Query` they would be missing in the document.
Digits = BeforeValidator(_decimal)
Number = Annotated[
    int, Field(ge=0, lt=2**53), Digits, Path(description="The trial's number.", examples=[0])
]
Count = Annotated[int, Field(ge=1, le=1000), Digits]
Limit = Annotated[Count, Query(description="At most so many.")]
Page = Annotated[
    str | None, Query(max_length=1000, description="`next` of the page before.", alias="page")
]
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def _seconds(value: Any) -> Any:
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("this is not a number of seconds, such as 30 or 0.5")
    return value


Wait = Annotated[
    float,
    Field(ge=0, le=300),
    BeforeValidator(_seconds),
    Query(description="Seconds to wait for a trial or a place to become free."),
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
    """A name that a study can have.

    Raises:
        NameInvalid: it cannot.
    """
    if not NAME.fullmatch(name):
        raise NameInvalid(
            "a study's name has 1 to 128 letters, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )
    return name


Name = Annotated[str, Depends(checked_name)]


async def refuse_repeats(request: Request) -> None:
    """Let a request through that gives each query parameter once.

    Raises:
        RequestInvalid: one stands twice, and which is meant nobody can know.
    """
    names = Counter(name for name, _ in request.query_params.multi_items())
    if repeated := sorted(name for name, count in names.items() if count > 1)[:MAX_ERRORS]:
        errors = [{"location": ["query", n], "reason": "give it once"} for n in repeated]
        raise RequestInvalid(f"the query gives {', '.join(repeated)} repeatedly", errors=errors)


def digest(kind: str, body: Body) -> str:
    """What tells a repeated request from another one under the same idempotency key."""
    text = json.dumps([kind, body.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
