"""Distributions, as a configuration or a request writes them."""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.documents.document import Document, Node, quoted
from optunapi.engine.documents.fields import (
    Boolean,
    Count,
    Integer,
    Number,
    Positive,
    Scalar,
    one_of,
    some,
)
from optunapi.engine.space import DISTRIBUTION_KEYS, MAX_STEPS, same

TYPES: Mapping[str, Mapping[str, Any]] = {
    "categorical": {"choices": some(Scalar)},
    "int": {"low": Integer, "high": Integer, "step": Count, "log": Boolean},
    "float": {"low": Number, "high": Number, "step": Positive, "log": Boolean},
}
OPTIONAL = ("step", "log")


def parse_distribution(data: Mapping[str, Any]) -> BaseDistribution:
    """The distribution of a JSON object.

    Raises:
        ConfigInvalid: it is none; `errors` says why, key by key.
    """
    root = Document().root(data)
    root.refuse_unknown(DISTRIBUTION_KEYS)
    distribution = read_distribution(root)
    root.document.raise_errors()
    assert distribution is not None
    return distribution


def read_distribution(node: Node) -> BaseDistribution | None:
    """The distribution that a mapping describes; None after noting every error. Ignores other keys."""
    entries = node.entries()
    if "type" not in entries:
        node.refuse(f"`type` is missing: one of {', '.join(TYPES)}")
        return None
    kind = entries["type"].read(one_of(tuple(TYPES), "type"))
    if kind is None:
        return None
    types = TYPES[kind]
    for name in DISTRIBUTION_KEYS[1:]:
        # Files of OptunAPI 0.1 list all keys for every type; those that do not apply are empty.
        idle = name in entries and (entries[name].is_empty or entries[name].data is False)
        if name in entries and name not in types and not idle:
            entries[name].refuse(f"{quoted(name)} does not go with type {kind}")
        elif name in types and name not in entries and name not in OPTIONAL:
            node.refuse(f"`{name}` is missing")
    found = {
        name: entries[name].read(type_)
        for name, type_ in types.items()
        if name in entries and not (name in OPTIONAL and entries[name].is_empty)
    }
    if kind == "categorical":
        return _categorical(entries.get("choices"), found.get("choices"))
    if None in found.values() or not {"low", "high"} <= found.keys():
        return None
    if not _range_holds(entries, kind, found["low"], found["high"], log=found.get("log", False)):
        return None
    if "step" in found and not _step_holds(entries["step"], kind, **found):
        return None
    return IntDistribution(**found) if kind == "int" else FloatDistribution(**found)


def _categorical(node: Node | None, choices: list[Any] | None) -> BaseDistribution | None:
    # Python and Optuna find a choice by ==, which takes 1, 1.0 and true for the same value.
    seen: dict[Any, Node] = {}
    for item in node.items() if node else ():
        if not isinstance(item.data, list | dict) and seen.setdefault(item.data, item) is not item:
            item.refuse(_repeated(seen[item.data], item))
            choices = None
    return CategoricalDistribution(choices) if choices else None


def _repeated(first: Node, again: Node) -> str:
    reason = f"{again.shown()} repeats the choice {first.shown()}"
    if not same(first.data, again.data):
        reason += ": Optuna cannot tell 1 from 1.0 or true, nor 0 from 0.0 or false"
    if any(isinstance(each.data, bool) and "read as" in each.shown() for each in (first, again)):
        reason += ". YAML reads yes and on as true, no and off as false: put them in quotes"
    return reason


def _range_holds(
    entries: Mapping[str, Node], kind: str, low: float, high: float, *, log: bool
) -> bool:
    if low > high:
        entries["low"].refuse(f"{low} is above `high`, {high}")
    elif not math.isfinite(high - low):
        entries["high"].refuse(f"the range from {low} to {high} is too wide for a float")
    elif log and low <= 0:
        least = "at least 1" if kind == "int" else "above 0"
        entries["low"].refuse(f"{low} is too low: `log: true` needs `low` {least}")
    else:
        return True
    return False


def _step_holds(
    node: Node, kind: str, *, low: float, high: float, step: float, log: bool = False
) -> bool:
    whole = kind == "int"
    if log and not (whole and step == 1):
        node.refuse("`step` and `log: true` exclude each other: leave out one of them")
        return False
    # The decimals as written must fit: in binary, 0.1 does not divide 1.
    start, end, width = (Fraction(str(value)) for value in (low, high, step))
    steps = (end - start) // width
    if steps > MAX_STEPS and not whole:
        node.refuse(f"{step} makes more than {MAX_STEPS} steps from {low} to {high}")
        return False
    if start + steps * width == end:
        return True
    below, above = ((start + count * width) for count in (steps, steps + 1))
    fits = [str(int(value)) if whole else repr(float(value)) for value in (below, above)]
    node.refuse(f"{step} does not fit from {low} to {high}: make `high` {fits[0]} or {fits[1]}")
    return False
