"""Request bodies: strict JSON (RFC 8259), exact types, no unknown fields, and a limit to their size."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any, Generic, NoReturn, TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from optunapi.api.schemas.fields import Body
from optunapi.engine.documents.document import nearest, quoted
from optunapi.errors import EncodingUnsupported, JsonInvalid, RequestInvalid, TooLarge

DEFAULT_MAX_BYTES = 2**20
MAX_DIGITS = 4000  # Python itself refuses integers that are not much longer
MAX_DEPTH = 64  # below the limits of Pydantic, the JSON encoder and Optuna
MAX_ERRORS = 100
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"
UNKNOWN_FIELD = "there is no such field"
NO_FORM = (
    "union_tag_invalid",
    "union_tag_not_found",
)  # the `type` of one of several forms is wrong
READS_BODY = (JsonInvalid, TooLarge, RequestInvalid, EncodingUnsupported)
GZIP = b"\x1f\x8b"  # no JSON or YAML begins so

Model = TypeVar("Model", bound="Body")


class JsonBody(Generic[Model]):
    """A dependency that reads a JSON body into a model; with `optional` it may be absent.

    It takes at most as many bytes as the server allows for every body, or `max_bytes` if that is more.
    """

    errors = READS_BODY
    also: Mapping[str, Any] = {}  # OpenAPI entries of what else is taken, by media type

    def __init__(self, model: type[Model], *, optional: bool = False, max_bytes: int = 0) -> None:
        self.model = model
        self.is_optional = optional
        self._max_bytes = max_bytes

    async def __call__(self, request: Request) -> Model:
        """Read the body.

        Raises:
            JsonInvalid, TooLarge, RequestInvalid, EncodingUnsupported: it is not such a body.
        """
        content = await read_bytes(request, self._max_bytes)
        if not content and self.is_optional:
            return self.model()
        if len(content) > DEFAULT_MAX_BYTES:
            return await run_in_threadpool(self._parsed, content)
        return self._parsed(content)

    def _parsed(self, content: bytes) -> Model:
        data = parse_json(content)
        if not isinstance(data, dict):
            raise request_invalid("the body is not a JSON object", "body")
        return self.validated(data)

    def validated(self, data: Any) -> Model:
        """The model of decoded JSON.

        Raises:
            RequestInvalid: fields are missing, unknown, or of another type.
        """
        try:
            return self.model.model_validate(data)
        except ValidationError as error:
            raise _invalid_fields(error, self.model, data) from None


# For a route that has no body: one with fields, such as a filter that belongs in the query, is refused.
NO_FIELDS = JsonBody(Body, optional=True)


def request_invalid(reason: str, *location: str) -> RequestInvalid:
    """The error for one invalid part of a request."""
    return RequestInvalid(reason, errors=[{"location": list(location), "reason": reason}])


def _invalid_fields(error: ValidationError, model: type[Body], data: Any) -> RequestInvalid:
    found = [
        {"location": ["body", *_place_of(item, data)], "reason": reason_of(item)}
        for item in islice(error.errors(include_url=False, include_context=False), MAX_ERRORS)
    ]
    for each in found:
        if each["reason"] == UNKNOWN_FIELD and len(each["location"]) == 2:
            each["reason"] += nearest(each["location"][1], model.model_fields)
    first = found[0]
    where = ".".join(map(str, first["location"]))
    return RequestInvalid(f"the request's {where}: {first['reason']}", errors=found)


def _place_of(item: Mapping[str, Any], data: Any) -> list[Any]:
    """Where in the body an error is, without the tags that Pydantic adds for one of several forms."""
    found, location = [], item["loc"]
    for part in location:
        is_item = isinstance(data, list) and isinstance(part, int)
        if is_item or (isinstance(data, dict) and part in data):
            data = data[part]
        elif part != location[-1] or str(part).startswith("\0"):
            continue  # what is not there can only be the last: a field that is missing
        found.append(part)
    return [*found, "type"] if item["type"] in NO_FORM else found


def reason_of(item: Mapping[str, Any]) -> str:
    """The message of one of Pydantic's errors with the value, without the prefix that it puts before ours."""
    if item["type"] == "extra_forbidden":
        return UNKNOWN_FIELD
    message, value = str(item["msg"]).removeprefix("Value error, "), item["input"]
    if item["type"] in NO_FORM:
        _, _, tags = message.partition("expected tags: ")
        return (
            f"it should be one of {tags}, not {quoted(value['type'])}" if tags else "it is missing"
        )
    if item["type"] == "missing":
        return "it is missing"
    if item["type"] == "value_error":
        return f"{message}: {quoted(value)}"
    return f"{message.replace('Input should be', 'it should be', 1)}, not {quoted(value)}"


async def read_bytes(request: Request, max_bytes: int = 0) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it has more bytes than the server allows for every body, and more than `max_bytes`.
        EncodingUnsupported: it is compressed.
    """
    limit: int = max(getattr(request.app.state, "max_body", DEFAULT_MAX_BYTES), max_bytes)
    announced = announced_size(request)
    if announced is not None and announced > limit:
        raise too_large("the body", limit, "OPTUNAPI_MAX_BODY", announced)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large("the body", limit, "OPTUNAPI_MAX_BODY")
        chunks.append(chunk)
    content = b"".join(chunks)
    if content:
        refuse_encoding(request)
    if content.startswith(GZIP):
        raise _compressed("gzip")
    return content


def refuse_encoding(request: Request) -> None:
    """Raise EncodingUnsupported if the request says that its body is compressed."""
    for encoding in request.headers.getlist("content-encoding"):
        if encoding.strip().lower() not in ("", "identity"):
            raise _compressed(encoding)


def _compressed(encoding: str) -> EncodingUnsupported:
    return EncodingUnsupported(
        f"the body is compressed ({quoted(encoding)}): send it as it is, without Content-Encoding"
    )


def announced_size(request: Request) -> int | None:
    """The number of bytes that a request says its body has."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def too_large(what: str, limit: int, setting: str, size: int | None = None) -> TooLarge:
    """The error of what has more than `limit` bytes, which an operator can raise with `setting`."""
    has = f"more than {limit} bytes" if size is None else f"{size} bytes, and {limit} are allowed"
    return TooLarge(f"{what} has {has}: send less, or have the server's {setting} raised")


def parse_json(content: bytes) -> Any:
    """The value of a strict JSON text.

    Raises:
        JsonInvalid: the text is not JSON, or has a number that is not finite.
    """
    try:
        data = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_not_json,
            parse_float=_finite,
            parse_int=_integer,
        )
        # Neither a reply nor a database can hold half of a surrogate pair.
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise JsonInvalid(TOO_DEEP) from None
    except UnicodeDecodeError:
        raise JsonInvalid("the body is not JSON (RFC 8259): it is not UTF-8") from None
    except UnicodeEncodeError:
        raise JsonInvalid("a text in the body has half of a surrogate pair") from None
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
        # It is not known which of the two was meant.
        name = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {name[:40]!r} is given twice in one object")
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


def digest(kind: str, content: Any) -> str:
    """A digest of a request, which tells a repeat from another request with the same idempotency key."""
    text = json.dumps([kind, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
