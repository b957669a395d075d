"""Replies that are not a success, as exceptions of `optunapi.errors`."""

import email.utils
import time
from collections.abc import Iterator, Mapping
from typing import Any

from optunapi.errors import OptunAPIError, RateLimited, ServerUnavailable, TryLater, UnexpectedReply

# What a proxy answers when it cannot reach the server, or when the server failed without a reply.
UNAVAILABLE = frozenset({408, 425, 500, 502, 503, 504, *range(520, 528), 530})
TOO_MANY_REQUESTS = 429
STANDARD = frozenset({"type", "title", "status", "detail", "code"})


def _classes(base: type[OptunAPIError]) -> Iterator[type[OptunAPIError]]:
    for each in base.__subclasses__():
        yield from _classes(each)
        if "code" in vars(each):
            yield each


BY_CODE: Mapping[str, type[OptunAPIError]] = {each.code: each for each in _classes(OptunAPIError)}


def error_of(
    url: str,
    status: int,
    document: Any,
    headers: Mapping[str, str] | None = None,
    *,
    hint: str = "",
) -> OptunAPIError:
    """Return the exception for a reply with this status and this decoded JSON.

    A code that this version does not know becomes an `OptunAPIError` with that `code`. What is said of a
    reply that is not an OptunAPI server's ends with `hint`.
    """
    headers = headers or {}
    if not isinstance(document, Mapping) or not isinstance(document.get("code"), str):
        return _not_a_problem(url, status, headers, f". {hint}" if hint else "")
    code, detail = document["code"], str(document.get("detail", ""))
    known = BY_CODE.get(code)
    if known is not None and issubclass(known, TryLater):
        return known(detail, retry_after=retry_after(headers, default=1.0), status=status)
    error = (known or OptunAPIError)(detail, status=status)
    error.extra = {key: value for key, value in document.items() if key not in STANDARD}
    if known is None:
        error.code = code
    return error


def _not_a_problem(url: str, status: int, headers: Mapping[str, str], hint: str) -> OptunAPIError:
    """Return the exception for a reply that no OptunAPI server sends."""
    wait = retry_after(headers, default=0.0)
    if status in UNAVAILABLE:
        detail = f"{url} answers {status}: its server cannot be reached or has failed{hint}"
        return ServerUnavailable(detail, retry_after=wait, status=status)
    if status == TOO_MANY_REQUESTS:
        detail = f"{url} answers {status}: a proxy in front of it limits the requests{hint}"
        return RateLimited(detail, retry_after=wait, status=status)
    location = headers.get("Location")
    points = f" and points to {location}" if location else ""
    return UnexpectedReply(
        f"{url} answers {status}{points}, which is not the reply of an OptunAPI server: "
        f"is this the server's URL?{hint.removeprefix('.')}",
        status=status,
    )


def retry_after(headers: Mapping[str, str], *, default: float) -> float:
    """Return the seconds that `Retry-After` asks to wait, written as a number or as a date.

    A date counts from that of the reply: this machine's clock may be another one.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = headers.get("Date")
        until = email.utils.parsedate_to_datetime(text).timestamp()
        since = email.utils.parsedate_to_datetime(date).timestamp() if date else time.time()
    except (ValueError, OverflowError):
        return default
    return max(0.0, until - since)
