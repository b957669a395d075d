"""How good trials are, and the best of them, updated trial by trial.

One objective puts trials in an order. Several are compared by Pareto fronts.
"""

import math
import struct
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Rank(NamedTuple):
    """How good a finished trial is: less `violation` is better, then lower losses, then an older trial."""

    violation: float
    losses: tuple[float, ...]
    number: int


class Best(Protocol):
    """At least the `n` best of the trials added; all while there are fewer."""

    def add(self, rank: Rank) -> Sequence[int]:
        """Add a trial. Returns the numbers of those that are no longer among the best, perhaps its own."""


def rank_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> Rank:
    """The rank of a finished trial."""
    return Rank(violation_of(trial, directions), losses_of(trial, directions), trial.number)


def best_of(n: int, n_objectives: int) -> Best:
    """An empty collection of the `n` best trials; up to twice as many with several objectives."""
    return BestOfOne(n) if n_objectives == 1 else BestOfSeveral(n)


def losses_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> tuple[float, ...]:
    """A trial's values, turned so that lower is better; infinite if it has none."""
    if trial.values is None or trial.state != TrialState.COMPLETE:
        return (math.inf,) * len(directions)
    return tuple(
        -value if direction == StudyDirection.MAXIMIZE else value
        for value, direction in zip(trial.values, directions, strict=True)
    )


def violation_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> float:
    """By how much a finished trial violates its constraints, 0 if by nothing.

    A pruned trial that violates none has a tiny violation instead, which puts it between complete and
    infeasible trials. As in Optuna's TPE, a later last step is better, then a better value there.
    """
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0 or trial.state != TrialState.PRUNED:
        return float(violation)
    return _SCALE * (1 + _order_of_pruned(trial, directions))


class BestOfOne:
    """The `n` best by one objective."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._ranks: list[Rank] = []

    def add(self, rank: Rank) -> Sequence[int]:
        """Add a trial; see `Best.add`."""
        insort(self._ranks, rank)
        return [self._ranks.pop().number] if len(self._ranks) > self._n else []


class BestOfSeveral:
    """The trials of the first Pareto fronts, up to twice `n`; the least crowded of a front too large.

    Non-dominated sorting and crowding distance are those of NSGA-II (Deb et al., "A fast and elitist
    multiobjective genetic algorithm", 2002, section III).
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._ranks: list[Rank] = []

    def add(self, rank: Rank) -> Sequence[int]:
        """Add a trial; see `Best.add`."""
        self._ranks.append(rank)
        if len(self._ranks) <= 2 * self._n:
            return []
        kept = set(_best_indices(self._ranks, self._n))
        removed = [each.number for index, each in enumerate(self._ranks) if index not in kept]
        self._ranks = [each for index, each in enumerate(self._ranks) if index in kept]
        return removed


def _best_indices(ranks: Sequence[Rank], n: int) -> list[int]:
    violations = np.array([rank.violation for rank in ranks])
    # Huge, not infinite: the distance between two infinite losses would not be a number.
    losses = np.nan_to_num(np.array([rank.losses for rank in ranks]))
    less = violations[:, None] < violations
    equal = violations[:, None] == violations
    lower = (losses[:, None] <= losses).all(axis=2) & (losses[:, None] < losses).any(axis=2)
    dominates = less | (equal & lower)
    chosen: list[int] = []
    left = np.arange(len(ranks))
    while len(chosen) < n:
        front = left[~dominates[np.ix_(left, left)].any(axis=0)]
        if len(chosen) + len(front) > n:
            least_crowded = np.argsort(-_crowding_distances(losses[front]), kind="stable")
            front = front[least_crowded[: n - len(chosen)]]
        chosen.extend(front.tolist())
        left = np.setdiff1d(left, front)
    return chosen


def _crowding_distances(losses: np.ndarray) -> np.ndarray:
    """How far each trial of a front (n, objectives) is from its neighbours, (n,); infinite at the ends."""
    distances = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        with np.errstate(over="ignore"):
            span = column[order[-1]] - column[order[0]]
            gaps = column[order[2:]] - column[order[:-2]]
        distances[order[[0, -1]]] = np.inf
        if 0 < span < np.inf:
            distances[order[1:-1]] += gaps / span
    return distances


# The order of pruned trials is a whole number below 2 ** 52, scaled to be less than any real violation.
_SCALE = 1e-300
_MAX_STEP = 2**20 - 1
_VALUE_BITS = 32


def _order_of_pruned(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> int:
    if not trial.intermediate_values:
        return (_MAX_STEP + 2) << _VALUE_BITS
    step, value = max(trial.intermediate_values.items())
    if math.isnan(value):
        value = math.inf
    elif directions[0] == StudyDirection.MAXIMIZE:
        value = -value
    return ((_MAX_STEP - min(step, _MAX_STEP)) << _VALUE_BITS) + _order_of_float(value)


def _order_of_float(value: float) -> int:
    """A whole number of 32 bits, in the order of the values to six digits."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    ordered = bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63
    return int(ordered) >> (64 - _VALUE_BITS)
