"""What a specification is read from: values that know line and key, and the errors in them."""

import difflib
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from optunapi.errors import ConfigInvalid

MAX_VALUES = 100_000
MAX_DEPTH = 40
Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value as it was written: a scalar, a tuple of values, or a dict of them.

    `line` counts from 1, and is None in a document without lines. `text` is a scalar as it stood in
    the file, where that says more than the value does. A `broken` value is one that an error was
    noted of already, and says nothing.
    """

    data: "Scalar | tuple[Value, ...] | dict[str, Value]"
    line: int | None = None
    text: str | None = None
    broken: bool = False


@dataclass(frozen=True, kw_only=True)
class Document:
    """One file or body, and the errors found in it so far.

    In an `exact` document (JSON) a string is never a number.
    """

    file: str | None = None
    exact: bool = True
    errors: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, key: str, line: int | None, reason: str) -> None:
        """Note an error."""
        self.errors.append({"file": self.file, "line": line, "key": key, "reason": reason})

    def raise_errors(self) -> None:
        """Raise ConfigInvalid with every error noted, in the order of the file, if there is one."""
        if not self.errors:
            return
        errors = sorted(self.errors, key=lambda error: error["line"] or 0)
        first, more = errors[0], len(errors) - 1
        where = (self.file or "the body") + (f", line {first['line']}" if first["line"] else "")
        subject = f"{first['key']}: " if first["key"] else ""
        rest = f" ({more} more {'error' if more == 1 else 'errors'} in `errors`)" if more else ""
        raise ConfigInvalid(f"{where}: {subject}{first['reason']}{rest}", errors=errors)

    def fail(self, key: str, line: int | None, reason: str) -> NoReturn:
        """Raise ConfigInvalid at once: nothing after this error can be read."""
        self.refuse(key, line, reason)
        self.raise_errors()
        raise AssertionError("an error was noted")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value at its place in a document. `key` is the dotted path to it, empty for the root."""

    document: Document
    key: str
    value: Value

    @property
    def data(self) -> Any:
        """The scalar, or the containers of values below."""
        return self.value.data

    @property
    def is_mapping(self) -> bool:
        """Whether it has named entries."""
        return isinstance(self.data, dict)

    @property
    def is_list(self) -> bool:
        """Whether it has numbered entries."""
        return isinstance(self.data, tuple)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: null, or a text, list or mapping without content."""
        return self.data is None or self.data in ("", (), {})

    def refuse(self, reason: str) -> None:
        """Note an error of this value, unless it is broken: one error is enough."""
        if not self.value.broken:
            self.document.refuse(self.key, self.value.line, reason)

    def at(self, key: str) -> "Node":
        """The same value under another key."""
        return Node(document=self.document, key=key, value=self.value)

    def child(self, name: str, value: Value) -> "Node":
        """A value below this one."""
        key = f"{self.key}.{name}" if self.key else name
        return Node(document=self.document, key=key, value=value)

    def all_entries(self) -> dict[str, "Node"]:
        """The entries of a mapping, those that are null among them; empty for anything else."""
        if not isinstance(self.data, dict):
            return {}
        return {name: self.child(name, value) for name, value in self.data.items()}

    def entries(self) -> dict[str, "Node"]:
        """The entries of a mapping that are not null: a null entry is an absent one."""
        return {
            name: node
            for name, node in self.all_entries().items()
            if node.data is not None or node.value.broken
        }

    def items(self) -> Iterator["Node"]:
        """The entries of a list, under their index; none for anything else."""
        if isinstance(self.data, tuple):
            for index, value in enumerate(self.data):
                yield self.child(str(index), value)

    def plain(self) -> Any:
        """The value as JSON has it."""
        return _plain(self.value)

    def refuse_unknown(self, allowed: Collection[str]) -> None:
        """Note an error for each key that is not one of `allowed`."""
        for name, node in self.all_entries().items():
            if name not in allowed:
                node.refuse(f"unknown key {quoted(name)}{nearest(name, allowed)}")


def _plain(value: Value) -> Any:
    if isinstance(value.data, dict):
        return {name: _plain(below) for name, below in value.data.items()}
    if isinstance(value.data, tuple):
        return [_plain(below) for below in value.data]
    return value.data


def quoted(value: Any) -> str:
    """A value as an error shows it: as in JSON, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(type(value).__name__)
    return text if len(text) <= 60 else f"{text[:57]}…"


def listed(words: Collection[str]) -> str:
    """Words as an error lists them."""
    return ", ".join(words)


def nearest(word: str, allowed: Collection[str]) -> str:
    """The end of an error about `word`: the nearest of the words allowed, and all of them."""
    found = difflib.get_close_matches(word.lower(), allowed, n=1, cutoff=0.6)
    hint = f"; did you mean {quoted(found[0])}?" if found else "."
    return f"{hint} Allowed: {listed(allowed)}" if allowed else f"{hint} None is allowed here"


def scalar_fault(value: Scalar) -> str | None:
    """What makes a scalar unfit for a strict JSON reply or a database, if anything."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "the text is not valid Unicode: it holds half of a surrogate pair"
    return None


def document_of(data: Mapping[str, Any] | list[Any]) -> Node:
    """A JSON body as the root of a document without lines.

    Raises:
        ConfigInvalid: it holds what JSON cannot, or too much of it.
    """
    document = Document()
    remaining = [MAX_VALUES]
    return Node(document=document, key="", value=_value_of(data, "", 0, document, remaining))


def _value_of(data: Any, key: str, depth: int, document: Document, remaining: list[int]) -> Value:
    remaining[0] -= 1
    if remaining[0] < 0:
        document.fail(key, None, f"there are more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        document.fail(key, None, f"the nesting is deeper than {MAX_DEPTH} levels")
    below = f"{key}." if key else ""
    if isinstance(data, Mapping):
        entries = {}
        for name, value in data.items():
            if not isinstance(name, str) or scalar_fault(name):
                document.refuse(key, None, f"{quoted(name)} is not a text that can be a key")
                continue
            entries[name] = _value_of(value, below + name, depth + 1, document, remaining)
        return Value(data=entries)
    if isinstance(data, list | tuple):
        values = [
            _value_of(value, f"{below}{index}", depth + 1, document, remaining)
            for index, value in enumerate(data)
        ]
        return Value(data=tuple(values))
    fault = f"a {type(data).__name__} is not a JSON value"
    if data is None or isinstance(data, str | int | float | bool):
        fault = scalar_fault(data) or ""
    if fault:
        document.refuse(key, None, fault)
        return Value(data=None, broken=True)
    return Value(data=data)
