"""A parameter as one axis that TPE draws on: its values as coordinates, and back.

Numbers lie on a line from 0 to 1, on which a logarithm is laid out evenly: no range is too wide for the
arithmetic of a density there. A number with a few steps is one of as many whole numbers instead, where
TPE tells a value that was tried from its neighbours. One with many takes up a stretch of the line for
each step: densities of steps take longer, and few steps come twice.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.space import Parameter, count_values

MAX_STEPS = 128


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Whole numbers from `low` to `high`, laid out evenly, or evenly by their logarithms."""

    low: int
    high: int
    log: bool


class Axis(Protocol):
    """Where one parameter's values lie."""

    @property
    def n_choices(self) -> int | None:
        """How many places there are that have no order, counted from 0; None of numbers."""

    @property
    def steps(self) -> Steps | None:
        """The places, where they are whole numbers; None of choices and on a line from 0 to 1."""

    def place(self, value: Any, share: float) -> float | None:
        """The coordinate of a value, `share` (0 to 1) along its stretch; None if it is out of range."""

    def value(self, coordinate: float) -> Any:
        """The value at a coordinate."""

    def between(self, start: Any, end: Any, share: float) -> Any:
        """The value `share` (0 to 1) of the way from one to another; `end` where there is no way."""

    def draw(self, share: float) -> Any:
        """The value that random search draws with the random number `share`, at least 0 and below 1."""

    def share(self, value: Any) -> float:
        """In the middle of the numbers with which `draw` gives this value."""


def axis_of(distribution: BaseDistribution) -> Axis:
    """The axis of a parameter that has more than one value."""
    if isinstance(distribution, CategoricalDistribution):
        return Choices(choices=distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    n_values = count_values(distribution)
    return Line(distribution) if n_values is None or n_values > MAX_STEPS else Ladder(distribution)


class Line:
    """The numbers of a range, from half a step below the lowest to half a step above the highest."""

    n_choices = None
    steps: Steps | None = None

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        self._low, self._high = distribution.low, distribution.high
        self._step, self._log = distribution.step, distribution.log
        self._whole = isinstance(distribution, IntDistribution)
        half = 0.0 if self._step is None else self._step / 2
        self._start = self._laid_out(self._low - half)
        self._length = self._laid_out(self._high + half) - self._start

    def place(self, value: Any, share: float) -> float | None:
        """Where the value lies; see `Axis.place`."""
        if not self._low <= value <= self._high:
            return None
        if self._step is not None:
            value += (share - 0.5) * self._step
        return (self._laid_out(value) - self._start) / self._length

    def value(self, coordinate: float) -> float:
        """The value there; see `Axis.value`."""
        return self._at(coordinate)

    def between(self, start: Any, end: Any, share: float) -> float:
        """The value on the way; see `Axis.between`."""
        first, last = self._laid_out(start), self._laid_out(end)
        return self._at((first + share * (last - first) - self._start) / self._length)

    def draw(self, share: float) -> float:
        """The value drawn; see `Axis.draw`."""
        return self._at(share)

    def share(self, value: Any) -> float:
        """Where from 0 to 1 it lies; see `Axis.share`."""
        return (self._laid_out(value) - self._start) / self._length

    def _at(self, coordinate: float) -> float:
        found = self._start + coordinate * self._length
        if self._log:
            found = math.exp(found)
        if self._step is not None:
            found = self._low + round((found - self._low) / self._step) * self._step
        found = min(max(found, self._low), self._high)
        return int(found) if self._whole else float(found)

    def _laid_out(self, value: float) -> float:
        return math.log(value) if self._log else value


class Ladder(Line):
    """The numbers of a range with steps: as they are where it has a logarithm, else counted from 0."""

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        super().__init__(distribution)
        self._first = 0 if self._log else self._low
        self._width = self._step or 1
        low, high = (round((end - self._first) / self._width) for end in (self._low, self._high))
        self.steps = Steps(low=low, high=high, log=self._log)

    def place(self, value: Any, share: float) -> float | None:  # noqa: ARG002
        """The value's number; see `Axis.place`."""
        if not self._low <= value <= self._high:
            return None
        number: int = round((value - self._first) / self._width)
        return number

    def value(self, coordinate: float) -> float:
        """The value of that number; see `Axis.value`."""
        found = min(self._first + round(coordinate) * self._width, self._high)
        return int(found) if self._whole else float(found)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices without an order."""

    choices: Sequence[Any]
    steps: Steps | None = None

    @property
    def n_choices(self) -> int:
        """How many there are."""
        return len(self.choices)

    def place(self, value: Any, share: float) -> float | None:  # noqa: ARG002
        """The choice's number; see `Axis.place`."""
        try:
            return self.choices.index(value)
        except ValueError:
            return None

    def value(self, coordinate: float) -> Any:
        """The choice of that number; see `Axis.value`."""
        return self.choices[int(coordinate)]

    def between(self, start: Any, end: Any, share: float) -> Any:  # noqa: ARG002
        """The choice at the end; see `Axis.between`."""
        return end

    def draw(self, share: float) -> Any:
        """Any choice; see `Axis.draw`."""
        return self.choices[int(share * len(self.choices))]

    def share(self, value: Any) -> float:
        """In the middle of the choice's stretch; see `Axis.share`."""
        return (self.choices.index(value) + 0.5) / len(self.choices)


Params = Mapping[str, Any]


def _axes_of(parameters: Sequence[Parameter]) -> dict[str, Axis]:
    """An axis for each parameter that has more than one value."""
    return {p.name: axis_of(p.distribution) for p in parameters if not p.distribution.single()}


def _completed(parameters: Sequence[Parameter], point: Params, fixed: Params) -> dict[str, Any]:
    """The parameters of a trial in their order, those `fixed` as they are."""

    def value(parameter: Parameter) -> Any:
        name = parameter.name
        if name in fixed:
            return fixed[name]
        return point[name] if name in point else _only_value(parameter)

    params: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(params):
            params[parameter.name] = value(parameter)
    return params


def _only_value(parameter: Parameter) -> Any:
    distribution: Any = parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low
