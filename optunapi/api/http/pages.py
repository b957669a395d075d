"""Pages of a listing, and the opaque token of the next page."""

import base64
import hashlib
import json
from typing import Any

from optunapi.api.http.bodies import request_invalid


def page(items: list[Any], scope: str, cursor: Any) -> dict[str, Any]:
    """A page of a listing; `cursor` is where the next page begins, or None after the last one."""
    return {"items": items, "next": None if cursor is None else _encode([_mark(scope), cursor])}


def _encode(cursor: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


def _mark(scope: str) -> str:
    return hashlib.sha256(scope.encode()).hexdigest()[:12]


def cursor_of(token: str | None, scope: str, *kinds: type) -> Any:
    """The cursor in the token of a page of the same listing; None for the first page.

    Its type is the one in `kinds`, or if there are several, a list of values of these types. `scope`
    identifies the listing: its study, filters and order.

    Raises:
        RequestInvalid: the token is not one of this listing.
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
    if mark != _mark(scope) or not _is_of(cursor, kinds):
        reason = "this is not the `next` of a page of this listing: start without `page`"
        raise request_invalid(reason, "query", "page")
    return cursor


def _is_of(cursor: Any, kinds: tuple[type, ...]) -> bool:
    if len(kinds) == 1:
        return type(cursor) is kinds[0]
    return isinstance(cursor, list) and tuple(map(type, cursor)) == kinds
