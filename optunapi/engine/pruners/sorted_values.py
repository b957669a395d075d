"""Numbers of many trials in order, of which one is asked for its rank or percentile."""

import math
from bisect import bisect_left, bisect_right, insort


class SortedValues:
    """The values some trials have reached at one step or rung; NaN is counted but has no place.

    Adding is cheap, also for a whole history: what was added is put in its place when next looked at.
    """

    __slots__ = ("_n_nan", "_new", "_ordered")

    def __init__(self) -> None:
        self._ordered: list[float] = []
        self._new: list[float] = []
        self._n_nan = 0

    def add(self, value: float) -> None:
        """Take one more value in."""
        if math.isnan(value):
            self._n_nan += 1
        else:
            self._new.append(value)

    def __len__(self) -> int:
        """How many were added, NaN among them."""
        return len(self._ordered) + len(self._new) + self._n_nan

    def n_below(self, value: float) -> int:
        """How many are less than `value`."""
        return bisect_left(self._settled(), value)

    def n_above(self, value: float) -> int:
        """How many are greater than `value`."""
        ordered = self._settled()
        return len(ordered) - bisect_right(ordered, value)

    def percentile(self, percentile: float) -> float:
        """What `numpy.nanpercentile` gives for them, exactly; NaN if there is none.

        The 7th method of Hyndman and Fan (1996), interpolated from the nearer of the two neighbours.
        """
        ordered = self._settled()
        if not ordered:
            return math.nan
        place = (len(ordered) - 1) * (percentile / 100)
        index = math.floor(place)
        weight = place - index
        below, above = ordered[index], ordered[min(index + 1, len(ordered) - 1)]
        # Two neighbours at infinity have no difference, so NaN comes of them, as in NumPy.
        gap = above - below
        return below + gap * weight if weight < 0.5 else above - gap * (1 - weight)

    def _settled(self) -> list[float]:
        if len(self._new) > len(self._ordered) // 8:
            self._ordered += self._new
            self._ordered.sort()
        else:
            for value in self._new:
                insort(self._ordered, value)
        self._new.clear()
        return self._ordered
