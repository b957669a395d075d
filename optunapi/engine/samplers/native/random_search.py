"""Random search."""

from typing import Any

from optuna.trial import FrozenTrial
from rustuna.distributions import FloatDistribution
from rustuna.samplers import RandomSampler, SamplerContext
from rustuna.storages import InMemoryStorage

from optunapi.engine.samplers.native.axes import Params, axes_of, complete_params
from optunapi.engine.samplers.native.seeds import Seeds
from optunapi.engine.samplers.problem import Problem

# What rustuna's sampler asks for, although it looks at no trial.
_STORAGE = InMemoryStorage()
_CONTEXT = SamplerContext(study_id=0, trial_number=0, trial_id=0, directions=[])
_UNIT_INTERVAL = FloatDistribution(0.0, 1.0)


class RandomSearch:
    """Draws each parameter independently, as Optuna's random sampler does."""

    def __init__(self, problem: Problem) -> None:
        self._parameters = problem.parameters
        self._axes = axes_of(problem.parameters)
        self._seeds = Seeds(problem.sampler.get("seed"))

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Do nothing: random search has no memory."""

    def prepare(self, number: int) -> None:
        """Do nothing: a point takes microseconds."""

    def forget(self, number: int) -> None:
        """Do nothing: random search has no memory."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of a trial; see `NativeSampler.sample`."""
        return self.draw(self._seeds.take(number, attempt), fixed)

    def draw(self, seed: int, fixed: Params) -> dict[str, Any]:
        """The parameters that follow from a seed, with those `fixed` as they are."""
        draw = RandomSampler(seed=seed).sample_independent
        point = {
            name: axis.from_unit(draw(_CONTEXT, _STORAGE, "", _UNIT_INTERVAL))
            for name, axis in self._axes.items()
        }
        return complete_params(self._parameters, point, fixed)
