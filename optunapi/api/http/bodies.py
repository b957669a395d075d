"""Request bodies: strict JSON (RFC 8259), exact types, no unknown field, no more than allowed."""

import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from optunapi.api.schemas.fields import Body
from optunapi.errors import JsonInvalid, RequestInvalid, TooLarge

DEFAULT_MAX_BYTES = 2**20
MAX_DIGITS = 4000  # Python itself refuses to read integers much longer
MAX_DEPTH = 64  # Pydantic, the JSON encoder and Optuna's readers have limits of their own above it
MAX_ERRORS = 100
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"

Model = TypeVar("Model", bound="Body")


def body(
    model: type[Model], *, optional: bool = False, max_bytes: int = 0
) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads a body; with `optional` it may be absent.

    It takes as many bytes as the server allows of all bodies, or `max_bytes` if those are more.
    """

    async def read(request: Request) -> Model:
        content = await read_bytes(request, max_bytes)
        if not content and optional:
            return model()
        if len(content) > DEFAULT_MAX_BYTES:
            return await run_in_threadpool(parse, content)
        return parse(content)

    def parse(content: bytes) -> Model:
        data = parse_json(content)
        if not isinstance(data, dict):
            reason = "the body is not a JSON object"
            raise RequestInvalid(reason, errors=[{"location": ["body"], "reason": reason}])
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise request_invalid(error) from None

    return read


def request_invalid(error: ValidationError) -> RequestInvalid:
    """What a client is told of a body with the wrong fields."""
    found = [
        {"location": ["body", *item["loc"]], "reason": reason_of(item)}
        for item in islice(
            error.errors(include_url=False, include_context=False, include_input=False), MAX_ERRORS
        )
    ]
    first = found[0]
    where = ".".join(map(str, first["location"]))
    return RequestInvalid(f"the request's {where}: {first['reason']}", errors=found)


def reason_of(item: Mapping[str, Any]) -> str:
    """What one of Pydantic's errors says, without its mark for those that our own checks raise."""
    return str(item["msg"]).removeprefix("Value error, ")


async def read_bytes(request: Request, max_bytes: int = 0) -> bytes:
    """The whole body, if it has as few bytes as the server allows, or `max_bytes` if those are more.

    Raises:
        TooLarge: there is more than the server takes.
    """
    limit: int = max(getattr(request.app.state, "max_body", DEFAULT_MAX_BYTES), max_bytes)
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise TooLarge(f"the body has {length} bytes, at most {limit} are taken")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body has more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(content: bytes) -> Any:
    """The value of a strict JSON text.

    Raises:
        JsonInvalid: it is none, or holds a number that is not finite.
    """
    try:
        data = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_not_json,
            parse_float=_finite,
            parse_int=_integer,
        )
        # A lone surrogate is text that no reply, and no database, could hold.
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise JsonInvalid(TOO_DEEP) from None
    except UnicodeDecodeError:
        raise JsonInvalid("the body is not JSON (RFC 8259): it is not UTF-8") from None
    except UnicodeEncodeError:
        raise JsonInvalid("a text in the body holds half of a surrogate pair") from None
    except ValueError as error:
        raise JsonInvalid(f"the body is not JSON (RFC 8259): {error}") from None
    if _is_too_deep(data):
        raise JsonInvalid(TOO_DEEP)
    return data


def _is_too_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_DEPTH):
        containers = [value for value in level if isinstance(value, dict | list)]
        if not containers:
            return False
        level = [
            below
            for value in containers
            for below in (value.values() if isinstance(value, dict) else value)
        ]
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Which of the two was meant nobody can know.
        name = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {name[:40]!r} stands twice in one object")
    return found


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"{text[:40]}… is too large a number")
    return int(text)
