"""What a reply that is no success says, as an exception of `optunapi.errors`."""

import email.utils
import time
from collections.abc import Iterator, Mapping
from typing import Any

from optunapi.errors import (
    OptunAPIError,
    RateLimited,
    ServerUnavailable,
    TryLater,
    UnexpectedReply,
)

# What proxies say for a server they do not reach, or that broke down before it could say anything.
PASSING = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528), 530})
TOO_MANY = 429
STANDARD = frozenset({"type", "title", "status", "detail", "code"})


def _classes(base: type[OptunAPIError]) -> Iterator[type[OptunAPIError]]:
    for each in base.__subclasses__():
        yield from _classes(each)
        if "code" in vars(each):
            yield each


BY_CODE: Mapping[str, type[OptunAPIError]] = {each.code: each for each in _classes(OptunAPIError)}


def error_of(
    url: str, status: int, document: Any, headers: Mapping[str, str] | None = None
) -> OptunAPIError:
    """The exception for a reply of this status whose content is `document`.

    A code that this version does not know gives an `OptunAPIError` with that `code`.
    """
    headers = headers or {}
    if not isinstance(document, Mapping) or not isinstance(document.get("code"), str):
        wait = retry_after(headers, default=0.0)
        if status in PASSING:
            detail = f"{url} answers {status}: its server is not reached, or broke down"
            return ServerUnavailable(detail, retry_after=wait, status=status)
        if status == TOO_MANY:
            detail = f"{url} answers {status}: a proxy before it lets no more requests through"
            return RateLimited(detail, retry_after=wait, status=status)
        return UnexpectedReply(
            f"{url} answers {status}{_location(headers)}, and not as an OptunAPI server does: "
            "is the URL that of the server?",
            status=status,
        )
    code, detail = document["code"], str(document.get("detail", ""))
    known = BY_CODE.get(code)
    extra = {key: value for key, value in document.items() if key not in STANDARD}
    if known is not None and issubclass(known, TryLater):
        return known(detail, retry_after=retry_after(headers, default=1.0), status=status)
    error = (known or OptunAPIError)(detail, status=status)
    error.extra = extra
    if known is None:
        error.code = code
    return error


def retry_after(headers: Mapping[str, str], *, default: float) -> float:
    """Seconds that `Retry-After` asks to wait, given as a number or as a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return default


def _location(headers: Mapping[str, str]) -> str:
    place = headers.get("Location")
    return f" and points to {place}" if place else ""
