"""Random search."""

from typing import Any

from optuna.trial import FrozenTrial
from rustuna.distributions import FloatDistribution
from rustuna.samplers import RandomSampler, SamplerContext
from rustuna.storages import InMemoryStorage

from optunapi.engine.samplers.native.axes import Params, _axes_of, _completed
from optunapi.engine.samplers.native.seeds import Seeds
from optunapi.engine.samplers.problem import Problem


class RandomSearch:
    """Every parameter drawn by itself, as Optuna's random sampler does."""

    def __init__(self, problem: Problem) -> None:
        self._parameters = problem.parameters
        self._axes = _axes_of(problem.parameters)
        self._seeds = Seeds(problem.sampler.get("seed"))
        self._shares = _Shares()

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Do nothing: random search has no memory."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of a trial; see `NativeSampler.sample`."""
        return self.drawn(self._seeds.of(number, attempt), fixed)

    def drawn(self, seed: int, fixed: Params) -> dict[str, Any]:
        """A point that follows from the seed."""
        shares = self._shares.of(seed, len(self._axes))
        point = {
            name: axis.draw(share)
            for (name, axis), share in zip(self._axes.items(), shares, strict=True)
        }
        return _completed(self._parameters, point, fixed)

    def prepare(self, number: int) -> None:
        """Do nothing: a point takes microseconds."""


class _Shares:
    """Numbers from 0 to 1 that follow from a seed."""

    def __init__(self) -> None:

        self._sampler = RandomSampler
        self._unit = FloatDistribution(0.0, 1.0)
        self._storage = InMemoryStorage()
        self._context = SamplerContext(study_id=0, trial_number=0, trial_id=0, directions=[])

    def of(self, seed: int, count: int) -> list[float]:
        draw = self._sampler(seed=seed).sample_independent
        return [draw(self._context, self._storage, "", self._unit) for _ in range(count)]
