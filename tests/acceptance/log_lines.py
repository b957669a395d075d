"""A server's log, read as a program would: text or JSON, one event a line."""

import json
import re
from pathlib import Path
from typing import Any

_TEXT = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[A-Z]+) (?P<rest>[^\r\n]*)"
)
_FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|[\[{].*?[\]}](?= [a-z_]+=|$)|[^\s"]+)')


def parsed(line: str, form: str) -> dict[str, Any]:
    """Return a line's time, level, message and fields; raise ValueError for one that is no such line."""
    if form == "json":
        found = json.loads(line)
        assert isinstance(found, dict)
        return found
    match = _TEXT.fullmatch(line)
    if match is None or not line.isprintable():
        raise ValueError(line)
    rest = match["rest"]
    first = _FIELD.search(rest)
    message = rest if first is None else rest[: first.start()]
    fields = {name: _value(text) for name, text in _FIELD.findall(rest[len(message) :])}
    return {
        "time": match["time"],
        "level": match["level"].lower(),
        "message": message,
        **fields,
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def lines_of(log: Path, form: str) -> list[dict[str, Any]]:
    """Return every line of a log."""
    # Not splitlines: it would take a line separator in a value for the end of a line.
    return [parsed(line, form) for line in log.read_text().split("\n") if line]
