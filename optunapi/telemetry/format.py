"""A record of the log as one line: text for people, or a JSON object.

Names, reasons and descriptions come from requests. So nothing in a line is shown as it came if it is
not printable: no value can begin a line of its own, or control a terminal.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from optunapi.telemetry.context import request_id
from optunapi.telemetry.events import Event
from optunapi.telemetry.secrets import masked

MAX_CHARACTERS = 1000  # of one value, and of a message
MAX_TRACEBACK = 20_000
MAX_ITEMS = 20
_PLAIN = re.compile(r"[A-Za-z0-9_.,:;/@+~*%#<>|()\[\]-]+")


def shown(value: Any) -> Any:
    """A value as JSON has it, bounded, and without passwords."""
    if isinstance(value, str):
        return _cut(masked(value), MAX_CHARACTERS)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        pairs = list(value.items())
        cut = {_cut(str(k), MAX_CHARACTERS): shown(v) for k, v in pairs[:MAX_ITEMS]}
        return cut | ({"…": len(pairs) - MAX_ITEMS} if len(pairs) > MAX_ITEMS else {})
    if isinstance(value, list | tuple | set | frozenset):
        items = list(value)
        more = [f"… {len(items) - MAX_ITEMS} more"] if len(items) > MAX_ITEMS else []
        return [*map(shown, items[:MAX_ITEMS]), *more]
    return _cut(masked(str(value)), MAX_CHARACTERS)


def _cut(text: str, limit: int) -> str:
    if not text.isascii():  # half of a surrogate pair, in a file's name for example, is not JSON
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def printable(text: str) -> str:
    """The text with every character that is not printable as an escape."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def time_of(record: logging.LogRecord) -> str:
    """When the record was made, in RFC 3339, UTC, with milliseconds."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The record's fields: those of its event, and the request it belongs to."""
    event = getattr(record, "event", None)
    found = event.content() if isinstance(event, Event) else {}
    for name in ("repeated", "more"):
        if (value := getattr(record, name, None)) is not None:
            found[name] = value
    if not isinstance(event, Event) and (current := request_id.get()) is not None:
        found["request_id"] = current
    return {name: shown(value) for name, value in found.items()}


class _LineFormatter(logging.Formatter):
    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit: the line is worth more than the mistake
            message = f"{record.msg} {record.args!r}"
        return _cut(masked(message), MAX_CHARACTERS)

    def _traceback(self, record: logging.LogRecord) -> str | None:
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        if not parts:
            return None
        text = masked("\n".join(parts))
        # The end of a traceback says what went wrong.
        return text if len(text) <= MAX_TRACEBACK else f"…{text[-MAX_TRACEBACK:]}"


class JsonLines(_LineFormatter):
    """One JSON object a line: time, level, message, logger, the fields, and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = {
            "time": time_of(record),
            "level": record.levelname.lower(),
            "message": self._message(record),
            "logger": record.name,
        }
        line |= {name: value for name, value in fields_of(record).items() if name not in line}
        traceback = self._traceback(record)
        if traceback is not None:
            line["exception"] = traceback
        return json.dumps(line, allow_nan=False)


class TextLines(_LineFormatter):
    """Time, level, message and `key=value` fields. A traceback follows, its lines indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and a line for each of its traceback."""
        parts = [time_of(record), record.levelname, printable(self._message(record))]
        parts += [f"{name}={_as_text(value)}" for name, value in fields_of(record).items()]
        traceback = self._traceback(record)
        lines = [] if traceback is None else [f"    {printable(t)}" for t in traceback.splitlines()]
        return "\n".join([" ".join(parts), *lines])


def _as_text(value: Any) -> str:
    """A value of a field: a plain word as it is, anything else as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


FORMATS: Mapping[str, type[logging.Formatter]] = {"text": TextLines, "json": JsonLines}
