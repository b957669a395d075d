"""A trial drawn by a sampler that keeps the history itself: nothing of a study is read for it."""

from dataclasses import dataclass, field
from typing import Any, cast

from optuna.trial import FrozenTrial

from optunapi.engine.samplers.make import NativeSampler
from optunapi.engine.trials.draft import FIXED, Relative
from optunapi.engine.trials.policy import Policy


@dataclass(kw_only=True)
class Drawn:
    """A trial as a native sampler drew it; see `draft.Drafted`."""

    trial: FrozenTrial
    is_fixed: bool
    study_attrs: dict[str, Any] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Nothing: it leaves no notes."""
        return {}

    def relative(self) -> Relative | None:
        """Nothing: it draws what is configured, and all of that is used."""
        return None


def drawn(native: NativeSampler, policy: Policy, trial: FrozenTrial, attempt: int) -> Drawn:
    """The trial with parameters; each `attempt` gives others."""
    fixed = {**trial.system_attrs.get(FIXED, {}), **trial.params}
    trial.params = native.sample(trial.number, fixed, attempt)
    trial.distributions = cast(dict[str, Any], policy.distributions(trial.params))
    return Drawn(trial=trial, is_fixed=bool(fixed))
