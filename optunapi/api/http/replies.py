"""Replies of handlers: strict JSON that no cache keeps. The class of a reply is its HTTP status.

`Routes.add` takes the status of a route from the return type of its handler.
"""

import json
import math
from typing import Any, ClassVar

from fastapi.responses import JSONResponse, Response

NO_STORE = {"Cache-Control": "no-store"}

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class JsonReply(JSONResponse):
    """A reply in strict JSON. NaN and infinities, which Optuna allows, are null in it."""

    status: ClassVar[int]

    def __init__(self, content: Any) -> None:
        super().__init__(content, self.status, NO_STORE)

    def render(self, content: Any) -> bytes:
        """The content as JSON."""
        return strict_json(content)


class Ok(JsonReply):
    """200: the request succeeded."""

    status = 200


class Created(JsonReply):
    """201: the request created something."""

    status = 201


class NoBody(Response):
    """200 to HEAD: the request would succeed. How long the body would be is not known."""

    status = 200

    def __init__(self) -> None:
        super().__init__(status_code=self.status, headers=NO_STORE, media_type=Ok.media_type)
        del self.headers["Content-Length"]


class NoContent(Response):
    """204: the request succeeded, and the reply has no body."""

    status = 204

    def __init__(self) -> None:
        super().__init__(status_code=self.status, headers=NO_STORE)


def strict_json(content: Any) -> bytes:
    """Strict JSON in UTF-8. NaN and infinities, which Optuna allows, become null."""
    try:
        text = _ENCODER.encode(content)
    except ValueError:
        text = _ENCODER.encode(_strict(content))
    return text.encode("utf-8", errors="replace")


def _strict(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _strict(item) for key, item in value.items()}
        case list() | tuple():
            return [_strict(item) for item in value]
    return value
