"""Parameters, the values of their distributions, and the conditions under which they are used (`when`)."""

import math
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.documents.document import Node, Scalar, nearest, quoted
from optunapi.engine.documents.numbers import spelled_number


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter. `when` says which values other parameters must have for it to be used."""

    name: str
    distribution: BaseDistribution
    when: Mapping[str, tuple[Scalar, ...]] | None = None

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether the parameter is used, given the values of those before it."""
        return not self.when or all(
            name in params and any(same(params[name], value) for value in values)
            for name, values in self.when.items()
        )


def sample_conditional(
    parameters: Iterable[Parameter], suggest: Callable[[str, BaseDistribution], Any]
) -> dict[str, Any]:
    """The values that `suggest` returns, in order, for the parameters whose `when` holds."""
    params: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(params):
            params[parameter.name] = suggest(parameter.name, parameter.distribution)
    return params


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, as in JSON: 1 and 1.0 are, true and 1 are not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def fitted(distribution: BaseDistribution, value: Any) -> tuple[Scalar] | None:
    """`value` in the type that the distribution has, in a tuple since null is a value; None if outside.

    A number may be written as 1 or 1.0. Booleans and strings are not numbers.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return next(((choice,) for choice in choices if same(choice, value)), None)
        case IntDistribution(low=low, high=high, step=step):
            # The database keeps it as a float. Beyond 2^53 not every integer has one.
            if not _is_number(value) or not low <= value <= high or int(value) != float(value):
                return None
            return (int(value),) if (int(value) - low) % step == 0 else None
        case FloatDistribution(low=low, high=high, step=width):
            if not _is_number(value) or not low <= value <= high or not math.isfinite(value):
                return None
            if width is not None:
                count = (float(value) - low) / width
                if not math.isfinite(count):
                    return None
                # For large bounds the rounding exceeds Optuna's tolerance, which is 1e-8 for all.
                rounding = 4 * sys.float_info.epsilon * max(abs(low), abs(high)) / width
                if abs(count - round(count)) > 1e-8 + rounding:
                    return None
            return (float(value),)
    raise TypeError(f"no such distribution: {distribution!r}")


def fitted_node(distribution: BaseDistribution, node: Node) -> tuple[Scalar] | None:
    """As `fitted`, for a value of a configuration: a text of a YAML file may spell a number."""
    found = fitted(distribution, node.data)
    if found is None and (number := spelled_number(node)) is not None:
        found = fitted(distribution, number)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_EXACT = 2**53  # from there on, floats skip integers


def allowed(distribution: BaseDistribution) -> str:
    """The values of a distribution, in words for an error message."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            shown = ", ".join(quoted(choice) for choice in islice(choices, 10))
            return f"one of {shown}{', …' if len(choices) > 10 else ''}"
        case IntDistribution(low=low, high=high, step=step):
            exact = "" if max(-low, high) <= _EXACT else " that a float holds (each up to 2^53)"
            ends = f"from {quoted(low)} to {quoted(high)}"
            return f"a whole number{exact} {ends}{_steps(step if step > 1 else None)}"
        case FloatDistribution(low=low, high=high, step=width):
            return f"a number from {low} to {high}{_steps(width)}"
    raise TypeError(f"no such distribution: {distribution!r}")


def _steps(width: float | None) -> str:
    return f" in steps of {width}" if width else ""


def misfits(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, str]:
    """Why a point that fixes some parameters is outside the space: a reason for each wrong name.

    Without parameters (define-by-run) every name is right.
    """
    known = {parameter.name: parameter for parameter in parameters}
    reasons: dict[str, str] = {}
    for name, value in point.items() if known else ():
        if name not in known:
            reasons[name] = f"there is no parameter {quoted(name)}{nearest(name, known)}"
        elif fitted(known[name].distribution, value) is None:
            reasons[name] = f"{quoted(value)} is not {allowed(known[name].distribution)}"
        elif not known[name].applies(point):
            reasons[name] = f"{quoted(name)} needs {_conditions(known[name])} in the same point"
    return reasons


def fitted_point(parameters: Sequence[Parameter], point: Mapping[str, Any]) -> dict[str, Any]:
    """A point without misfits, its values in the types that the distributions have."""
    known = {parameter.name: parameter.distribution for parameter in parameters}
    found = dict(point)
    for name, value in point.items():
        if name in known and (fits := fitted(known[name], value)):
            found[name] = fits[0]
    return found


def _conditions(parameter: Parameter) -> str:
    """A parameter's `when` in words."""
    return " and ".join(
        f"{name} = {' or '.join(quoted(value) for value in values)}"
        for name, values in (parameter.when or {}).items()
    )


def count_values(distribution: BaseDistribution) -> int | None:
    """The number of values in a distribution; None if it is continuous."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            return (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=None):
            return 1 if low == high else None
        case FloatDistribution(low=low, high=high, step=width):
            # `high` is a step, rounded to a float, perhaps down.
            return round((Fraction(str(high)) - Fraction(str(low))) / Fraction(str(width))) + 1
    raise TypeError(f"no such distribution: {distribution!r}")


def has_plain_choices(distribution: BaseDistribution) -> bool:
    """Whether its choices, if it has any, are single values of which no two are equal in Python.

    Optuna also takes lists, dicts, NaN, and 1 beside true.
    """
    if not isinstance(distribution, CategoricalDistribution):
        return True
    choices = distribution.choices
    if not all(isinstance(choice, str | int | float | None) for choice in choices):
        return False
    return len(set(choices)) == len(choices) and all(choice == choice for choice in choices)


def from_internal(distribution: BaseDistribution, internal: float) -> Any:
    """The value of Optuna's internal representation, which is a float.

    A bound above 2^53 may have no float of its own: then the nearest one inside counts.
    """
    value = distribution.to_external_repr(internal)
    if isinstance(distribution, IntDistribution):
        if value > distribution.high and internal == float(distribution.high):
            return int(math.nextafter(internal, -math.inf))
        if value < distribution.low and internal == float(distribution.low):
            return int(math.nextafter(internal, math.inf))
    return value


def values_of(distribution: BaseDistribution, limit: int) -> list[Scalar] | None:
    """Every value of a distribution; None if there are more than `limit`."""
    count = count_values(distribution)
    if count is None or count > limit:
        return None
    return [value_at(distribution, index) for index in range(count)]


def value_at(distribution: BaseDistribution, index: int) -> Any:
    """The value at `index`, from 0, of a distribution whose values can be counted."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[index]
        case IntDistribution(low=low, step=step):
            return low + index * step
        case FloatDistribution(low=low, step=width):
            # In decimals, as written: in binary, three times 0.1 is not 0.3.
            return float(Fraction(str(low)) + index * Fraction(str(width or 0)))
    raise TypeError(f"no such distribution: {distribution!r}")


@dataclass(frozen=True, kw_only=True)
class Values:
    """The values that a parameter may get: those `given`, else all that its distribution has.

    `count` is None where there are infinitely many.
    """

    distribution: BaseDistribution
    given: Sequence[Any] | None = None

    @cached_property
    def count(self) -> int | None:
        """How many there are."""
        return count_values(self.distribution) if self.given is None else len(self.given)

    def at(self, index: int) -> Any:
        """The value at `index`, from 0."""
        return value_at(self.distribution, index) if self.given is None else self.given[index]

    def draw(self, rng: random.Random) -> Any:
        """A random one."""
        count = self.count
        if count is not None:
            return self.at(rng.randrange(count))
        assert isinstance(self.distribution, FloatDistribution)
        low, high, part = self.distribution.low, self.distribution.high, rng.random()
        if self.distribution.log:
            found = math.exp(math.log(low) * (1 - part) + math.log(high) * part)
        else:
            found = low * (1 - part) + high * part  # `high - low` may be too large for a float
        return min(max(found, low), high)

    def each(self, rng: random.Random) -> Iterator[Any]:
        """Each of them once, from a random one on; without end if there are infinitely many."""
        count = self.count
        if count is None:
            while True:
                yield self.draw(rng)
        start = rng.randrange(count)
        for index in range(count):
            yield self.at((start + index) % count)
