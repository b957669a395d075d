"""Pages of a listing, and the opaque token of the next one."""

import base64
import hashlib
import json
from typing import Any

from optunapi.errors import RequestInvalid


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
