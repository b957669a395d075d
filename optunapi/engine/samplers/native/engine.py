"""Which engine draws the points of a study: rustuna, or Optuna's own sampler."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, Protocol

from optuna.trial import FrozenTrial

from optunapi.engine.samplers.native.axes import Params, unfit
from optunapi.engine.samplers.problem import Problem
from optunapi.engine.space import Parameter

Engine = Literal["rustuna", "optuna"]

# Arguments of Optuna's TPE for which rustuna has the default only.
_FIXED_ARGUMENTS: Mapping[str, Any] = {
    "n_ei_candidates": 24,
    "prior_weight": 1.0,
    "consider_magic_clip": True,
    "consider_endpoints": False,
}


class NativeSampler(Protocol):
    """Draws the points of one study and is notified of each change of its trials. Safe for threads."""

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account. Takes microseconds, also while a point is drawn."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """Draw the parameters of trial `number`, with those `fixed` as they are.

        The trial counts as running from then on, until `replace` says otherwise. `attempt` counts the
        points that were drawn for this trial before and rejected. With a configured seed the point
        follows from number, attempt and history. The same number and attempt drawn again stand for
        another trial, asked for at the same time, and give another point.
        """

    def forget(self, number: int) -> None:
        """No trial is made of the point drawn for `number`; without effect if there is such a trial."""

    def prepare(self, number: int) -> None:
        """Draw for trial `number` in advance, so that `sample` returns the same point sooner.

        The point is thrown away if the history changes before it is used.
        """


def native_sampler(problem: Problem) -> NativeSampler | None:
    """A sampler that knows of no trial yet; None if Optuna has to draw."""
    if engine_of(problem) == "optuna":
        return None
    # These modules need rustuna, which may be missing.
    from optunapi.engine.samplers.native.random_search import RandomSearch
    from optunapi.engine.samplers.native.tpe import TPE

    return RandomSearch(problem) if problem.sampler["name"] == "random" else TPE(problem)


def engine_of(problem: Problem) -> Engine:
    """The engine that draws the points of a study."""
    return "optuna" if obstacle(problem.sampler, problem.parameters) else "rustuna"


def obstacle(sampler: Params, parameters: Sequence[Parameter] | None) -> str | None:
    """Why rustuna cannot draw, or None if it can. `parameters` is None if they are not known."""
    name = sampler["name"]
    if name not in ("tpe", "random"):
        return f"it has no {name}"
    if sampler.get("engine") == "optuna":
        return "`engine` is optuna"
    if not _has_rustuna():
        return "it is not installed here"
    if parameters is not None and not parameters:
        return "no parameters are configured: each trial names its own"
    for parameter in parameters or ():
        if reason := unfit(parameter.distribution):
            return f"{parameter.name} has {reason}"
    if name == "random":
        return None
    for parameter in parameters or ():
        if parameter.when:
            return f"{parameter.name} has `when`"
    for argument, value in _FIXED_ARGUMENTS.items():
        if sampler.get(argument, value) != value:
            return f"it has no `{argument}`"
    return None


@cache
def _has_rustuna() -> bool:
    # Some platforms have no wheels, and some wheels cannot be loaded.
    try:
        import rustuna  # noqa: F401
    except ImportError:
        return False
    return True
