"""Uniform draws for every distribution that a study can have: what a trial gets if its sampler fails."""

import random
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optunapi.engine.documents.document import quoted
from optunapi.engine.space import Values, allowed


class UniformSampler(BaseSampler):
    """Draws each parameter by itself. Unlike Optuna's RandomSampler it can do ranges of any width."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value of the distribution.

        Raises:
            ValueError: it has values that cannot be stored; the message names the parameter.
        """
        try:
            value = Values(distribution=param_distribution).draw(self._rng)
            param_distribution.to_internal_repr(value)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(
                f"{quoted(param_name)}, {allowed(param_distribution)}: {error}"
            ) from None
        return value
