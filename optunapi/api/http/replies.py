"""Replies: strict JSON that no cache keeps."""

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse, Response

NO_STORE = {"Cache-Control": "no-store"}

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class JsonReply(JSONResponse):
    """A reply in strict JSON. NaN and infinities, which Optuna allows, are null in it."""

    def __init__(
        self, content: Any, status_code: int = 200, headers: Mapping[str, str] = NO_STORE
    ) -> None:
        super().__init__(content, status_code, headers)

    def render(self, content: Any) -> bytes:
        """The content as JSON."""
        return strict_json(content)


def no_content() -> Response:
    """A reply without a body."""
    return Response(status_code=204, headers=NO_STORE)


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
