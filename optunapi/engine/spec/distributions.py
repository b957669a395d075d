"""Distributions, as a specification writes them."""

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, Scalar, document_of, quoted
from optunapi.engine.space import DISTRIBUTION_KEYS, MAX_STEPS, same

KEYS: Mapping[str, tuple[str, ...]] = {
    "categorical": ("choices",),
    "int": ("low", "high", "step", "log"),
    "float": ("low", "high", "step", "log"),
}


_count = partial(read.integer, minimum=1)


_width = partial(read.number, above=0)


def parse_distribution(data: Mapping[str, Any]) -> BaseDistribution:
    """The distribution that a JSON object describes.

    Raises:
        ConfigInvalid: it describes none; `errors` says why, key by key.
    """
    root = document_of(data)
    root.refuse_unknown(DISTRIBUTION_KEYS)
    distribution = read_distribution(root)
    root.document.raise_errors()
    assert distribution is not None
    return distribution


def read_distribution(node: Node) -> BaseDistribution | None:
    """The distribution that a parameter's mapping describes; None after noting why it is none."""
    entries = node.entries()
    kind = None
    if "type" in entries:
        kind = read.choice(entries["type"], KEYS, "type")
    else:
        node.refuse(f"`type` is missing: one of {', '.join(KEYS)}")
    if kind is None:
        return None
    for name in DISTRIBUTION_KEYS[1:]:
        # Files of OptunAPI 0.1 list all keys for every type, those that do not apply left empty.
        idle = name in entries and (entries[name].is_empty or entries[name].data is False)
        if name in entries and name not in KEYS[kind] and not idle:
            entries[name].refuse(f"{quoted(name)} does not go with type {kind}")
    if kind == "categorical":
        return _categorical(node, entries)
    return _numerical(node, entries, whole=kind == "int")


def _categorical(node: Node, entries: Mapping[str, Node]) -> CategoricalDistribution | None:
    if "choices" not in entries:
        node.refuse("`choices` is missing: a list of the values to choose from")
        return None
    nodes = read.items(entries["choices"], "the values to choose from")
    if nodes is None:
        return None
    if not nodes:
        entries["choices"].refuse("there is no choice: at least one is needed")
        return None
    choices: dict[Scalar, Node] = {}
    sound = True
    for item in nodes:
        found = read.scalar(item)
        if found is None:
            sound = False
        elif found[0] in choices:
            # Python and Optuna find a choice by ==, for which 1, 1.0 and true are one value.
            item.refuse(_repeated(choices[found[0]], item))
            sound = False
        else:
            choices[found[0]] = item
    return CategoricalDistribution([item.data for item in choices.values()]) if sound else None


def _repeated(first: Node, again: Node) -> str:
    reason = f"{_as_written(again)} repeats the choice {_as_written(first)}"
    if not same(first.data, again.data):
        reason += ": Optuna cannot tell 1 from 1.0 or true, nor 0 from 0.0 or false"
    if any(isinstance(node.data, bool) and _is_reread(node) for node in (first, again)):
        reason += ". YAML reads yes and on as true, no and off as false: put them in quotes"
    return reason


def _as_written(node: Node) -> str:
    shown = quoted(node.data)
    return f"{node.value.text} (read as {shown})" if _is_reread(node) else shown


def _is_reread(node: Node) -> bool:
    return node.value.text not in (None, quoted(node.data))


def _numerical(
    node: Node, entries: Mapping[str, Node], *, whole: bool
) -> IntDistribution | FloatDistribution | None:
    for name, what in (("low", "least"), ("high", "greatest")):
        if name not in entries:
            node.refuse(f"`{name}` is missing: the {what} value")
    bound = read.integer if whole else read.number
    low = bound(entries["low"]) if "low" in entries else None
    high = bound(entries["high"]) if "high" in entries else None
    log = read.boolean(entries["log"]) if _given(entries, "log") else False
    step: float | None = None
    if _given(entries, "step"):
        step = _count(entries["step"]) if whole else _width(entries["step"])
        if step is None:
            return None
    if low is None or high is None or log is None:
        return None
    if not _range_holds(entries, low, high, log=log, whole=whole):
        return None
    if step is not None and not _step_holds(entries["step"], low, high, step, log=log, whole=whole):
        return None
    if whole:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=step)


def _given(entries: Mapping[str, Node], name: str) -> bool:
    return name in entries and not entries[name].is_empty


def _range_holds(
    entries: Mapping[str, Node], low: float, high: float, *, log: bool, whole: bool
) -> bool:
    if low > high:
        entries["low"].refuse(f"{low} is above `high`, {high}")
    elif not math.isfinite(high - low):
        entries["high"].refuse(f"the range from {low} to {high} is too wide for a float")
    elif log and low <= 0:
        least = "at least 1" if whole else "above 0"
        entries["low"].refuse(f"{low} cannot be with `log: true`, which needs `low` {least}")
    else:
        return True
    return False


def _step_holds(
    node: Node, low: float, high: float, step: float, *, log: bool, whole: bool
) -> bool:
    if log and not (whole and step == 1):
        node.refuse("`step` cannot be with `log: true`: leave out one of them")
        return False
    # The decimals as written are what must fit: in binary, 0.1 does not divide 1.
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
