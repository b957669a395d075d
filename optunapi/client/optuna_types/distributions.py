"""Optuna's distributions, with Optuna's checks, and their form on the wire."""

import math
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from optunapi.client.optuna_types.scalars import unwrapped
from optunapi.steps import high_to_write, last_step

Scalar = str | int | float | bool | None


class _Range:
    """What the distributions of floats and of integers share."""

    type: ClassVar[str]
    low: float
    high: float
    log: bool
    step: float | None

    def to_wire(self) -> dict[str, Any]:
        """The distribution in a request."""
        return {"type": self.type, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def as_sent(cls, **fields: Any) -> Self:
        """The distribution of a reply, whose `high` is a step already."""
        found = cls.__new__(cls)
        found._set(**fields)
        return found

    def is_kind_of(self, other: Any) -> bool:
        """Whether both may be distributions of one parameter."""
        return type(self) is type(other) and self.log == other.log

    def contains(self, value: Any) -> bool:
        """Whether a value is between the bounds, and on a step if there are steps."""
        return self.low <= value <= self.high and self._is_on_step(value - self.low)

    def includes(self, other: Any) -> bool:
        """Whether it contains every value of another distribution of its kind."""
        return (
            self.contains(other.low)
            and self.contains(other.high)
            and (self.step is None or other.low == other.high or self._is_on_step(other.step))
        )

    def _is_on_step(self, length: float | None) -> bool:
        if self.step is None:
            return True
        if length is None:
            return False
        if isinstance(length, int) and isinstance(self.step, int):
            return length % self.step == 0
        # Optuna's tolerance, and what rounding may add for large bounds.
        most = 1e-8 + 4 * sys.float_info.epsilon * max(abs(self.low), abs(self.high)) / self.step
        return abs(length / self.step - round(length / self.step)) <= most

    def _check(self, low: float, high: float, step: float | None) -> None:
        try:
            finite = math.isfinite(low) and math.isfinite(high)
        except OverflowError:  # an integer beyond the largest float
            finite = False
        if not finite:
            raise ValueError(f"`low` and `high` must be finite, not {low} and {high}")
        if low > high:
            raise ValueError(f"`low <= high` must hold, but {low} > {high}")
        if step is not None and not step > 0:
            raise ValueError(f"`step > 0` must hold, but it is {step}")

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class FloatDistribution(_Range):
    """A float from `low` to `high`, both included, in steps of `step` if that is given.

    If the steps do not reach `high`, it becomes the last value they reach, with a warning, as in Optuna.

    Raises:
        ValueError: the bounds, `log` and `step` do not fit together.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    type: ClassVar[str] = "float"

    def __post_init__(self) -> None:
        self._check(self.low, self.high, self.step)
        if self.log and self.step is not None:
            raise ValueError("`step` and `log` cannot be used together")
        if self.log and self.low <= 0:
            raise ValueError(f"`log=True` needs `low > 0`, not {self.low}")
        high = float(self.high)
        if self.step is not None:
            reached = last_step(self.low, self.high, self.step)
            if reached != high:
                _warn_shortened(self.low, self.high, self.step, reached)
                high = reached
        step_size = None if self.step is None else float(self.step)
        self._set(low=float(self.low), high=high, log=bool(self.log), step=step_size)

    def to_wire(self) -> dict[str, Any]:
        """The distribution in a request, which the server reads as this one."""
        return {**super().to_wire(), "high": high_to_write(self.low, self.high, self.step)}

    def value_of(self, value: Any) -> float:
        """The parameter's value for a value on the wire."""
        return float(value)


@dataclass(frozen=True)
class IntDistribution(_Range):
    """An integer from `low` to `high`, both included, in steps of `step`.

    If the steps do not reach `high`, it becomes the last value they reach, with a warning, as in Optuna.

    Raises:
        ValueError: the bounds, `log` and `step` do not fit together.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    type: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        self._check(self.low, self.high, self.step)
        if self.log and self.step != 1:
            raise ValueError("`step` and `log` cannot be used together")
        if self.log and self.low < 1:
            raise ValueError(f"`log=True` needs `low >= 1`, not {self.low}")
        low, high, step = int(self.low), int(self.high), int(self.step)
        reached = low + (high - low) // step * step
        if reached != high:
            _warn_shortened(low, high, step, reached)
        self._set(low=low, high=reached, log=bool(self.log), step=step)

    def value_of(self, value: Any) -> int:
        """The parameter's value for a value on the wire."""
        return int(value)


@dataclass(frozen=True)
class CategoricalDistribution:
    """One of `choices`: strings, numbers, booleans or None.

    Raises:
        ValueError: there is no choice.
        TypeError: a choice is something else, which Optuna keeps in memory but cannot store either.
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
                    "choose by a name, and look up the object with that name"
                )
            if isinstance(choice, float) and not math.isfinite(choice):
                raise ValueError(f"the choice {choice} cannot be sent: choose by a name")

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the choices."""
        return any(unwrapped(choice) == unwrapped(value) for choice in self.choices)

    def includes(self, _other: Any) -> bool:
        """Whether it contains every value of another distribution of its kind: it has the same choices."""
        return True

    def value_of(self, value: Any) -> Any:
        """The caller's own object among the choices, for a value on the wire."""
        for choice in self.choices:
            if unwrapped(choice) == value and _is_bool(choice) == isinstance(value, bool):
                return choice
        return value

    def to_wire(self) -> dict[str, Any]:
        """The distribution in a request."""
        return {"type": "categorical", "choices": [unwrapped(choice) for choice in self.choices]}

    def is_kind_of(self, other: object) -> bool:
        """Whether both may be distributions of one parameter."""
        return isinstance(other, CategoricalDistribution) and self.choices == other.choices


Distribution = FloatDistribution | IntDistribution | CategoricalDistribution


def from_wire(document: Mapping[str, Any]) -> Distribution:
    """Return the distribution in a reply."""
    if document["type"] == "categorical":
        return CategoricalDistribution(tuple(document["choices"]))
    low, high, log = document["low"], document["high"], document.get("log") or False
    if document["type"] == "int":
        return IntDistribution(low, high, log, document.get("step") or 1)
    step = document.get("step")
    return FloatDistribution.as_sent(
        low=float(low), high=float(high), log=log, step=None if step is None else float(step)
    )


def _is_bool(choice: Any) -> bool:
    return isinstance(unwrapped(choice), bool)


def _warn_shortened(low: float, high: float, step: float, reached: float) -> None:
    warnings.warn(
        f"steps of {step} from {low} do not reach {high}: the range ends at {reached}", stacklevel=2
    )
