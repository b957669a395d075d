"""The values of many trials at one step or rung, in order, for ranks and percentiles."""

import math

from sortedcontainers import SortedList  # type: ignore[import-untyped]


class SortedValues:
    """Numbers in order. NaN is counted but has no place among them.

    Values are put in order when they are next looked at, so that a long history is added quickly.
    """

    __slots__ = ("_n_nan", "_new", "_ordered")

    def __init__(self) -> None:
        self._ordered = SortedList()
        self._new: list[float] = []
        self._n_nan = 0

    def __len__(self) -> int:
        """The number of values added, NaN included."""
        return len(self._ordered) + len(self._new) + self._n_nan

    def add(self, value: float) -> None:
        """Add a value."""
        if math.isnan(value):
            self._n_nan += 1
        else:
            self._new.append(value)

    def n_below(self, value: float) -> int:
        """The number of values less than `value`."""
        return int(self._in_order().bisect_left(value))

    def n_above(self, value: float) -> int:
        """The number of values greater than `value`."""
        ordered = self._in_order()
        return len(ordered) - int(ordered.bisect_right(value))

    def percentile(self, percentile: float) -> float:
        """Exactly what `numpy.nanpercentile` returns for the values; NaN if there is none.

        The 7th method of Hyndman and Fan, "Sample quantiles in statistical packages" (1996), interpolated
        from the nearer of the two neighbours.
        """
        ordered = self._in_order()
        if not ordered:
            return math.nan
        place = (len(ordered) - 1) * (percentile / 100)
        index = math.floor(place)
        weight = place - index
        below: float = ordered[index]
        above: float = ordered[min(index + 1, len(ordered) - 1)]
        # Between two infinite neighbours the gap is NaN, and so is the result, as in NumPy.
        gap = above - below
        return below + gap * weight if weight < 0.5 else above - gap * (1 - weight)

    def _in_order(self) -> SortedList:
        if self._new:
            self._ordered.update(self._new)
            self._new.clear()
        return self._ordered
