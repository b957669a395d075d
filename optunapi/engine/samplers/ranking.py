"""The best trials of a study, kept up one by one: in order with one objective, as fronts with several."""

import math
import struct
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Entry(NamedTuple):
    """A finished trial: those with less `violation` come first, among equals those with lower losses."""

    violation: float
    losses: tuple[float, ...]
    number: int


class Best(Protocol):
    """At least the `n` best of the trials it was given; fewer only where there were fewer."""

    def add(self, entry: Entry) -> Sequence[int]:
        """Take a trial in; the numbers of those that are not among the best now, perhaps its own."""


def best_of(n: int, n_objectives: int) -> Best:
    """The `n` best trials, with several objectives up to twice as many; none was given yet."""
    return BestOfOne(n) if n_objectives == 1 else BestOfSeveral(n)


class BestOfOne:
    """The `n` best by one objective."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> Sequence[int]:
        """Take a trial in; see `Best.add`."""
        insort(self._entries, entry)
        return [self._entries.pop().number] if len(self._entries) > self._n else []


class BestOfSeveral:
    """The trials of the first fronts, up to twice `n`; of a front too large, those with most room.

    As in NSGA-II (Deb et al. 2002): fronts by non-domination, room by crowding distance.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> Sequence[int]:
        """Take a trial in; see `Best.add`."""
        self._entries.append(entry)
        if len(self._entries) <= 2 * self._n:
            return []
        kept = set(_first(self._entries, self._n))
        gone = [each.number for place, each in enumerate(self._entries) if place not in kept]
        self._entries = [each for place, each in enumerate(self._entries) if place in kept]
        return gone


def _first(entries: Sequence[Entry], n: int) -> list[int]:
    """The places of the `n` best entries."""
    violations = np.array([entry.violation for entry in entries])
    # Huge, not infinite: a distance between two that are infinite would not be a number.
    losses = np.nan_to_num(np.array([entry.losses for entry in entries]))
    better = violations[:, None] < violations
    alike = violations[:, None] == violations
    dominates = (losses[:, None] <= losses).all(axis=2) & (losses[:, None] < losses).any(axis=2)
    before = better | (alike & dominates)
    chosen: list[int] = []
    left = np.arange(len(entries))
    while len(chosen) < n:
        front = left[~before[np.ix_(left, left)].any(axis=0)]
        if len(chosen) + len(front) > n:
            roomiest = np.argsort(-_room(losses[front]), kind="stable")
            front = front[roomiest[: n - len(chosen)]]
        chosen.extend(front.tolist())
        left = np.setdiff1d(left, front)
    return chosen


def _room(losses: np.ndarray) -> np.ndarray:
    """How far each of a front's trials is from its neighbours; those at the ends infinitely."""
    room = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        with np.errstate(over="ignore"):
            span = column[order[-1]] - column[order[0]]
            gaps = column[order[2:]] - column[order[:-2]]
        room[order[[0, -1]]] = np.inf
        if 0 < span < np.inf:
            room[order[1:-1]] += gaps / span
    return room


# A pruned trial's place is a whole number below 2 ** 52, scaled to be less than any violation.
_SCALE = 1e-300


_MAX_STEP = 2**20 - 1


_VALUE_BITS = 32


def losses_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> tuple[float, ...]:
    """A trial's values, each so that less is better; infinite without."""
    if trial.values is None or trial.state != TrialState.COMPLETE:
        return (math.inf,) * len(directions)
    return tuple(
        -value if direction == StudyDirection.MAXIMIZE else value
        for value, direction in zip(trial.values, directions, strict=True)
    )


def violation_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> float:
    """By how much a finished trial violates constraints; next to nothing if it was pruned, 0 if neither."""
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0 or trial.state != TrialState.PRUNED:
        return float(violation)
    return _SCALE * (1 + _pruned_place(trial, directions))


def _pruned_place(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> int:
    if not trial.intermediate_values:
        return (_MAX_STEP + 2) << _VALUE_BITS
    step, value = max(trial.intermediate_values.items())
    if math.isnan(value):
        value = math.inf
    elif directions[0] == StudyDirection.MAXIMIZE:
        value = -value
    return ((_MAX_STEP - min(step, _MAX_STEP)) << _VALUE_BITS) + _ordinal(value)


def _ordinal(value: float) -> int:
    """A whole number of 32 bits that is ordered as the values are, to six digits."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    ordered = bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63
    return int(ordered) >> (64 - _VALUE_BITS)
