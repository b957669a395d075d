"""Points that count as equal for `skip_if_exists`, by Optuna's rule.

Numbers are equal within a hundred-thousandth of the number there is. A value is equal only to one of its type
or of a base of it, so 1.0 is not equal to 1, and NaN is equal to NaN.
"""

import math
from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any, Generic, TypeVar

_TOLERANCE = 1e-5
# Numbers of one stretch are compared one by one. Two equal ones lie in one stretch or in neighbours.
_STRETCH = 100 * _TOLERANCE

T = TypeVar("T")
Params = Mapping[str, Any]


class KnownPoints(Generic[T]):
    """Points, and what belongs to each."""

    def __init__(self) -> None:
        self._count = 0
        self._by_key: dict[Hashable, list[tuple[int, Params, T]]] = {}

    def add(self, params: Params, found: T) -> None:
        """Add a point."""
        key = frozenset((name, _stretches(value)[0]) for name, value in params.items())
        self._by_key.setdefault(key, []).append((self._count, params, found))
        self._count += 1

    def find(self, params: Params) -> T | None:
        """What belongs to the first point that a new one is equal to; None if there is none."""
        names = list(params)
        near = [set(_stretches(value)) for value in params.values()]
        equal = (
            each
            for stretches in product(*near)
            for each in self._by_key.get(frozenset(zip(names, stretches, strict=True)), ())
            if all(_is_equal(params[name], value) for name, value in each[1].items())
        )
        first = min(equal, key=lambda each: each[0], default=None)
        return None if first is None else first[2]


def _stretches(value: Any) -> tuple[Hashable, ...]:
    """The stretch of a number, and those that begin or end close to it; the value if it is no number."""
    if not isinstance(value, int | float):
        return (value if isinstance(value, Hashable) else repr(value),)
    number = _float(value)
    if number == 0 or not math.isfinite(number):
        return (str(abs(number)) if number == 0 else str(number),)
    # Shifted, so that round numbers do not lie where one stretch ends and the next begins.
    place = math.log(abs(number)) / _STRETCH + 0.318
    return tuple((number > 0, math.floor(place + shift)) for shift in (0, -0.02, 0.02))


def _is_equal(new: Any, known: Any) -> bool:
    if not isinstance(new, type(known)):
        return False
    if not isinstance(new, int | float):
        return bool(new == known)
    one, other = _float(new), _float(known)
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or (
        math.isfinite(one) and math.isfinite(other) and abs(one - other) <= _TOLERANCE * abs(other)
    )


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond the largest float
        return math.inf if value > 0 else -math.inf
