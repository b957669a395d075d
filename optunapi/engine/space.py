"""Parameters and their Optuna distributions: read, written, and asked where `when` holds."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.document import Node, Scalar, document_of, nearest, quoted

KEYS: Mapping[str, tuple[str, ...]] = {
    "categorical": ("choices",),
    "int": ("low", "high", "step", "log"),
    "float": ("low", "high", "step", "log"),
}
DISTRIBUTION_KEYS = ("type", "choices", "low", "high", "step", "log")
MAX_STEPS = read.MAX_INTEGER

_count = partial(read.integer, minimum=1)
_width = partial(read.number, above=0)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter, and the values other parameters must have for it to be asked (`when`)."""

    name: str
    distribution: BaseDistribution
    when: Mapping[str, tuple[Scalar, ...]] | None = None

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameter is asked, given the values of those before it."""
        return not self.when or all(
            name in params and any(same(params[name], value) for value in values)
            for name, values in self.when.items()
        )


def sample_conditional(
    parameters: Iterable[Parameter], suggest: Callable[[str, BaseDistribution], Any]
) -> dict[str, Any]:
    """Suggest each parameter in order, leaving out those whose `when` does not hold."""
    params: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(params):
            params[parameter.name] = suggest(parameter.name, parameter.distribution)
    return params


def same(one: Any, other: Any) -> bool:
    """Whether two values are one: 1 and 1.0 are, true and 1 are not, as in JSON."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


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


def fitted(distribution: BaseDistribution, value: Any) -> tuple[Scalar] | None:
    """`value` as the distribution holds it, in a tuple as null is a value; None if it is outside.

    A number may be written 1 or 1.0; a boolean is not a number, and a text never one.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return next(((choice,) for choice in choices if same(choice, value)), None)
        case IntDistribution(low=low, high=high, step=step):
            if not _is_number(value) or value != value or not low <= value <= high:
                return None
            return (int(value),) if (value - low) % step == 0 else None
        case FloatDistribution(low=low, high=high, step=width):
            if not _is_number(value) or not low <= value <= high:
                return None
            if width is not None:
                count = (float(value) - low) / width
                # The rounding of large bounds is more than Optuna's tolerance, a flat 1e-8.
                rounding = 4 * sys.float_info.epsilon * max(abs(low), abs(high)) / width
                if abs(count - round(count)) > 1e-8 + rounding:
                    return None
            return (float(value),)
    raise TypeError(f"no such distribution: {distribution!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def allowed(distribution: BaseDistribution) -> str:
    """The values of a distribution, in words for an error."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            shown = ", ".join(quoted(choice) for choice in islice(choices, 10))
            return f"one of {shown}{', …' if len(choices) > 10 else ''}"
        case IntDistribution(low=low, high=high, step=step):
            return f"a whole number from {low} to {high}{_steps(step if step > 1 else None)}"
        case FloatDistribution(low=low, high=high, step=width):
            return f"a number from {low} to {high}{_steps(width)}"
    raise TypeError(f"no such distribution: {distribution!r}")


def _steps(width: float | None) -> str:
    return f" in steps of {width}" if width else ""


def misfits(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, str]:
    """Why a point that fixes some parameters is outside the space: a reason for each name at fault.

    Without parameters (define-by-run) any name is right.
    """
    known = {parameter.name: parameter for parameter in parameters}
    reasons: dict[str, str] = {}
    for name, value in point.items() if known else ():
        if name not in known:
            reasons[name] = f"there is no parameter {quoted(name)}{nearest(name, known)}"
        elif fitted(known[name].distribution, value) is None:
            reasons[name] = f"{quoted(value)} is not {allowed(known[name].distribution)}"
        elif not known[name].applies(point):
            reasons[name] = f"{quoted(name)} needs {conditions(known[name])} in the same point"
    return reasons


def fitted_point(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, Any]:
    """A point without misfits, its values as the distributions hold them."""
    known = {parameter.name: parameter.distribution for parameter in parameters}
    found = dict(point)
    for name, value in point.items():
        if name in known and (fits := fitted(known[name], value)):
            found[name] = fits[0]
    return found


def conditions(parameter: Parameter) -> str:
    """A parameter's `when` in words."""
    return " and ".join(
        f"{name} = {' or '.join(quoted(value) for value in values)}"
        for name, values in (parameter.when or {}).items()
    )


def count_values(distribution: BaseDistribution) -> int | None:
    """How many values a distribution has; None if there is no end of them."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=None):
            return 1 if low == high else None
        case FloatDistribution(low=low, high=high, step=width):
            return (Fraction(str(high)) - Fraction(str(low))) // Fraction(str(width)) + 1
    raise TypeError(f"no such distribution: {distribution!r}")


def values_of(distribution: BaseDistribution, limit: int) -> list[Scalar] | None:
    """Every value of a distribution; None if there are more than `limit`."""
    count = count_values(distribution)
    if count is None or count > limit:
        return None
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case IntDistribution(low=low, step=step):
            return [low + index * step for index in range(count)]
        case FloatDistribution(low=low, step=width):
            # In decimals, as written: added up in binary, 0.1 three times is not 0.3.
            start, stride = Fraction(str(low)), Fraction(str(width or 0))
            return [float(start + index * stride) for index in range(count)]
    raise TypeError(f"no such distribution: {distribution!r}")
