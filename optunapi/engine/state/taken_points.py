"""Which points of the space are taken by trials, and which ones are left."""

import copy
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Self

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.documents.document import Scalar
from optunapi.engine.lifecycle import NOT_EVALUATED
from optunapi.engine.records import TrialRecord
from optunapi.engine.samplers.grid import grid_of
from optunapi.engine.space import Parameter, fitted, sample_conditional, values_of
from optunapi.engine.spec.model import StudySpec

Point = tuple[tuple[str, float], ...]

EXHAUSTIVE = ("grid", "brute-force")
RANDOM_TRIES = 100
MAX_VALUES = 1_000_000  # a float with more steps than this counts as infinite


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
    """A stepped value in decimals: samplers add in binary, where three times 0.1 is not 0.3."""
    stride = Fraction(str(step))
    return float(Fraction(str(low)) + round((value - low) / stride) * stride)


class Points:
    """The points that the trials of one study take, updated trial by trial.

    A point is taken while a trial there is open. Where `avoid_duplicates` is `all`, or the sampler goes
    through the whole space, it stays taken once a trial was evaluated there. `size` is the number of
    points in the space, None where a float without a step makes it infinite. `avoid` is False where
    duplicates are allowed: then nothing is counted.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.avoid = spec.avoid_duplicates != "off" or spec.sampler["name"] in EXHAUSTIVE
        self._for_good = spec.avoid_duplicates == "all" or spec.sampler["name"] in EXHAUSTIVE
        self._values = _values(spec)
        # A configured grid may leave out values that its parameters could have.
        given = self._values.items() if spec.sampler["name"] == "grid" else ()
        self._grid = {name: frozenset(values or ()) for name, values in given}
        self._taken: Counter[Point] = Counter()
        self._n_taken_of_space = 0
        self.size = None if None in self._values.values() else _size(spec.parameters, self._values)

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
    def left(self) -> bool:
        """Whether any point of the space is not taken."""
        return self.size is None or self._n_taken_of_space < self.size

    @property
    def exhausted(self) -> bool:
        """Whether every point is taken and none may be evaluated twice."""
        return self._for_good and not self.left

    def untaken(self, rng: random.Random) -> dict[str, Any] | None:
        """The parameters of a random point that is not taken; None if there is none.

        Random tries find one unless almost all points are taken; then the whole space is searched.
        """
        for _ in range(RANDOM_TRIES):
            params = sample_conditional(
                self.spec.parameters, lambda name, d: self._draw(name, d, rng)
            )
            if self._point(params) not in self._taken:
                return params
        if self.size is None:
            return None
        found = None
        for count, params in enumerate(self._untaken(), start=1):
            if rng.randrange(count) == 0:
                found = params
        return found

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

    def _untaken(self) -> Iterator[dict[str, Any]]:
        for params in _all_points(self.spec.parameters, self._values):
            if self._point(params) not in self._taken:
                yield params

    def _draw(self, name: str, distribution: BaseDistribution, rng: random.Random) -> Any:
        values = self._values[name]
        if values is not None:
            return rng.choice(values)
        assert isinstance(distribution, FloatDistribution)
        return rng.uniform(distribution.low, distribution.high)


def _values(spec: StudySpec) -> dict[str, Sequence[Scalar] | None]:
    """Each parameter's values, None where there are infinitely many."""
    if spec.sampler["name"] == "grid":
        grid = grid_of(spec.sampler.get("search_space"), spec.parameters)
        return {p.name: grid[p.name] for p in spec.parameters}
    return {p.name: _values_of(p.distribution) for p in spec.parameters}


def _values_of(distribution: BaseDistribution) -> Sequence[Scalar] | None:
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    return values_of(distribution, MAX_VALUES)


def _size(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> int:
    """The number of points, without going through them.

    Values of a parameter are counted one by one only where a later parameter's condition names them.
    """

    def count(index: int, chosen: Mapping[str, Any]) -> int:
        if index == len(parameters):
            return 1
        parameter = parameters[index]
        if not parameter.applies(chosen):
            return count(index + 1, chosen)
        mine = values[parameter.name]
        named = {
            value
            for later in parameters[index + 1 :]
            for value in (later.when or {}).get(parameter.name, ())
            if value in mine
        }
        told_apart = sum(count(index + 1, {**chosen, parameter.name: value}) for value in named)
        return told_apart + (len(mine) - len(named)) * count(index + 1, chosen)

    return count(0, {})


def _all_points(
    parameters: Sequence[Parameter], values: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Every point of the space."""

    def extend(index: int, chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if index == len(parameters):
            yield chosen
            return
        parameter = parameters[index]
        if not parameter.applies(chosen):
            yield from extend(index + 1, chosen)
            return
        for value in values[parameter.name]:
            yield from extend(index + 1, {**chosen, parameter.name: value})

    yield from extend(0, {})
