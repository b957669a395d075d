"""Parameters as axes: their values as numbers that a sampler can draw, and back.

An axis has two scales. On the unit scale every parameter runs from 0 to 1, with logarithms and steps laid
out evenly; random search, mixing and screening use it. TPE uses coordinates. These are choices counted
from 0 for a categorical parameter, whole numbers for one with few steps, and the unit scale for the
others. Only with whole numbers TPE tells a value that was tried from its neighbours. Such a draw takes
longer, and is not needed for a parameter with many steps, of which few are drawn twice.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.space import Parameter, count_values, has_plain_choices

Params = Mapping[str, Any]

# The square of a larger number is infinite.
LARGEST = 1e150

# A float has about 16 digits. Of a narrower range, relative to its bounds, few values would be left.
NARROWEST = 1e-12

# A parameter with at most this many values has whole numbers as its coordinates.
MAX_STEPS = 128
MAX_COORDINATE = 2**53


@dataclass(frozen=True, kw_only=True)
class IntegerRange:
    """Whole numbers from `low` to `high`; with `log`, their logarithms are laid out evenly."""

    low: int
    high: int
    log: bool


class Axis(Protocol):
    """The scales of one parameter."""

    @property
    def n_choices(self) -> int | None:
        """The number of choices; None if the values are numbers."""

    @property
    def integers(self) -> IntegerRange | None:
        """The coordinates if they are whole numbers; None for choices and for the unit scale."""

    def __contains__(self, value: Any) -> bool:
        """Whether a value is in range."""

    def coordinate(self, value: Any, within: float) -> float:
        """The coordinate of a value in range.

        On the unit scale a step has a stretch of coordinates. `within`, from 0 to 1, says where in it.
        """

    def value_at(self, coordinate: float) -> Any:
        """The value at a coordinate."""

    def to_unit(self, value: Any) -> float:
        """Where a value in range lies on the unit scale: the middle of its stretch."""

    def from_unit(self, unit: float) -> Any:
        """The value at `unit`, at least 0 and below 1. A uniform `unit` makes this random search."""

    def interpolate(self, start: Any, end: Any, fraction: float) -> Any:
        """The value at a `fraction` (0 to 1) of the way between two; `end` for choices."""


def axes_of(parameters: Sequence[Parameter]) -> dict[str, Axis]:
    """An axis for each parameter that has more than one value."""
    return {p.name: axis_of(p.distribution) for p in parameters if not p.distribution.single()}


def axis_of(distribution: BaseDistribution) -> Axis:
    """The axis of a parameter that has more than one value."""
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalAxis(choices=distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    n_values = count_values(distribution)
    # With `log` the coordinates are the values themselves, which Rust holds in 64 bits.
    fits = not distribution.log or distribution.high <= MAX_COORDINATE
    is_stepped = n_values is not None and n_values <= MAX_STEPS and fits
    return SteppedAxis(distribution) if is_stepped else ContinuousAxis(distribution)


def unfit(distribution: BaseDistribution) -> str | None:
    """What it has that no axis can have, or None. Optuna draws such a parameter as far as it can."""
    if isinstance(distribution, CategoricalDistribution):
        plain = has_plain_choices(distribution)
        return None if plain else "choices that are not single values, or equal in Python"
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if not -LARGEST <= low <= high <= LARGEST:
        return "numbers that are too large"
    if 0 < high - low < NARROWEST * max(abs(low), abs(high)):
        return "a range that is too narrow for floats"
    return None


def complete_params(
    parameters: Sequence[Parameter], point: Params, fixed: Params
) -> dict[str, Any]:
    """A trial's parameters in order: `fixed` values first, else the point's, else the only value."""
    given = {**point, **fixed}
    params: dict[str, Any] = {}
    for parameter in parameters:
        if not parameter.when or parameter.applies(params):
            name = parameter.name
            params[name] = given[name] if name in given else _only_value(parameter.distribution)
    return params


class ContinuousAxis:
    """Numbers of a range, from half a step below the lowest to half a step above the highest."""

    n_choices = None
    integers: IntegerRange | None = None

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        self._low, self._high = distribution.low, distribution.high
        self._step = distribution.step or 0.0
        self._type = int if isinstance(distribution, IntDistribution) else float
        self._scaled: Callable[[float], float] = math.log if distribution.log else float
        self._unscaled: Callable[[float], float] = math.exp if distribution.log else float
        self._start = self._scaled(self._low - self._step / 2)
        self._length = self._scaled(self._high + self._step / 2) - self._start

    def __contains__(self, value: float) -> bool:
        return self._low <= value <= self._high

    def to_unit(self, value: float, within: float = 0.5) -> float:
        moved = value + (within - 0.5) * self._step
        return (self._scaled(moved) - self._start) / self._length

    def from_unit(self, unit: float) -> float:
        found = self._unscaled(self._start + unit * self._length)
        if self._step:
            found = self._low + round((found - self._low) / self._step) * self._step
        return self._type(min(max(found, self._low), self._high))

    # The coordinates are the unit scale.
    coordinate, value_at = to_unit, from_unit

    def interpolate(self, start: float, end: float, fraction: float) -> float:
        first, last = self._scaled(start), self._scaled(end)
        return self.from_unit((first + fraction * (last - first) - self._start) / self._length)


class SteppedAxis(ContinuousAxis):
    """Numbers with few steps. A coordinate is the value itself with `log`, else its number of steps."""

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        super().__init__(distribution)
        self._first = 0 if distribution.log else self._low
        low, high = map(self.coordinate, (self._low, self._high))
        self.integers = IntegerRange(low=low, high=high, log=distribution.log)

    def coordinate(self, value: float, within: float = 0.5) -> int:  # noqa: ARG002
        return round((value - self._first) / self._step)

    def value_at(self, coordinate: float) -> float:
        return self._type(min(self._first + round(coordinate) * self._step, self._high))


@dataclass(frozen=True, kw_only=True)
class CategoricalAxis:
    """Choices without an order."""

    choices: Sequence[Any]
    integers: IntegerRange | None = None

    @property
    def n_choices(self) -> int:
        return len(self.choices)

    def __contains__(self, value: Any) -> bool:
        return value in self.choices

    def coordinate(self, value: Any, within: float) -> int:  # noqa: ARG002
        return self.choices.index(value)

    def value_at(self, coordinate: float) -> Any:
        return self.choices[int(coordinate)]

    def to_unit(self, value: Any) -> float:
        return (self.choices.index(value) + 0.5) / len(self.choices)

    def from_unit(self, unit: float) -> Any:
        return self.choices[int(unit * len(self.choices))]

    def interpolate(self, start: Any, end: Any, fraction: float) -> Any:  # noqa: ARG002
        return end


def _only_value(distribution: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low
