"""Attributes, constraints and texts as the wire takes them: strict JSON, names of a limited length.

Optuna keeps any object in memory. Here a number that is not finite becomes null, and any other object
that JSON cannot hold becomes its text, in lists and dicts too. A warning names the attribute and its value.
"""

import json
import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from optunapi.client.optuna_types.scalars import number_of, shown, unwrapped

LONGEST_NAME = 512
LONGEST_CONSTRAINT = 500
DEEPEST = 56  # lists and dicts within each other; the server takes 64 with what is around them
MOST_BITS = 13_000  # of an integer: 3914 digits; the server reads 4000


def attribute(of: object, key: Any, value: Any) -> tuple[str, Any]:
    """Return a user attribute of a trial or study, `of`, as it is sent; warn if that is something else."""
    name, kept = _name("attribute", of, key, LONGEST_NAME), _Converted(value)
    if kept.differs:
        warnings.warn(
            f"the attribute {name!r} of {of} is {shown(value)}, which JSON cannot hold: it is kept as "
            f"{'null' if kept.value is None else shown(kept.value)}",
            RuntimeWarning,
            stacklevel=3,
        )
    return name, kept.value


def attributes(of: object, given: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Return several user attributes as they are sent; see `attribute`."""
    return dict(attribute(of, key, value) for key, value in (given or {}).items())


def constraint(of: object, key: Any, value: Any) -> tuple[str, float]:
    """Return a constraint as it is sent: an infinite one is the largest float, with a warning.

    Raises:
        TypeError: the value is not a number.
        ValueError: it is NaN, which neither holds nor fails to.
    """
    name, number = _name("constraint", of, key, LONGEST_CONSTRAINT), number_of(value)
    if math.isnan(number):
        raise ValueError(f"the constraint {name!r} of {of} is NaN")
    if math.isinf(number):
        kept = math.copysign(sys.float_info.max, number)
        warnings.warn(
            f"the constraint {name!r} of {of} is {number}, which JSON cannot hold: it is kept as {kept}",
            RuntimeWarning,
            stacklevel=3,
        )
        return name, kept
    return name, number


def text_of(value: object) -> str:
    """Return `str(value)` as JSON can hold it, without halves of surrogate pairs; its type if that fails."""
    try:
        text = str(value)
    except Exception:
        text = shown(value)
    return text.encode(errors="replace").decode()


def _name(what: str, of: object, key: Any, longest: int) -> str:
    name = text_of(key).replace("\0", "\ufffd")[:longest]
    if name != key:
        text = (
            f"the {what} {shown(key)} of {of} is called {shown(name)}: a name is a text of at most "
        )
        warnings.warn(f"{text}{longest} characters", RuntimeWarning, stacklevel=4)
    return name


class _Converted:
    """A value as JSON can hold it, and whether that is something else."""

    def __init__(self, value: Any) -> None:
        self.differs = False
        self._within: set[int] = set()
        self.value = self._json(value)

    def _json(self, value: Any) -> Any:
        try:
            value = unwrapped(value)
        except Exception:  # whatever a library's `item` raises
            return self._text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if value.bit_length() <= MOST_BITS else self._other(f"{value:#x}")
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._other(None)
        if isinstance(value, str):
            text = text_of(str.__str__(value))  # of an enumeration's member, the value
            return text if text == value else self._other(text)
        if isinstance(value, dict | list | tuple):
            return self._container(value)
        return self._text(value)

    def _container(self, value: Any) -> Any:
        if id(value) in self._within or len(self._within) >= DEEPEST:
            return self._text(value)
        self._within.add(id(value))
        try:
            if isinstance(value, dict):
                return self._object(value)
            return [self._json(each) for each in value]
        finally:
            self._within.discard(id(value))

    def _object(self, value: dict[Any, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, each in value.items():
            name = self._key(key)
            self.differs |= name in found
            found[name] = self._json(each)
        return found

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            name = text_of(str.__str__(key))
            self.differs |= name != key
            return name
        if key is None or isinstance(key, bool):
            return json.dumps(key)
        name = text_of(key)
        self.differs |= type(key) not in (int, float)
        return name

    def _text(self, value: Any) -> str:
        return str(self._other(text_of(value)))

    def _other(self, value: Any) -> Any:
        self.differs = True
        return value
