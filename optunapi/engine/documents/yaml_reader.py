"""YAML, read event by event: only what a study can use is built, and each value knows its line."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from optunapi.engine.documents.document import (
    BROKEN,
    MAX_DEPTH,
    MAX_VALUES,
    Document,
    Value,
    joined,
    quoted,
)

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CORE = "tag:yaml.org,2002:"
# No setting is a date or YAML's `=`: these are the text as written.
AS_WRITTEN = {f"{CORE}{kind}" for kind in ("str", "timestamp", "value", "merge")}
READ = {f"{CORE}{kind}" for kind in ("null", "bool", "int", "float")}
MAX_DIGITS = 4000  # Python reads no decimal much longer; YAML's base 60 would take it minutes

_resolver = yaml.resolver.Resolver()
_constructor = yaml.constructor.SafeConstructor()


def read_yaml(text: str, document: Document) -> Value:
    """The value of a YAML text. Errors are noted in `document` where reading can go on.

    The blocks of the old documentation, which repeat a bare `name` at the top, become a list.

    Raises:
        ConfigInvalid: it is not YAML, has several documents, or is too large.
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
        self._room = MAX_VALUES

    def document_value(self) -> Value:
        """The value of the only document."""
        starts = (event for event in self._events if isinstance(event, yaml.DocumentStartEvent))
        if next(starts, None) is None:
            return Value(data=None, line=None)
        found = self._value(next(self._events), "", 0)
        for event in starts:
            reason = "a second YAML document begins: one is allowed"
            self._document.fail("", _line(event), reason)
        return found

    def _value(self, event: Any, key: str, depth: int) -> Value:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._anchors:
                return self._anchors[event.anchor]
            return self._broken(key, line, f"there is no &{event.anchor} before this alias of it")
        self._count(1, key, line)
        if depth > MAX_DEPTH:
            self._document.fail(key, line, f"the nesting is deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, key, line)
        else:
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", f"{CORE}{'map' if is_mapping else 'seq'}"):
                self._refuse_tag(event, key, line)
            value = (self._mapping if is_mapping else self._sequence)(key, depth, line)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _count(self, values: int, key: str, line: int | None) -> None:
        self._room -= values
        if self._room < 0:
            self._document.fail(key, line, f"there are more than {MAX_VALUES} values")

    def _broken(self, key: str, line: int, reason: str) -> Value:
        self._document.refuse(key, line, reason)
        return Value(data=BROKEN, line=line)

    def _refuse_tag(self, event: Any, key: str, line: int) -> Value:
        tag = str(event.tag).replace(CORE, "!!")
        return self._broken(key, line, f"the tag {tag} is not allowed: leave it out")

    def _scalar(self, event: Any, key: str, line: int) -> Value:
        tag = _resolved(event) or event.tag
        if tag in AS_WRITTEN:
            return Value(data=event.value, line=line, is_plain=event.implicit[0])
        if tag not in READ:
            return self._refuse_tag(event, key, line)
        try:
            if len(event.value) > MAX_DIGITS:
                raise ValueError("too long a number")
            node = yaml.ScalarNode(tag, event.value)
            data = _constructor.yaml_constructors[tag](_constructor, node)
        except (ValueError, LookupError, OverflowError):
            kind = tag.removeprefix(CORE)
            return self._broken(key, line, f"{quoted(event.value)} cannot be read as {kind}")
        return Value(data=data, line=line, text=event.value)

    def _sequence(self, key: str, depth: int, line: int) -> Value:
        found: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, joined(key, str(len(found))), depth + 1))
        return Value(data=found, line=line)

    def _mapping(self, key: str, depth: int, line: int) -> Value:
        pairs: list[tuple[str, Value]] = []
        merged: list[dict[str, Value]] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._key(event, key, depth)
            path = key if name is None else joined(key, name)
            value = self._value(next(self._events), path, depth + 1)
            if _resolved(event) == f"{CORE}merge":
                merged += self._merged(value, path)
            elif name is not None:
                # An error of a whole parameter is shown at its name, not at its first setting.
                pairs.append((name, replace(value, line=_line(event))))
        if not key and _are_blocks(pairs):
            return Value(data=self._blocks(pairs), line=line)
        entries = self._distinct(pairs, key)
        for each in merged:
            self._count(len(each), key, line)
            entries = each | entries
        return Value(data=entries, line=line)

    def _key(self, event: Any, key: str, depth: int) -> str | None:
        line = _line(event)
        found = self._value(event, key, depth + 1)
        if isinstance(found.data, str):
            return found.data
        if depth == 0 and found.text is not None:
            return found.text  # OptunAPI 0.1 took any key above a parameter
        if isinstance(found.data, dict | list):
            self._document.refuse(key, line, "a mapping or list cannot be a key")
        elif found.data is not BROKEN:
            reason = f"YAML reads the key {found.text} as {quoted(found.data)}, not as a text"
            self._document.refuse(key, line, f"{reason}: put it in quotes")
        return None

    def _merged(self, value: Value, key: str) -> list[dict[str, Value]]:
        sources = value.data if isinstance(value.data, list) else [value]
        found = [source.data for source in sources if isinstance(source.data, dict)]
        if len(found) < len(sources):
            reason = "`<<` takes a mapping's alias, or a list of them"
            self._document.refuse(key, value.line, reason)
        return found

    def _distinct(self, pairs: list[tuple[str, Value]], key: str) -> dict[str, Value]:
        entries: dict[str, Value] = {}
        for name, value in pairs:
            first = entries.setdefault(name, value)
            if first is not value:
                reason = f"the key is on line {first.line} already"
                self._document.refuse(joined(key, name), value.line, reason)
        return entries

    def _blocks(self, pairs: list[tuple[str, Value]]) -> list[Value]:
        starts = [index for index, (name, _) in enumerate(pairs) if name == "name"]
        for name, value in pairs[: starts[0]]:
            reason = "a parameter without a heading begins with `name`"
            self._document.refuse(name, value.line, reason)
        found = []
        for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
            first = pairs[start][1]
            entries = self._distinct(pairs[start:end], str(first.data))
            found.append(Value(data=entries, line=first.line))
        return found


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _resolved(event: Any) -> str | None:
    """The tag that an untagged scalar has by its looks, None for anything else."""
    if not isinstance(event, yaml.ScalarEvent) or event.tag not in (None, "!"):
        return None
    tag: str = _resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return tag


def _are_blocks(pairs: list[tuple[str, Value]]) -> bool:
    """Whether a document's entries are settings of parameters, not parameters by name."""
    bare = any(name == "name" and not isinstance(value.data, dict) for name, value in pairs)
    return bare and not any(name == "parameters" for name, _ in pairs)
