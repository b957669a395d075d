"""Replies: strict JSON that no cache keeps, and pages."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from optunapi.errors import RequestInvalid

NO_STORE = {"Cache-Control": "no-store"}


class JsonReply(JSONResponse):
    """Strict JSON; what Optuna allows and JSON does not (NaN, infinities) shows as null."""

    def __init__(
        self, content: Any, status_code: int = 200, headers: Mapping[str, str] = NO_STORE
    ) -> None:
        super().__init__(content, status_code, headers)

    def render(self, content: Any) -> bytes:
        """The text."""
        return strict_json(content)


def strict_json(content: Any) -> bytes:
    """Strict JSON in UTF-8; what Optuna allows and JSON does not (NaN, infinities) shows as null."""
    try:
        return _dumps(content)
    except ValueError:
        return _dumps(_strict(content))


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _dumps(content: Any) -> bytes:
    return _ENCODER.encode(content).encode("utf-8", errors="replace")


def _strict(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _strict(item) for key, item in value.items()}
        case list() | tuple():
            return [_strict(item) for item in value]
    return value


def page(items: list[Any], scope: str, cursor: Any) -> dict[str, Any]:
    """A page of `scope`; `cursor` is where the next one begins, or None after the last."""
    return {"items": items, "next": None if cursor is None else _encode([_mark(scope), cursor])}


def _encode(cursor: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:12]


def cursor_of(token: str | None, scope: str, kind: type) -> Any:
    """The cursor in a token that a page of `scope` gave, of a `kind`; None for the first page.

    `scope` says which listing it is: its study, its filters, its order.

    Raises:
        RequestInvalid: this is no such token.
    """
    if token is None:
        return None
    try:
        content = json.loads(
            base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        )
        mark, cursor = content
    except (ValueError, TypeError, RecursionError):
        mark = cursor = None
    if mark != _mark(scope) or type(cursor) is not kind:
        reason = "this is not what a page of this listing gave as `next`: begin without `page`"
        raise RequestInvalid(reason, errors=[{"location": ["query", "page"], "reason": reason}])
    return cursor
