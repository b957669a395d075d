"""Samplers from a configuration: read, checked, and made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna import samplers

from optunapi.engine.documents.components import (
    MAX_SEED,
    Component,
    refuse_raised,
    without_warnings,
)
from optunapi.engine.documents.document import Node
from optunapi.engine.documents.numbers import with_numbers
from optunapi.engine.samplers.checks import suits
from optunapi.engine.samplers.grid import grid_of
from optunapi.engine.samplers.problem import Problem
from optunapi.engine.samplers.registry import CROSSOVERS, MUTATIONS, NOT_OPTUNAS, SAMPLERS
from optunapi.engine.space import Parameter, fitted_node


def read_sampler(
    node: Node, *, parameters: Sequence[Parameter] | None, n_objectives: int | None
) -> dict[str, Any] | None:
    """The sampler's `name` and arguments; None if the document has errors, which are noted.

    Parameters and objectives are None if they are not known. The sampler is not checked against them then.
    """
    found = Component(kinds=SAMPLERS, what="sampler").read(node)
    if found is not None and found["name"] == "grid":
        found |= _with_numbers(node, found, parameters or ())
    if found is None or not suits(node, found, parameters, n_objectives):
        return None
    # GP's constructor refuses nothing, and takes seconds to load PyTorch.
    if parameters is not None and found["name"] != "gp":
        try:
            with without_warnings():
                _make(found, parameters, n_objectives or 1, 0)
        except (TypeError, ValueError) as error:
            refuse_raised(node, found, error)
            return None
    return found


def _with_numbers(
    node: Node, found: Mapping[str, Any], parameters: Sequence[Parameter]
) -> dict[str, Any]:
    """A grid's `search_space` with numbers where YAML reads texts that spell them."""
    known = {parameter.name: parameter.distribution for parameter in parameters}
    grid = {}
    for name in found.get("search_space", {}):
        values = node["search_space"][name]
        if name in known:
            fits = [(item, fitted_node(known[name], item)) for item in values.items()]
            grid[name] = [item.data if fit is None else fit[0] for item, fit in fits]
        else:
            grid[name] = with_numbers(values)
    return {"search_space": grid} if grid else {}


def make_sampler(problem: Problem, *, seed_shift: int = 0) -> samplers.BaseSampler:
    """Optuna's sampler for a study.

    A configured seed is shifted by `seed_shift`, so that a study loaded with trials does not repeat
    their draws. The seeds of `grid` and `qmc` are not, since they fix the order of one sequence that
    goes on after a restart.
    """
    with without_warnings():
        return _make(problem.sampler, problem.parameters, problem.n_objectives, seed_shift)


def _make(
    found: Mapping[str, Any], parameters: Sequence[Parameter], n_objectives: int, seed_shift: int
) -> samplers.BaseSampler:
    name = found["name"]
    arguments = {key: value for key, value in found.items() if key not in NOT_OPTUNAS | {"name"}}
    seed = arguments.get("seed")
    shifted = {} if seed is None else {"seed": (seed + seed_shift) % (MAX_SEED + 1)}
    if name in ("cmaes", "gp", "qmc"):
        # They log a warning for every conditional parameter, which their independent sampler draws.
        arguments.setdefault("warn_independent_sampling", False)
        independent = arguments.get("independent_sampler") or {"name": "random", "seed": seed}
        arguments["independent_sampler"] = _make(independent, (), n_objectives, seed_shift)
    match name:
        case "grid":
            return samplers.GridSampler(grid_of(arguments.get("search_space"), parameters), seed)
        case "qmc":
            return samplers.QMCSampler(**{"warn_asynchronous_seeding": False} | arguments)
        case "tpe":
            if arguments.get("group") and n_objectives > 1:
                arguments.setdefault("multivariate", True)
        case "nsga2" | "nsga3":
            for part, kinds in (("crossover", CROSSOVERS), ("mutation", MUTATIONS)):
                if part in arguments:
                    options = dict(arguments[part])
                    arguments[part] = kinds[options.pop("name")].made(**options)
    build: Callable[..., samplers.BaseSampler] = SAMPLERS[name].made
    return build(**arguments | shifted)
