"""A specification together with Optuna's sampler for it: what the next ask samples by."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Self

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from optunapi.engine.samplers.make import make_sampler
from optunapi.engine.spec.model import StudySpec


@dataclass(kw_only=True)
class Policy:
    """A specification with Optuna's sampler for it; replaced as a whole.

    Only a sampler that has raised is replaced alone: it may be left in a state between two trials.
    """

    spec: StudySpec
    sampler: BaseSampler

    @classmethod
    def of(cls, spec: StudySpec, n_trials: int) -> Self:
        """The policy of a study with `n_trials`; a seeded sampler must not repeat its first draws there."""
        return cls(spec=spec, sampler=make_sampler(spec.problem, seed_shift=n_trials))

    def remake_sampler(self, n_trials: int) -> None:
        """Put a new sampler in the place of one that has raised."""
        self.sampler = make_sampler(self.spec.problem, seed_shift=n_trials)

    def distributions(self, names: Collection[str]) -> Mapping[str, BaseDistribution]:
        """The distributions of these parameters; for all parameters always the same object."""
        if len(names) == len(self._distributions):
            return self._distributions
        return {p.name: p.distribution for p in self.spec.parameters if p.name in names}

    @cached_property
    def _distributions(self) -> Mapping[str, BaseDistribution]:
        return MappingProxyType({p.name: p.distribution for p in self.spec.parameters})
