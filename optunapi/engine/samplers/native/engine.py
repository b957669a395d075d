"""Which engine draws for a study."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, Protocol

from optuna.trial import FrozenTrial

from optunapi.engine.samplers.native.axes import Params
from optunapi.engine.samplers.problem import Problem
from optunapi.engine.space import Parameter

Engine = Literal["rustuna", "optuna"]


# What rustuna does as Optuna does by default, and cannot do otherwise.
_AS_BY_DEFAULT: Mapping[str, Any] = {
    "n_ei_candidates": 24,
    "prior_weight": 1.0,
    "consider_magic_clip": True,
    "consider_endpoints": False,
}


class NativeSampler(Protocol):
    """Draws the points of one study, and is told of each of its trials. Safe for threads."""

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account, in microseconds, also while a point is drawn."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of trial `number`, those `fixed` as they are.

        The trial counts as running from then on, until `replace` says what became of it. With a seed,
        the point follows from number, attempt and history. `attempt` counts the points
        drawn before for this trial that would not do. A number drawn again with the same attempt is
        another trial's, asked for at the same time, and gives another point.
        """

    def prepare(self, number: int) -> None:
        """Draw for trial `number` ahead. `sample` gives the same point as without, only sooner; where
        anything came between, this was in vain.
        """


def native_sampler(problem: Problem) -> NativeSampler | None:
    """A sampler that knows of no trial yet; None if Optuna's own has to draw."""
    if engine_of(problem) == "optuna":
        return None
    # Only here: these modules need rustuna, which may be missing.
    from optunapi.engine.samplers.native.random_search import RandomSearch
    from optunapi.engine.samplers.native.tpe import TPE

    return RandomSearch(problem) if problem.sampler["name"] == "random" else TPE(problem)


def engine_of(problem: Problem) -> Engine:
    """What draws the points of a study."""
    return "optuna" if obstacle(problem.sampler, problem.parameters) else "rustuna"


def obstacle(sampler: Params, parameters: Sequence[Parameter] | None) -> str | None:
    """Why it has to be Optuna's own sampler, or None; parameters that are not known are no reason."""
    name = sampler["name"]
    if name not in ("tpe", "random"):
        return f"it has no {name}"
    if sampler.get("engine") == "optuna":
        return "`engine` is optuna"
    if not _has_rustuna():
        return "it is not installed here"
    if parameters is not None and not parameters:
        return "no parameters are configured: each trial names its own"
    if name == "random":
        return None
    for parameter in parameters or ():
        if parameter.when:
            return f"{parameter.name} has `when`"
    for argument, value in _AS_BY_DEFAULT.items():
        if sampler.get(argument, value) != value:
            return f"it has no `{argument}`"
    return None


@cache
def _has_rustuna() -> bool:
    # There are no wheels of it for some platforms, and others that cannot be loaded.
    try:
        import rustuna  # noqa: F401
    except ImportError:
        return False
    return True
