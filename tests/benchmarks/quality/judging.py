"""Two sides' regrets compared, seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ALLOWED = 0.05
RESAMPLES = 10_000

Curves = Sequence[Sequence[float]]  # for each seed the regret after each trial


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The comparison on one problem with some number of workers; regrets in units of random search's.

    `difference` is the median over the seeds of our regret minus theirs. `low` and `high` are its 90 %
    interval, by the percentile bootstrap over the seeds.
    """

    problem: str
    workers: int
    ours: float
    theirs: float
    difference: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether even the upper end of the interval is within the allowed difference."""
        return self.high <= ALLOWED

    @property
    def holds(self) -> bool:
        """Whether ours is better, or worse by no more than the allowed difference."""
        return self.within or self.difference <= 0


def judge(problem: str, workers: int, ours: Curves, theirs: Curves, unit: float) -> Verdict:
    """Compare the regrets at the end; `unit` is the median of random search's."""
    mine, other = (np.array([curve[-1] for curve in side]) / unit for side in (ours, theirs))
    difference = mine - other
    source = np.random.default_rng(0)
    resampled = source.integers(0, len(difference), (RESAMPLES, len(difference)))
    low, high = np.quantile(np.median(difference[resampled], axis=1), [0.05, 0.95])
    return Verdict(
        problem=problem,
        workers=workers,
        ours=float(np.median(mine)),
        theirs=float(np.median(other)),
        difference=float(np.median(difference)),
        low=float(low),
        high=float(high),
    )


def median(values: Sequence[float]) -> float:
    """The value in the middle."""
    return float(np.median(values))


def summary(curves: Curves, unit: float) -> list[dict[str, Any]]:
    """Median and quartiles of the regret, twenty times along the way."""
    regrets = np.array(curves) / unit
    length = regrets.shape[1]
    found = []
    for trials in sorted({max(1, length * part // 20) for part in range(1, 21)}):
        low, middle, high = np.quantile(regrets[:, trials - 1], [0.25, 0.5, 0.75]).round(5)
        found.append({"trials": trials, "median": middle, "quartiles": [low, high]})
    return found
