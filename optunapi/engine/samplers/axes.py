"""A parameter as one axis that TPE draws on: its values as coordinates, and back.

Numbers lie on a line from 0 to 1, on which a logarithm is laid out evenly: no range is too wide for the
arithmetic of a density there. A number with steps takes up a stretch of the line around it, so that
steps need no density of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


class Axis(Protocol):
    """Where one parameter's values lie."""

    @property
    def n_choices(self) -> int | None:
        """How many places there are, counted from 0; None on a line from 0 to 1."""

    def place(self, value: Any, share: float) -> float | None:
        """The coordinate of a value, `share` (0 to 1) along its stretch; None if it is out of range."""

    def value(self, coordinate: float) -> Any:
        """The value at a coordinate."""

    def draw(self, share: float) -> Any:
        """The value that random search draws with the random number `share`, at least 0 and below 1."""


def axis_of(distribution: BaseDistribution) -> Axis:
    """The axis of a parameter that has more than one value."""
    if isinstance(distribution, CategoricalDistribution):
        return Choices(choices=distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return Line(distribution)


class Line:
    """The numbers of a range, from half a step below the lowest to half a step above the highest."""

    n_choices = None

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
        found = self._start + coordinate * self._length
        if self._log:
            found = math.exp(found)
        if self._step is not None:
            found = self._low + round((found - self._low) / self._step) * self._step
        found = min(max(found, self._low), self._high)
        return int(found) if self._whole else float(found)

    def draw(self, share: float) -> float:
        """The value drawn; see `Axis.draw`."""
        return self.value(share)

    def _laid_out(self, value: float) -> float:
        return math.log(value) if self._log else value


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices without an order."""

    choices: Sequence[Any]

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

    def draw(self, share: float) -> Any:
        """Any choice; see `Axis.draw`."""
        return self.choices[int(share * len(self.choices))]
