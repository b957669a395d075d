"""What benchmarks find: lines of the table, curves of the picture, shares of a request."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Missing(Exception):
    """Something cannot be measured; the message says why."""


class Verdict(StrEnum):
    GOAL = "goal"
    FLOOR = "floor"
    SHORT = "short of the goal"  # there is no floor
    BELOW = "BELOW THE FLOOR"
    UNBOUNDED = ""
    MISSING = "not measured"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: the measured value, its floor and its goal.

    `value` is None if it could not be measured; `detail` then says why.
    """

    name: str
    work: str
    value: float | None
    unit: str = ""
    floor: float | None = None
    goal: float | None = None
    at_least: bool = False  # the value has to reach the bounds, not stay below them
    detail: str

    @property
    def verdict(self) -> Verdict:
        if self.value is None:
            return Verdict.MISSING
        if self.floor is None and self.goal is None:
            return Verdict.UNBOUNDED
        if self._reaches(self.goal):
            return Verdict.GOAL
        if self.floor is None:
            return Verdict.SHORT
        return Verdict.FLOOR if self._reaches(self.floor) else Verdict.BELOW

    def _reaches(self, bound: float | None) -> bool:
        if bound is None or self.value is None:
            return True
        return self.value >= bound if self.at_least else self.value <= bound


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Milliseconds against the trials in the study."""

    name: str
    points: Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of the server's work: its milliseconds of processor time in an ask, and in a pair."""

    part: str
    ask: float
    pair: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """The results of one benchmark, or of a whole run."""

    lines: tuple[Line, ...] = ()
    curves: tuple[Curve, ...] = ()
    shares: tuple[Share, ...] = ()

    @staticmethod
    def joined(parts: Iterable["Found"]) -> "Found":
        parts = tuple(parts)
        return Found(
            lines=tuple(line for part in parts for line in part.lines),
            curves=tuple(curve for part in parts for curve in part.curves),
            shares=tuple(share for part in parts for share in part.shares),
        )

    def as_json(self) -> dict[str, Any]:
        lines = [asdict(line) | {"verdict": line.verdict} for line in self.lines]
        return asdict(self) | {"lines": lines}


def figure(value: float) -> str:
    """Format with three digits and thousands separators: 0.412, 3.07, 1,254."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Iterable[float]) -> str:
    """Return the least and the greatest of some rounds as text."""
    values = sorted(values)
    return f"rounds from {figure(values[0])} to {figure(values[-1])}"
