"""A file or body as plain values, the line and key of each, and the errors found in it."""

import difflib
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from optunapi.errors import ConfigInvalid, line_of

MAX_VALUES = 100_000
MAX_DEPTH = 40
Scalar = str | int | float | bool | None
BROKEN: Any = object()  # stands for a value that already has an error: it gets no second one

# What Pydantic's types of errors mean here. The value as written stands before each.
_REASONS = {
    "bool_type": "is not a boolean: true or false",
    "dict_type": "is not a mapping",
    "finite_number": "is not a finite number",
    "float_type": "is not a number",
    "greater_than": "is not above {gt:.0f}",
    "greater_than_equal": "is below {ge:.0f}, the least allowed",
    "int_type": "is not a whole number",
    "less_than_equal": "is above {le:.0f}, the most allowed",
    "list_type": "is not a list: write one in brackets, such as [a, b]",
    "string_too_long": "is too long: at most {max_length} characters are allowed",
    "string_type": "is not a text: put it in quotes if you mean one",
    "too_short": "is empty: at least one is needed",
    "value_error": "{error}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A value of a YAML file: a scalar, or a list or dict of values.

    `line` counts from 1. `text` is a scalar as it stands in the file, if it is not a text. `is_plain`
    says of a text that it has no quotes.
    """

    data: Any
    line: int | None
    text: str | None = None
    is_plain: bool = False


@dataclass(kw_only=True)
class Document:
    """One file or body, and the errors found in it so far.

    `notices` are like errors, for what is valid and may not be what its author meant. In an `exact`
    document (JSON) a text is never a number. `source` is what was read: JSON, or a Value, which knows
    its lines.
    """

    file: str | None = None
    exact: bool = True
    source: Any = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    _room: int = MAX_VALUES

    def root(self, source: Any) -> "Node":
        """The plain values of `source`, at the root of the document.

        Raises:
            ConfigInvalid: there are too many values, or they are nested too deep.
        """
        self.source = source
        return Node(document=self, data=self._plain(source, "", None, 0))

    def _plain(self, source: Any, key: str, line: int | None, depth: int) -> Any:
        """`source` without lines, and BROKEN where it holds something that JSON cannot."""
        if isinstance(source, Value):
            source, line = source.data, source.line
        # Counted before anything is built: an alias may stand for millions of values.
        self._room -= 1
        if self._room < 0:
            reason = f"there are more than {MAX_VALUES} values, counting what aliases stand for"
            self.fail(key, line, reason)
        if depth > MAX_DEPTH:
            self.fail(key, line, f"the nesting is deeper than {MAX_DEPTH} levels")
        if isinstance(source, Mapping):
            found = {}
            for name, below in source.items():
                if isinstance(name, str) and not scalar_fault(name):
                    found[name] = self._plain(below, joined(key, name), line, depth + 1)
                else:
                    self.refuse(key, line, f"{quoted(name)} is not a text that can be a key")
            return found
        if isinstance(source, list | tuple):
            return [
                self._plain(below, joined(key, str(index)), line, depth + 1)
                for index, below in enumerate(source)
            ]
        fault = None if source is BROKEN else scalar_fault(source)
        if fault:
            self.refuse(key, line, fault)
        return BROKEN if fault else source

    def position(self, path: Iterable[str | int]) -> Value:
        """The line and text of the value at `path`, both None in a document without lines."""
        found = self.source
        for part in path:
            found = (found.data if isinstance(found, Value) else found)[part]
        return found if isinstance(found, Value) else Value(data=found, line=None)

    def refuse(self, key: str, line: int | None, reason: str) -> None:
        """Note an error."""
        self.errors.append({"file": self.file, "line": line, "key": key, "reason": reason})

    def fail(self, key: str, line: int | None, reason: str) -> NoReturn:
        """Raise ConfigInvalid at once: nothing after this error can be read."""
        self.refuse(key, line, reason)
        self.raise_errors()
        raise AssertionError("an error was noted")

    def raise_errors(self) -> None:
        """Raise ConfigInvalid with every error noted, if there is one."""
        if not self.errors:
            return
        errors = self.sorted_errors()
        first, more = errors[0] | {"file": self.file or "the body"}, len(errors) - 1
        rest = f" ({more} more {'error' if more == 1 else 'errors'} in `errors`)" if more else ""
        raise ConfigInvalid(f"{line_of(first)}{rest}", errors=errors)

    def sorted_errors(self) -> list[dict[str, Any]]:
        """Every error noted, in the order of the file."""
        return sorted(self.errors, key=lambda error: error["line"] or 0)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A plain value at its place in a document.

    `path` leads from the root to it. `key` is that path as errors write it, empty for the root.
    """

    document: Document
    data: Any
    path: tuple[str | int, ...] = ()
    key: str = ""

    def __getitem__(self, name: str | int) -> "Node":
        """The entry `name` of a mapping, or the item of a list."""
        key, path = joined(self.key, str(name)), (*self.path, name)
        return Node(document=self.document, data=self.data[name], path=path, key=key)

    @property
    def is_plain(self) -> bool:
        """Whether it is a text without quotes in a YAML file."""
        return self.document.position(self.path).is_plain

    @property
    def is_empty(self) -> bool:
        """Whether it is null, or an empty text, list or mapping."""
        return self.data is None or self.data in ("", [], {})

    def all_entries(self) -> dict[str, "Node"]:
        """The entries of a mapping, null ones too; empty for anything else."""
        return {name: self[name] for name in self.data} if isinstance(self.data, dict) else {}

    def entries(self) -> dict[str, "Node"]:
        """The entries of a mapping without those that are null: a null entry is an absent one."""
        return {name: node for name, node in self.all_entries().items() if node.data is not None}

    def items(self) -> list["Node"]:
        """The items of a list; empty for anything else."""
        return [self[i] for i in range(len(self.data))] if isinstance(self.data, list) else []

    def read(self, type_: Any) -> Any:
        """The value as `type_`, a type of `fields`; None after noting every error in it."""
        try:
            return _adapter(type_).validate_python(self.data, context=self.document)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                node = self
                for part in error["loc"]:
                    node = node[part]
                reason = _REASONS[error["type"]].format_map(error.get("ctx", {}))
                node.refuse(f"{node.shown()} {reason}")
        return None

    def shown(self) -> str:
        """The value as an error shows it; also as the file has it, if that looks different."""
        shown, text = quoted(self.data), self.document.position(self.path).text
        if text and len(text) < 20 and isinstance(self.data, int) and text.lower() != shown:
            return f"{text} (read as {shown})"
        return shown

    def refuse(self, reason: str) -> None:
        """Note an error of this value."""
        if self.data is not BROKEN:
            self.document.refuse(self.key, self.document.position(self.path).line, reason)

    def note(self, text: str) -> None:
        """Add a notice about this value."""
        line = self.document.position(self.path).line
        notice = {"file": self.document.file, "line": line, "key": self.key, "reason": text}
        self.document.notices.append(notice)

    def refuse_unknown(self, allowed: Collection[str]) -> None:
        """Note an error for each key that is not one of `allowed`."""
        for name in self.data if isinstance(self.data, dict) else ():
            if name not in allowed:
                self[name].refuse(f"unknown key {quoted(name)}{nearest(name, allowed)}")


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def joined(key: str, name: str) -> str:
    """The key of the entry `name` below `key`."""
    return f"{key}.{name}" if key else name


def quoted(value: Any, longest: int = 60) -> str:
    """A value as an error shows it: as in JSON, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= longest else f"{text[: longest - 3]}…"


def nearest(word: object, allowed: Collection[str]) -> str:
    """The end of an error about `word`: the nearest of the words allowed, and all of them."""
    text = word.lower() if isinstance(word, str) else ""
    found = difflib.get_close_matches(text, allowed, n=1, cutoff=0.6)
    hint = f"; did you mean {quoted(found[0])}?" if found else "."
    return f"{hint} Allowed: {', '.join(allowed)}" if allowed else f"{hint} None is allowed here"


def scalar_fault(value: Any) -> str | None:
    """Why a scalar cannot be in a strict JSON reply or a database; None if it can."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "the text is not valid Unicode: it holds half of a surrogate pair"
    elif value is not None and not isinstance(value, int | float):
        return f"a {type(value).__name__} is not a JSON value"
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    return None
