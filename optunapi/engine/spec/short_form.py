"""The short form with the meaning that OptunAPI 0.1 gave it.

OptunAPI 0.1 passed what YAML made of an entry through Python's `float` and `bool` to Optuna. So it took more
than the long form does: a step or `log` of 0 for none, `true` for 1, a fraction as the bound of an integer,
and any other key. It needed every key of the entry's type, so a misspelt one was an error all the same.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optunapi.engine.documents.document import Node, quoted
from optunapi.engine.documents.numbers import spelled_number
from optunapi.engine.spec.distributions import DISTRIBUTION_KEYS

_NEEDED: Mapping[Any, tuple[str, ...]] = {
    "categorical": ("name", "type", "choices"),
    "int": ("name", "type", "low", "high", "step", "log"),
    "float": ("name", "type", "low", "high", "step", "log"),
}


def as_in_long_form(entry: Node) -> Node:
    """An entry of the short form as the long form writes it. What the long form lacks is noted."""
    kind = entry.data.get("type") if isinstance(entry.data, dict) else None
    if not isinstance(kind, str) or kind not in _NEEDED:
        return entry
    needed = _NEEDED[kind]
    found = dict(entry.data)
    is_complete = all(key in found for key in needed)
    for key, node in entry.all_entries().items():
        if key in needed or key == "when":
            continue
        if key in DISTRIBUTION_KEYS or is_complete:
            del found[key]
            if not node.is_empty and node.data is not False:
                node.note(f"{quoted(key)} is ignored: type {kind} does not use it")
    if not isinstance(found.get("name", ""), str | list | dict | None):
        found["name"] = str(found["name"])
    if kind != "categorical":
        found |= {key: _number(entry[key]) for key in ("low", "high", "step") if key in found}
        if not found.get("step"):
            found.pop("step", None)
        if "log" in found:
            found["log"] = _truth(entry["log"])
    if kind == "int":
        _round(entry, found)
    return replace(entry, data=found)


def _number(node: Node) -> Any:
    if isinstance(node.data, bool) and node.data:
        node.note("true is read as 1: write a number")
        return 1
    number = spelled_number(node)
    return node.data if number is None else number


def _truth(node: Node) -> bool:
    if isinstance(node.data, str) and node.data:
        node.note(f"{quoted(node.data)} is a text, which counts as true: write true or false")
    return bool(node.data)


def _round(entry: Node, found: dict[str, Any]) -> None:
    """Cut the fractions of an integer's settings, and round `high` down to the last step."""
    is_in_order = _is_in_order(found)
    for key in ("low", "high", "step"):
        value = found.get(key)
        if type(value) is not float or not math.isfinite(value) or not is_in_order:
            continue
        if key == "step" and (value < 1 or (found.get("log") and value != 1)):
            continue  # no step is left, or one that does not go with `log`
        found[key] = int(value)
        if found[key] != value:
            entry[key].note(f"{value} is read as {found[key]}: the parameter is an integer")
    low, high, step = (found.get(key, 1) for key in ("low", "high", "step"))
    if all(type(each) is int for each in (low, high, step)) and step > 0 and high >= low:
        last = low + (high - low) // step * step
        if last != high:
            entry["high"].note(f"{high} is read as {last}, the last step of {step} from {low}")
            found["high"] = last


def _is_in_order(found: Mapping[str, Any]) -> bool:
    low, high = found.get("low"), found.get("high")
    return isinstance(low, int | float) and isinstance(high, int | float) and low <= high
