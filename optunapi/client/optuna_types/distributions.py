"""Optuna's distributions, checked as Optuna checks them, and as the wire writes them."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from optunapi.client.optuna_types.scalars import unwrapped

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class FloatDistribution:
    """A number from `low` to `high`, both among them, in steps of `step` if that is given.

    A `high` that the steps do not reach becomes the last one they do, with a warning, as in Optuna.

    Raises:
        ValueError: bounds, `log` and `step` do not go together.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    type: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.step)
        if self.log and self.step is not None:
            raise ValueError("`step` and `log` cannot be used together")
        if self.log and self.low <= 0:
            raise ValueError(f"`log=True` needs `low > 0`, not {self.low}")
        high = self.high
        if self.step is not None:
            # In decimals, as they are written: in binary, 0.1 does not divide 1.
            low, step = Decimal(str(float(self.low))), Decimal(str(float(self.step)))
            width = Decimal(str(float(high))) - low
            if width % step:
                high = _shortened(self.low, high, self.step, float(low + width // step * step))
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(high))
        object.__setattr__(self, "log", bool(self.log))
        object.__setattr__(self, "step", None if self.step is None else float(self.step))

    def value_of(self, value: Any) -> float:
        """A value of the wire as the parameter's."""
        return float(value)

    def to_wire(self) -> dict[str, Any]:
        """As requests have it."""
        return {
            "type": "float",
            "low": self.low,
            "high": self.high,
            "log": self.log,
            "step": self.step,
        }

    def is_kind_of(self, other: object) -> bool:
        """Whether one parameter may have both."""
        return isinstance(other, FloatDistribution) and self.log == other.log


@dataclass(frozen=True)
class IntDistribution:
    """A whole number from `low` to `high`, both among them, in steps of `step`.

    A `high` that the steps do not reach becomes the last one they do, with a warning, as in Optuna.

    Raises:
        ValueError: bounds, `log` and `step` do not go together.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    type: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.step)
        if self.log and self.step != 1:
            raise ValueError("`step` and `log` cannot be used together")
        if self.log and self.low < 1:
            raise ValueError(f"`log=True` needs `low >= 1`, not {self.low}")
        low, high, step = int(self.low), int(self.high), int(self.step)
        if (high - low) % step:
            high = _shortened(low, high, step, low + (high - low) // step * step)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "log", bool(self.log))
        object.__setattr__(self, "step", step)

    def value_of(self, value: Any) -> int:
        """A value of the wire as the parameter's."""
        return int(value)

    def to_wire(self) -> dict[str, Any]:
        """As requests have it."""
        return {
            "type": "int",
            "low": self.low,
            "high": self.high,
            "log": self.log,
            "step": self.step,
        }

    def is_kind_of(self, other: object) -> bool:
        """Whether one parameter may have both."""
        return isinstance(other, IntDistribution) and self.log == other.log


@dataclass(frozen=True)
class CategoricalDistribution:
    """One of `choices`: texts, numbers, booleans, None.

    Raises:
        ValueError: there is no choice.
        TypeError: one is something else, which Optuna's in-memory storage alone could keep.
    """

    choices: tuple[Any, ...]
    type: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise ValueError("`choices` must have at least one element")
        for choice in map(unwrapped, self.choices):
            if choice is not None and not isinstance(choice, Scalar):
                raise TypeError(
                    f"the choice {choice!r} is a {type(choice).__name__}, which cannot be sent: "
                    "choose by a name, and look up what it stands for"
                )
            if isinstance(choice, float) and not math.isfinite(choice):
                raise ValueError(f"the choice {choice} cannot be sent: choose by a name")

    def value_of(self, value: Any) -> Any:
        """The very object among the choices that a value of the wire stands for."""
        for choice in self.choices:
            if unwrapped(choice) == value and _is_bool(choice) == isinstance(value, bool):
                return choice
        return value

    def to_wire(self) -> dict[str, Any]:
        """As requests have it."""
        return {"type": "categorical", "choices": [unwrapped(choice) for choice in self.choices]}

    def is_kind_of(self, other: object) -> bool:
        """Whether one parameter may have both."""
        return isinstance(other, CategoricalDistribution) and self.choices == other.choices


Distribution = FloatDistribution | IntDistribution | CategoricalDistribution


def from_wire(document: Mapping[str, Any]) -> Distribution:
    """The distribution of a reply."""
    if document["type"] == "categorical":
        return CategoricalDistribution(tuple(document["choices"]))
    low, high, log = document["low"], document["high"], document.get("log") or False
    if document["type"] == "int":
        return IntDistribution(low, high, log, document.get("step") or 1)
    return FloatDistribution(low, high, log, document.get("step"))


def categorical(choices: Sequence[Any]) -> CategoricalDistribution:
    """The distribution of any sequence of choices."""
    return CategoricalDistribution(tuple(choices))


def _is_bool(choice: Any) -> bool:
    return isinstance(unwrapped(choice), bool)


def _check_range(low: float, high: float, step: float | None) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"`low` and `high` must be finite, not {low} and {high}")
    if low > high:
        raise ValueError(f"`low <= high` must hold, but {low} > {high}")
    if step is not None and not step > 0:
        raise ValueError(f"`step > 0` must hold, but it is {step}")


def _shortened(low: float, high: float, step: float, reached: float) -> Any:
    warnings.warn(
        f"from {low}, steps of {step} do not reach {high}: the range ends at {reached}",
        stacklevel=2,
    )
    return reached
