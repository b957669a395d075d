"""Distributions as configurations, requests and replies write them: read and written."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.documents.components import without_warnings
from optunapi.engine.documents.document import Document, Node, quoted
from optunapi.engine.documents.fields import (
    AnyInteger,
    Boolean,
    Number,
    Positive,
    Scalar,
    one_of,
    some,
)
from optunapi.engine.documents.numbers import with_numbers
from optunapi.engine.space import same
from optunapi.steps import high_to_write, last_step

_AT_LEAST_1 = Annotated[AnyInteger, Ge(1)]
DISTRIBUTION_KEYS = ("type", "choices", "low", "high", "step", "log")
TYPES: Mapping[str, Mapping[str, Any]] = {
    "categorical": {"choices": some(Scalar)},
    "int": {"low": AnyInteger, "high": AnyInteger, "step": _AT_LEAST_1, "log": Boolean},
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


def distribution_to_spec(distribution: BaseDistribution) -> dict[str, Any]:
    """The distribution as a configuration has to write it so that it is read as this one."""
    wire = distribution_to_wire(distribution)
    if wire["type"] == "float":
        wire["high"] = high_to_write(wire["low"], wire["high"], wire["step"])
    return wire


def distribution_from_wire(wire: Mapping[str, Any]) -> BaseDistribution:
    """The inverse of `distribution_to_wire`, for whatever Optuna allows.

    Raises:
        ValueError: it is no such distribution.
    """
    make = _MAKERS.get(wire.get("type"))
    if make is None or wire.keys() != {"type", *TYPES[wire["type"]]}:
        raise ValueError(f"this is no distribution as `export` writes one: {quoted(dict(wire))}")
    settings = {name: value for name, value in wire.items() if name != "type"}
    kinds = {"int": (int,), "float": (int, float, type(None))}.get(wire["type"])
    if kinds and any(type(settings[name]) not in kinds for name in ("low", "high", "step")):
        raise ValueError("`low`, `high` and `step` of a distribution are numbers")
    try:
        with without_warnings():  # choices may be lists
            found: BaseDistribution = make(**settings)
            return found
    except TypeError as error:
        raise ValueError(str(error)) from None


_MAKERS: Mapping[Any, Any] = {
    "categorical": CategoricalDistribution,
    "int": IntDistribution,
    "float": FloatDistribution,
}


def parse_distribution(data: Mapping[str, Any], *, is_shown: bool = False) -> BaseDistribution:
    """The distribution of a JSON object. As in Optuna, `high` is rounded down to the last step.

    `is_shown` says that it may be from a reply: a `high` that is a step already stays as it is.

    Raises:
        ConfigInvalid: it is none; `errors` says why, key by key.
    """
    root = Document().root(data)
    root.refuse_unknown(DISTRIBUTION_KEYS)
    distribution = read_distribution(root, rounds_integers=True)
    root.document.raise_errors()
    assert distribution is not None
    if is_shown and isinstance(distribution, FloatDistribution) and distribution.step is not None:
        low, high, step = distribution.low, float(data["high"]), distribution.step
        distribution.high = last_step(low, high_to_write(low, high, step), step)
    return distribution


def read_distribution(node: Node, *, rounds_integers: bool = False) -> BaseDistribution | None:
    """The distribution that a mapping describes; None after noting every error. Ignores other keys.

    The `high` of a float is rounded down to the last step, as in Optuna. That of an integer has to be a
    step, unless `rounds_integers`.
    """
    entries = {name: entry for name, entry in node.entries().items() if not entry.is_empty}
    if "type" not in entries:
        node.refuse(f"`type` is missing: one of {', '.join(TYPES)}")
        return None
    kind = entries["type"].read(one_of(tuple(TYPES), "type"))
    if kind is None:
        return None
    found: dict[str, Any] = {}
    for name in DISTRIBUTION_KEYS[1:]:
        entry, type_ = entries.get(name), TYPES[kind].get(name)
        if type_ and entry is not None:
            found[name] = entry.read(type_)
        elif type_ and name == "choices" and name in node.entries():
            found[name] = node[name].read(type_)  # an empty list has an error of its own
        elif type_ and name not in ("step", "log"):
            node.refuse(f"`{name}` is missing")
            found[name] = None
        elif entry is not None and entry.data is not False:
            entry.refuse(f"{quoted(name)} does not go with type {kind}")
    if None in found.values():
        return None
    if kind == "categorical":
        return _categorical(entries["choices"])
    if not _fits(entries, whole=kind == "int", **found):
        return None
    if kind == "int":
        return _integers(entries, rounds_integers, **found)
    distribution = _floats(**found)
    if distribution.high != found["high"]:
        high, step = distribution.high, distribution.step
        entries["high"].note(f"{found['high']} is read as {high}, the last step of {step}")
    return distribution


def _categorical(node: Node) -> BaseDistribution | None:
    # Python and Optuna find a choice by ==, which takes 1, 1.0 and true for the same value.
    seen: dict[Any, Node] = {}
    repeats, choices = False, with_numbers(node)
    for item, choice in zip(node.items(), choices, strict=True):
        if (first := seen.setdefault(choice, item)) is not item:
            item.refuse(_repeated(first, item, choice))
            repeats = True
    return None if repeats else CategoricalDistribution(choices)


def _repeated(first: Node, again: Node, choice: Any) -> str:
    reason = f"{again.shown()} repeats the choice {first.shown()}"
    if isinstance(choice, int | float) and str in (type(first.data), type(again.data)):
        reason += f": both are the number {choice!r}"
    elif not same(first.data, again.data):
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
    least, most = entries["low"].shown(), entries["high"].shown()
    if low > high:
        entries["low"].refuse(f"{least} is above `high`, {most}")
    elif not math.isfinite(float(high) - float(low)):
        entries["high"].refuse(f"the range from {least} to {most} is too wide for a float")
    elif low < high and float(low) == float(high):
        reason = f"{least} and {most} are the same float, and Optuna keeps parameters as floats"
        entries["high"].refuse(f"{reason}: widen the range")
    elif log and low <= 0:
        needed = "at least 1" if whole else "above 0"
        entries["low"].refuse(f"{least} is too low: `log: true` needs `low` {needed}")
    elif step and log and not (whole and step == 1):
        entries["step"].refuse(
            f"`step: {entries['step'].shown()}` and `log: true` exclude each other: leave out one of them"
        )
    elif step and not whole and (fault := _too_many(low, high, step)):
        entries["step"].refuse(fault)
    else:
        return True
    return False


def _too_many(low: float, high: float, step: float) -> str | None:
    try:
        last_step(low, high, step)
    except ValueError as error:
        return str(error)
    return None


def _floats(
    low: float, high: float, step: float | None = None, log: bool = False
) -> FloatDistribution:
    if step is None:
        return FloatDistribution(low, high, log=log)
    # Optuna's constructor would warn, and round a `high` again that is a step already.
    found = FloatDistribution(low, low, step=step)
    found.high = last_step(low, high, step)
    return found


def _integers(
    entries: Mapping[str, Node],
    rounds: bool,
    low: int,
    high: int,
    step: int = 1,
    log: bool = False,
) -> BaseDistribution | None:
    last = low + (high - low) // step * step
    if last != high and not rounds:
        least, most, width = (entries[key].shown() for key in ("low", "high", "step"))
        near = f"make `high` {quoted(last)} or {quoted(last + step)}"
        entries["step"].refuse(f"{width} does not fit from {least} to {most}: {near}")
        return None
    return IntDistribution(low, last, log=log, step=step)
