"""Which points of the space are taken by trials, and which ones are left."""

import copy
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Self

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.documents.document import Scalar
from optunapi.engine.lifecycle import NOT_EVALUATED
from optunapi.engine.records import TrialRecord
from optunapi.engine.samplers.grid import grid_of
from optunapi.engine.space import Values, fitted, sample_conditional
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.explored import EXHAUSTIVE
from optunapi.engine.state.space_points import count_points, points

Point = tuple[tuple[str, float], ...]

RANDOM_TRIES = 100


def point_of(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> Point:
    """Where a trial lies: equal for equal parameters, also where 1 and True are two choices."""
    coordinates = []
    for name, value in params.items():
        distribution = distributions[name]
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            coordinate = _on_step(value, distribution.low, distribution.step)
        else:
            coordinate = distribution.to_internal_repr(value)
        coordinates.append((name, coordinate))
    return tuple(sorted(coordinates))


@lru_cache(maxsize=2**16)
def _on_step(value: float, low: float, step: float) -> float:
    """A stepped value in decimals: samplers add in binary, where three times 0.1 is not 0.3.

    A value between two steps, which a queued trial may have, stays as it is.
    """
    count = (value - low) / step
    if not math.isfinite(count) or abs(count - round(count)) > 1e-6 * max(1.0, abs(count)):
        return value
    return float(Fraction(str(low)) + round(count) * Fraction(str(step)))


class Points:
    """The points that the trials of one study take, updated trial by trial.

    A point is taken while a trial there is open. Where `avoid_duplicates` is `all`, or the sampler goes
    through the whole space, it stays taken once a trial was evaluated there; `size` is then the number
    of points in the space, None if there are more than can be tried. `avoid` is False where duplicates
    are allowed: then nothing is counted.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.avoid = spec.avoid_duplicates != "off" or spec.sampler["name"] in EXHAUSTIVE
        self._for_good = spec.avoid_duplicates == "all" or spec.sampler["name"] in EXHAUSTIVE
        self._values = _values(spec)
        self._grid = {
            name: frozenset(values.given)
            for name, values in self._values.items()
            if values.given is not None
        }
        self._taken: Counter[Point] = Counter()
        self._n_taken_of_space = 0
        # It matters only where points stay taken.
        self.size = count_points(spec.parameters, self._values) if self._for_good else None

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if not self.avoid:
            return
        if before is not None and self._takes(before):
            point = point_of(before.params, before.distributions)
            self._taken[point] -= 1
            if not self._taken[point]:
                del self._taken[point]
                self._n_taken_of_space -= self._is_of_space(before.params)
        if self._takes(after):
            point = point_of(after.params, after.distributions)
            self._taken[point] += 1
            if self._taken[point] == 1:
                self._n_taken_of_space += self._is_of_space(after.params)

    def copy(self) -> Self:
        """A copy that can be changed on its own."""
        found = copy.copy(self)
        found._taken = self._taken.copy()
        return found

    def __contains__(self, point: Point | None) -> bool:
        return point in self._taken

    @property
    def exhausted(self) -> bool:
        """Whether every point is taken and none may be evaluated twice."""
        return self.size is not None and self._n_taken_of_space >= self.size

    def untaken(self, rng: random.Random) -> dict[str, Any] | None:
        """The parameters of a random point that is not taken; None if there is none.

        Random tries find one unless almost all points are taken. Then one is among the first points, one
        more than are taken, in any order.
        """
        for _ in range(RANDOM_TRIES):
            params = sample_conditional(
                self.spec.parameters, lambda name, _: self._values[name].draw(rng)
            )
            if self._point(params) not in self._taken:
                return params
        for params in points(self.spec.parameters, self._values, rng):
            if self._point(params) not in self._taken:
                return params
        return None

    def _takes(self, trial: FrozenTrial) -> bool:
        if not trial.params:
            return False
        if not trial.state.is_finished():
            return True
        return self._for_good and TrialRecord.of(trial).fail_reason not in NOT_EVALUATED

    def _is_of_space(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial's parameters are a whole point of the space. Always False if it is infinite."""
        if self.size is None:
            return False
        expected = {p.name: p for p in self.spec.parameters if p.applies(params)}
        if expected.keys() != params.keys():
            return False
        for name, parameter in expected.items():
            distribution, value = parameter.distribution, params[name]
            if fitted(distribution, value) is None:
                return False
            if isinstance(distribution, FloatDistribution) and distribution.step is not None:
                value = _on_step(value, distribution.low, distribution.step)
            if self._grid and value not in self._grid[name]:
                return False
        return True

    def _point(self, params: Mapping[str, Any]) -> Point:
        return point_of(params, {p.name: p.distribution for p in self.spec.parameters})


def _values(spec: StudySpec) -> dict[str, Values]:
    """Each parameter's values. A configured grid may leave out some."""
    grid: Mapping[str, Sequence[Scalar]] = {}
    if spec.sampler["name"] == "grid":
        grid = grid_of(spec.sampler.get("search_space"), spec.parameters)
    return {
        p.name: Values(distribution=p.distribution, given=grid.get(p.name)) for p in spec.parameters
    }
