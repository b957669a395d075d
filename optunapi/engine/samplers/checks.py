"""Whether a sampler can be used with a search space and its objectives."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution

from optunapi.engine.documents.document import Node, nearest, quoted
from optunapi.engine.samplers.grid import MAX_POINTS, grid_of, points_in
from optunapi.engine.samplers.native.engine import obstacle
from optunapi.engine.space import Parameter, allowed, count_values, fitted

MAX_REFERENCE_POINTS = 10_000
# Optuna's search for the best point makes an array of all values of a discrete parameter.
MAX_GP_VALUES = 1_000_000


def suits(
    node: Node,
    found: Mapping[str, Any],
    parameters: Sequence[Parameter] | None,
    n_objectives: int | None,
) -> bool:
    """Whether the sampler `found` at `node` can be used; notes each reason why not.

    Parameters and objectives are None if they are not known. They are not looked at then.
    """
    before = len(node.document.errors)
    if found["name"] == "gp" and importlib.util.find_spec("torch") is None:
        node.refuse("gp needs PyTorch, which is not installed here: pip install 'optunapi[gp]'")
    if found.get("engine") == "rustuna" and (reason := obstacle(found, parameters)):
        node["engine"].refuse(f"rustuna cannot do this study: {reason}")
    if n_objectives is not None:
        _check_objectives(node, found, n_objectives)
    if parameters is not None and found["name"] in _SPACE_CHECKS:
        _SPACE_CHECKS[found["name"]](node, found, parameters)
    return len(node.document.errors) == before


def _check_objectives(node: Node, found: Mapping[str, Any], n_objectives: int) -> None:
    if found["name"] == "cmaes" and n_objectives > 1:
        node.refuse(
            f"cmaes cannot do {n_objectives} objectives. Use tpe, gp, nsga2 or nsga3, for example"
        )
    if found["name"] != "nsga3":
        return
    for index, numbers in enumerate(found.get("reference_points", ())):
        row = node["reference_points"][index]
        if len(numbers) != n_objectives:
            row.refuse(
                f"{len(numbers)} numbers for {n_objectives} objectives: one for each is needed"
            )
        if not any(numbers):
            row.refuse("a reference point is a direction: it cannot be all zero")
    parts = found.get("dividing_parameter", 3)
    parts_looked_at = min(parts, MAX_REFERENCE_POINTS)
    points = math.comb(n_objectives + parts_looked_at - 1, parts_looked_at)
    if points > MAX_REFERENCE_POINTS:
        place = node["dividing_parameter"] if "dividing_parameter" in found else node
        place.refuse(
            f"nsga3 would make more than {MAX_REFERENCE_POINTS} reference points of "
            f"{n_objectives} objectives and `dividing_parameter` {parts}"
        )


def _check_cmaes(node: Node, found: Mapping[str, Any], parameters: Sequence[Parameter]) -> None:
    numerical = [
        parameter
        for parameter in parameters
        if not isinstance(parameter.distribution, CategoricalDistribution)
        and not parameter.distribution.single()
    ]
    if parameters and not numerical:
        node.refuse("cmaes samples numbers, and no parameter is a number: use tpe, for example")
    if found.get("use_separable_cma") and len(numerical) == 1:
        node["use_separable_cma"].refuse("it needs more than one numerical parameter")
    if "x0" not in found:
        return
    place = node["x0"]
    ranges = {parameter.name: parameter.distribution for parameter in numerical}
    for name, entry in place.entries().items():
        if name not in ranges:
            entry.refuse(f"there is no numerical parameter {quoted(name)}{nearest(name, ranges)}")
        elif fitted(ranges[name], found["x0"][name]) is None:
            entry.refuse(f"{entry.shown()} is not {allowed(ranges[name])}")
    if missing := [name for name in ranges if name not in found["x0"]]:
        place.refuse(
            f"there is no value for {', '.join(missing)}: every numerical parameter needs one"
        )


def _check_grid(node: Node, found: Mapping[str, Any], parameters: Sequence[Parameter]) -> None:
    given = found.get("search_space", {})
    entries = node["search_space"].entries() if given else {}
    known = {parameter.name: parameter.distribution for parameter in parameters}
    if not known and not given:
        node.refuse("grid needs parameters, or their values as `search_space`")
    for parameter in parameters:
        if parameter.when:
            node.refuse(
                f"grid cannot do {quoted(parameter.name)}, which has `when`: use brute-force, "
                "which tries every point of a conditional space once"
            )
        if parameter.name not in given:
            _check_finite(node, "grid", parameter)
    for name, entry in entries.items():
        if known and name not in known:
            entry.refuse(f"there is no parameter {quoted(name)}{nearest(name, known)}")
            continue
        seen: list[Any] = []
        for item, given_value in zip(entry.items(), given[name], strict=True):
            value = fitted(known[name], given_value) if known else (given_value,)
            if value is None:
                item.refuse(f"{item.shown()} is not {allowed(known[name])}")
            elif value in seen:
                item.refuse(f"{item.shown()} is repeated")
            seen.append(value)
    if (points := points_in(grid_of(given, parameters))) > MAX_POINTS:
        node.refuse(f"the grid has {points} points; at most {MAX_POINTS} are allowed")


def _check_gp(node: Node, found: Mapping[str, Any], parameters: Sequence[Parameter]) -> None:
    for parameter in parameters:
        if (count_values(parameter.distribution) or 0) > MAX_GP_VALUES:
            node.refuse(
                f"{found['name']} cannot do {quoted(parameter.name)}: it has more than "
                f"{MAX_GP_VALUES} values. Make it a float without `step`, or use tpe"
            )


def _check_brute_force(
    node: Node, found: Mapping[str, Any], parameters: Sequence[Parameter]
) -> None:
    for parameter in parameters:
        _check_finite(node, found["name"], parameter)


def _check_finite(node: Node, sampler: str, parameter: Parameter) -> None:
    distribution = parameter.distribution
    subject = f"{sampler} cannot do {quoted(parameter.name)}"
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        node.refuse(f"{subject}, a float without `step`: its values cannot be listed")
    elif (count_values(distribution) or 0) > MAX_POINTS:
        node.refuse(f"{subject}: it has more than {MAX_POINTS} values")


_SPACE_CHECKS: Mapping[str, Callable[[Node, Mapping[str, Any], Sequence[Parameter]], None]] = {
    "cmaes": _check_cmaes,
    "gp": _check_gp,
    "grid": _check_grid,
    "brute-force": _check_brute_force,
}
