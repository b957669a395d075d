"""A specification with the sampler made from it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Self

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optunapi.engine.samplers.make import make_sampler
from optunapi.engine.spec.read import StudySpec


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A specification with the sampler made from it; replaced as a whole."""

    spec: StudySpec
    sampler: BaseSampler

    @classmethod
    def of(cls, spec: StudySpec, n_trials: int) -> Self:
        """A seeded sampler that goes on in a study with trials must not repeat its first draws."""
        return cls(spec=spec, sampler=make_sampler(spec.problem, seed_shift=n_trials))

    def distributions(self, names: Collection[str]) -> Mapping[str, BaseDistribution]:
        """Those of the parameters with these names; where they are all, always the same object."""
        if len(names) == len(self._distributions):
            return self._distributions
        return {p.name: p.distribution for p in self.spec.parameters if p.name in names}

    @cached_property
    def _distributions(self) -> Mapping[str, BaseDistribution]:
        return MappingProxyType({p.name: p.distribution for p in self.spec.parameters})
