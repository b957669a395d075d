"""Distributions as configurations, requests and replies write them: read and written."""

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
    MAX_INTEGER,
    Boolean,
    Count,
    Integer,
    Number,
    Positive,
    Scalar,
    one_of,
    some,
)
from optunapi.engine.space import same

DISTRIBUTION_KEYS = ("type", "choices", "low", "high", "step", "log")
TYPES: Mapping[str, Mapping[str, Any]] = {
    "categorical": {"choices": some(Scalar)},
    "int": {"low": Integer, "high": Integer, "step": Count, "log": Boolean},
    "float": {"low": Number, "high": Number, "step": Positive, "log": Boolean},
}


def distribution_to_wire(distribution: BaseDistribution) -> dict[str, Any]:
    """The distribution as clients and configurations write it."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return {"type": "categorical", "choices": list(choices)}
        case IntDistribution(low=low, high=high, log=log, step=step):
            return {"type": "int", "low": low, "high": high, "log": log, "step": step}
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return {"type": "float", "low": low, "high": high, "log": log, "step": step}
    raise TypeError(f"no such distribution: {distribution!r}")


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
    found: dict[str, Any] = {}
    for name in DISTRIBUTION_KEYS[1:]:
        entry, type_, optional = entries.get(name), TYPES[kind].get(name), name in ("step", "log")
        if type_ and entry is None and not optional:
            node.refuse(f"`{name}` is missing")
            found[name] = None
        elif entry is None or (entry.is_empty and (optional or not type_)):
            continue  # files of OptunAPI 0.1 list all keys for every type
        elif type_:
            found[name] = entry.read(type_)
        elif entry.data is not False:
            entry.refuse(f"{quoted(name)} does not go with type {kind}")
    if kind == "categorical" and "choices" in entries:
        return _categorical(entries["choices"], found["choices"])
    if None in found.values() or not _fits(entries, whole=kind == "int", **found):
        return None
    return IntDistribution(**found) if kind == "int" else FloatDistribution(**found)


def _categorical(node: Node, choices: list[Any] | None) -> BaseDistribution | None:
    # Python and Optuna find a choice by ==, which takes 1, 1.0 and true for the same value.
    seen: dict[Any, Node] = {}
    for item in node.items():
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


def _fits(
    entries: Mapping[str, Node],
    *,
    whole: bool,
    low: float,
    high: float,
    step: float | None = None,
    log: bool = False,
) -> bool:
    """Whether bounds, step and log go together; notes why not."""
    if low > high:
        entries["low"].refuse(f"{low} is above `high`, {high}")
    elif not math.isfinite(high - low):
        entries["high"].refuse(f"the range from {low} to {high} is too wide for a float")
    elif log and low <= 0:
        least = "at least 1" if whole else "above 0"
        entries["low"].refuse(f"{low} is too low: `log: true` needs `low` {least}")
    elif step and log and not (whole and step == 1):
        entries["step"].refuse("`step` and `log: true` exclude each other: leave out one of them")
    elif step and (reason := _step_fault(low, high, step, whole=whole)):
        entries["step"].refuse(reason)
    else:
        return True
    return False


def _step_fault(low: float, high: float, step: float, *, whole: bool) -> str | None:
    # The decimals as written must fit: in binary, 0.1 does not divide 1.
    start, end, width = (Fraction(str(value)) for value in (low, high, step))
    steps = (end - start) // width
    if steps > MAX_INTEGER and not whole:
        return f"{step} makes more than {MAX_INTEGER} steps from {low} to {high}"
    if start + steps * width == end:
        return None
    ends = [start + count * width for count in (steps, steps + 1)]
    below, above = (str(int(value)) if whole else repr(float(value)) for value in ends)
    return f"{step} does not fit from {low} to {high}: make `high` {below} or {above}"
