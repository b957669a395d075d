"""Where trials lie in the space: which points are taken, and whether and which ones are left."""

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
from optunapi.engine.space import (
    Parameter,
    fitted,
    sample_conditional,
    values_of,
)
from optunapi.engine.spec.read import StudySpec

Point = tuple[tuple[str, float], ...]

EXHAUSTIVE = ("grid", "brute-force")
RANDOM_TRIES = 100
MAX_VALUES = 1_000_000  # a float with more steps than this counts as endless


def point_of(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> Point:
    """A trial's place, comparable also where 1 and True are two choices."""
    return tuple(sorted((name, _place(distributions[name], v)) for name, v in params.items()))


def _place(distribution: BaseDistribution, value: Any) -> float:
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        return _on_step(value, distribution.low, distribution.step)
    return distribution.to_internal_repr(value)


@lru_cache(maxsize=2**16)
def _on_step(value: float, low: float, step: float) -> float:
    """A stepped value in decimals: samplers add up in binary, where 0.1 three times is not 0.3."""
    stride = Fraction(str(step))
    return float(Fraction(str(low)) + round((value - low) / stride) * stride)


class Points:
    """The points of one study's space that its trials take, kept up trial by trial.

    A point is taken while a trial there is open and, where `avoid_duplicates` is `all` or the sampler
    goes through the whole space, for good once one was evaluated. A space with an unstepped float has
    no end; of any other `size` says how many points it has.
    """

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec
        self.avoid = spec.avoid_duplicates != "off" or spec.sampler["name"] in EXHAUSTIVE
        self._for_good = spec.avoid_duplicates == "all" or spec.sampler["name"] in EXHAUSTIVE
        self._values = _values(spec)
        # A grid may be given that leaves out values which its parameters could have.
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
                self._n_taken_of_space -= self._in_space(before.params)
        if self._takes(after):
            point = point_of(after.params, after.distributions)
            self._taken[point] += 1
            if self._taken[point] == 1:
                self._n_taken_of_space += self._in_space(after.params)

    def copy(self) -> Self:
        """The points as they are now, to go on from."""
        found = copy.copy(self)
        found._taken = self._taken.copy()
        return found

    def clashes(self, sample: FrozenTrial) -> bool:
        """Whether a new sample lies where it should not."""
        return point_of(sample.params, sample.distributions) in self._taken

    @property
    def left(self) -> bool:
        """Whether any point of the space is not taken."""
        return self.size is None or self._n_taken_of_space < self.size

    @property
    def exhausted(self) -> bool:
        """Whether every point was evaluated or is being, and none may be again."""
        return self._for_good and not self.left

    def untaken(self, rng: random.Random) -> dict[str, Any] | None:
        """A point that is not taken, at random; None if there is none.

        Random tries find one unless almost all are taken; then the whole space is gone through.
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

    def _in_space(self, params: Mapping[str, Any]) -> int:
        """1 if these are the parameters of a point of the space, 0 if not; not told where it has no end."""
        if self.size is None:
            return 0
        expected = {p.name: p for p in self.spec.parameters if p.applies(params)}
        if expected.keys() != params.keys():
            return 0
        for name, parameter in expected.items():
            distribution, value = parameter.distribution, params[name]
            if fitted(distribution, value) is None:
                return 0
            if isinstance(distribution, FloatDistribution):
                value = _place(distribution, value)
            if self._grid and value not in self._grid[name]:
                return 0
        return 1

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
    """Each parameter's values, None where there is no end of them."""
    if spec.sampler["name"] == "grid":
        grid = grid_of(spec.sampler.get("search_space"), spec.parameters)
        return {p.name: grid[p.name] for p in spec.parameters}
    return {p.name: _values_of(p.distribution) for p in spec.parameters}


def _values_of(distribution: BaseDistribution) -> Sequence[Scalar] | None:
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    return values_of(distribution, MAX_VALUES)


def _size(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> int:
    """How many points there are, without going through them.

    Of a parameter that later ones' conditions name, only the values they name are told apart.
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
