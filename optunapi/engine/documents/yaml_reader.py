"""YAML, read event by event: only what a study can use is built, and each value knows its line."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from optunapi.engine.documents.document import (
    MAX_DEPTH,
    MAX_VALUES,
    Document,
    Scalar,
    Value,
    quoted,
    scalar_fault,
)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CORE = "tag:yaml.org,2002:"
MERGE = f"{CORE}merge"
MAX_DIGITS = 4000  # Python reads no decimal much longer; YAML's base 60 would take it minutes

_resolver = yaml.resolver.Resolver()
_constructor = yaml.constructor.SafeConstructor()
_SCALARS = {
    f"{CORE}null": _constructor.construct_yaml_null,
    f"{CORE}bool": _constructor.construct_yaml_bool,
    f"{CORE}int": _constructor.construct_yaml_int,
    f"{CORE}float": _constructor.construct_yaml_float,
    f"{CORE}str": _constructor.construct_yaml_str,
    # A date or a `=` is no type of a study's: what was written is meant.
    f"{CORE}timestamp": _constructor.construct_yaml_str,
    f"{CORE}value": _constructor.construct_yaml_str,
    MERGE: _constructor.construct_yaml_str,
}


def read_yaml(text: str, document: Document) -> Value:
    """The one value that a YAML text holds; errors that leave something to read are noted.

    The blocks of the old documentation, which repeat a bare `name` at the top, become a list.

    Raises:
        ConfigInvalid: it is not YAML, holds more than one document, or too much.
    """
    try:
        return _Builder(document, yaml.parse(text, Loader=LOADER)).document_value()
    except yaml.YAMLError as error:
        line, reason = _described(error, text)
        document.fail("", line, f"it is not YAML: {reason}")


def _described(error: yaml.YAMLError, text: str) -> tuple[int | None, str]:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        if mark is None:
            return None, reason
        at_mark = text.split("\n")[mark.line : mark.line + 1]
        hint = ": a tab; indent with spaces" if "\t" in "".join(at_mark)[mark.column :][:1] else ""
        return mark.line + 1, reason + hint
    position = getattr(error, "position", None)
    line = None if position is None else text.count("\n", 0, position) + 1
    return line, str(getattr(error, "reason", error)).splitlines()[0]


class _Builder:
    """One pass over a document's events."""

    def __init__(self, document: Document, events: Iterator[Any]) -> None:
        self._document = document
        self._events = events
        self._anchors: dict[str, Value] = {}
        self._remaining = MAX_VALUES

    def document_value(self) -> Value:
        """The value of the only document."""
        found = Value(data=None)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    line = _line(event)
                    self._document.fail("", line, "a second YAML document begins: one is allowed")
                found = self._value(next(self._events), "", 0)
        return found

    def _value(self, event: Any, key: str, depth: int) -> Value:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, key, depth)
        self._count(1, key, line)
        if depth > MAX_DEPTH:
            self._document.fail(key, line, f"the nesting is deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.MappingStartEvent):
            self._check_tag(event, key, "map")
            value = self._mapping(key, depth, line)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, key, "seq")
            value = Value(data=tuple(self._sequence(key, depth)), line=line)
        else:
            value = self._scalar(event, key, line)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _count(self, values: int, key: str, line: int) -> None:
        # Counted before anything is built: one alias may stand for millions of values.
        self._remaining -= values
        if self._remaining < 0:
            reason = f"there are more than {MAX_VALUES} values, counting what aliases stand for"
            self._document.fail(key, line, reason)

    def _alias(self, event: Any, key: str, depth: int) -> Value:
        line = _line(event)
        value = self._anchors.get(event.anchor)
        if value is None:
            self._document.refuse(key, line, f"there is no &{event.anchor} before this alias of it")
            return Value(data=None, line=line, broken=True)
        size, height = _measure(value)
        self._count(size, key, line)
        if depth + height > MAX_DEPTH:
            self._document.fail(key, line, f"the nesting is deeper than {MAX_DEPTH} levels")
        return value

    def _check_tag(self, event: Any, key: str, kind: str) -> None:
        if event.tag not in (None, "!", CORE + kind):
            self._refuse_tag(event, key)

    def _refuse_tag(self, event: Any, key: str) -> None:
        tag = str(event.tag).replace(CORE, "!!")
        self._document.refuse(key, _line(event), f"the tag {tag} is not allowed")

    def _scalar(self, event: Any, key: str, line: int) -> Value:
        tag = event.tag
        if tag is None or tag == "!":
            tag = _resolved(event)
        if tag not in _SCALARS:
            self._refuse_tag(event, key)
            return Value(data=None, line=line, broken=True)
        try:
            if tag in (f"{CORE}int", f"{CORE}float") and len(event.value) > MAX_DIGITS:
                raise ValueError("too long a number")
            data: Scalar = _SCALARS[tag](yaml.ScalarNode(tag, event.value))
        except (ValueError, LookupError, OverflowError):
            kind = tag.removeprefix(CORE)
            self._document.refuse(key, line, f"{quoted(event.value)} cannot be read as {kind}")
            return Value(data=None, line=line, broken=True)
        if fault := scalar_fault(data):
            self._document.refuse(key, line, fault)
            return Value(data=None, line=line, broken=True)
        return Value(data=data, line=line, text=None if isinstance(data, str) else event.value)

    def _sequence(self, key: str, depth: int) -> Iterator[Value]:
        index = 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._value(event, f"{key}.{index}" if key else str(index), depth + 1)
            index += 1

    def _mapping(self, key: str, depth: int, line: int) -> Value:
        pairs: list[tuple[str, Value]] = []
        merged: list[dict[str, Value]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name, is_merge = self._key(event, key, depth)
            path = key if name is None else f"{key}.{name}" if key else name
            value = self._value(next(self._events), path, depth + 1)
            if is_merge:
                merged += self._merged(value, path)
            elif name is not None:
                # Where a parameter begins is where its name stands, not its first setting.
                pairs.append((name, replace(value, line=_line(event))))
        if not key and _are_blocks(pairs):
            return Value(data=tuple(self._blocks(pairs)), line=line)
        entries = self._distinct(pairs, key)
        for each in merged:
            entries = each | entries
        return Value(data=entries, line=line)

    def _key(self, event: Any, key: str, depth: int) -> tuple[str | None, bool]:
        line = _line(event)
        found = self._value(event, key, depth + 1)
        if isinstance(event, yaml.ScalarEvent) and not event.tag and _resolved(event) == MERGE:
            return str(found.data), True
        if isinstance(found.data, str):
            return found.data, False
        if isinstance(found.data, dict | tuple):
            self._document.refuse(key, line, "a mapping or list cannot be a key")
        else:
            shown = quoted(found.data) if found.text is None else found.text
            reason = f"YAML reads the key {shown} as {quoted(found.data)}, not as a text"
            self._document.refuse(key, line, f"{reason}: put it in quotes")
        return None, False

    def _merged(self, value: Value, key: str) -> list[dict[str, Value]]:
        sources = value.data if isinstance(value.data, tuple) else (value,)
        found = [source.data for source in sources if isinstance(source.data, dict)]
        if len(found) < len(sources):
            self._document.refuse(
                key, value.line, "`<<` takes a mapping's alias, or a list of them"
            )
        return found

    def _distinct(self, pairs: list[tuple[str, Value]], key: str) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        for name, value in pairs:
            if name in entries:
                path = f"{key}.{name}" if key else name
                first = entries[name].line
                self._document.refuse(path, value.line, f"the key is on line {first} already")
            else:
                entries[name] = value
        return entries

    def _blocks(self, pairs: list[tuple[str, Value]]) -> Iterator[Value]:
        starts = [index for index, (name, _) in enumerate(pairs) if name == "name"]
        for name, value in pairs[: starts[0]]:
            reason = "a parameter without a heading begins with `name`"
            self._document.refuse(name, value.line, reason)
        for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
            block = pairs[start:end]
            yield Value(data=self._distinct(block, str(block[0][1].data)), line=block[0][1].line)


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _resolved(event: Any) -> str:
    """The tag that an untagged scalar has by its looks."""
    tag: str = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return tag


def _are_blocks(pairs: list[tuple[str, Value]]) -> bool:
    """Whether a document's entries are settings of parameters, not parameters by name."""
    bare = any(name == "name" and not isinstance(value.data, dict) for name, value in pairs)
    return bare and not any(name == "parameters" for name, _ in pairs)


def _measure(value: Value) -> tuple[int, int]:
    """How many values there are in one, itself among them, and how deep they go."""
    below: list[Value] = []
    if isinstance(value.data, dict):
        below = list(value.data.values())
    elif isinstance(value.data, tuple):
        below = list(value.data)
    measures = [_measure(each) for each in below]
    size = 1 + sum(size for size, _ in measures)
    return size, 1 + max((height for _, height in measures), default=0)
