"""Readers of single values: each gives the value, or None after noting why it is not one."""

import math
import re
from collections.abc import Collection
from typing import Any

from optunapi.durations import MAX_SECONDS, seconds_of
from optunapi.engine.documents.document import Node, Scalar, nearest, quoted

# Floats hold whole numbers without a gap up to here, and Optuna keeps every parameter as a float.
MAX_INTEGER = 2**53

_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?", re.ASCII)


def _numeric(node: Node) -> int | float | None:
    """The number a node spells, finite or not; None if it spells none."""
    data = node.data
    if isinstance(data, bool):
        return None
    if isinstance(data, int | float):
        return data
    if isinstance(data, str) and not node.document.exact:
        text = data.strip()
        if len(text) <= 400 and _NUMBER.fullmatch(text):
            digits = text.replace("_", "")
            return int(digits) if digits.lstrip("+-").isdigit() else float(digits)
    return None


def _shown(node: Node) -> str:
    return quoted(node.plain())


def number(node: Node, *, minimum: float | None = None, above: float | None = None) -> float | None:
    """A finite number."""
    found = _numeric(node)
    if found is None:
        node.refuse(f"{_shown(node)} is not a number")
        return None
    try:
        value = float(found)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        node.refuse(f"{_shown(node)} is not a finite number")
    elif minimum is not None and value < minimum:
        node.refuse(f"{_shown(node)} is below {minimum:g}, the least allowed")
    elif above is not None and value <= above:
        node.refuse(f"{_shown(node)} is not above {above:g}")
    else:
        return value
    return None


def integer(node: Node, *, minimum: int = -MAX_INTEGER, maximum: int = MAX_INTEGER) -> int | None:
    """A whole number; `3.0` is one."""
    found = _numeric(node)
    if found is None or (isinstance(found, float) and not found.is_integer()):
        node.refuse(f"{_shown(node)} is not a whole number")
        return None
    if found < minimum:
        node.refuse(f"{_shown(node)} is below {minimum}, the least allowed")
        return None
    if found > maximum:
        node.refuse(f"{_shown(node)} is above {maximum}, the most allowed")
        return None
    return int(found)


def boolean(node: Node) -> bool | None:
    """True or false."""
    if isinstance(node.data, bool):
        return node.data
    node.refuse(f"{_shown(node)} is not a boolean: true or false")
    return None


def text(node: Node, *, longest: int = 10_000) -> str | None:
    """A text."""
    if not isinstance(node.data, str):
        hint = "; put it in quotes to make it one" if _is_scalar(node.data) else ""
        node.refuse(f"{_shown(node)} is not a text{hint}")
        return None
    if len(node.data) > longest:
        node.refuse(f"the text has {len(node.data)} characters; at most {longest} are allowed")
        return None
    return node.data


def choice(node: Node, allowed: Collection[str], what: str) -> str | None:
    """One of the words in `allowed`."""
    if isinstance(node.data, str) and node.data in allowed:
        return node.data
    word = node.data if isinstance(node.data, str) else ""
    node.refuse(f"{_shown(node)} is not a {what}{nearest(word, allowed)}")
    return None


def seconds(node: Node, *, maximum: float = MAX_SECONDS) -> float | None:
    """A duration above zero: a number of seconds, or a number with `s`, `m`, `h` or `d`."""
    found = seconds_of(node.data) if isinstance(node.data, str) else None
    if found is None and (plain := _numeric(node)) is not None:
        found = float(min(plain, 2 * MAX_SECONDS))
    if found is None or math.isnan(found):
        node.refuse(f"{_shown(node)} is not a duration such as 90, 90s, 5m, 12h or 2d")
    elif found <= 0:
        node.refuse(f"{_shown(node)} is not a duration above zero")
    elif found > maximum:
        node.refuse(f"{_shown(node)} is above {maximum:g} s, the most allowed")
    else:
        return found
    return None


def scalar(node: Node) -> tuple[Scalar] | None:
    """A text, number, boolean or null, in a tuple of its own since null is a value here."""
    if not _is_scalar(node.data):
        node.refuse(f"{_shown(node)} is not a single value: a text, number, boolean or null")
        return None
    return (node.data,)


def mapping(node: Node, what: str) -> dict[str, Node] | None:
    """The entries of a mapping, null ones left out."""
    if not node.is_mapping:
        node.refuse(f"{_shown(node)} is not a mapping: {what}")
        return None
    return node.entries()


def items(node: Node, what: str) -> list[Node] | None:
    """The entries of a list."""
    if not node.is_list:
        node.refuse(f"{_shown(node)} is not a list: {what}")
        return None
    return list(node.items())


def _is_scalar(data: Any) -> bool:
    return data is None or isinstance(data, str | int | float | bool)
