"""Pruners by name and arguments."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from optuna import pruners

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.components import (
    Kind,
    read_component,
    refuse_raised,
    without_warnings,
)
from optunapi.engine.documents.document import Node


def make_pruner(pruner: Mapping[str, Any]) -> pruners.BasePruner:
    """Optuna's pruner for a `name` with its arguments."""
    with without_warnings():
        return _make(pruner)


def read_pruner(node: Node, *, n_objectives: int | None) -> dict[str, Any] | None:
    """`{"name": …, **arguments}`; None after noting why it is none.

    `n_objectives` is None where it is not known.
    """
    found = _read(node)
    if found is not None and found["name"] != "none" and (n_objectives or 1) > 1:
        node.refuse(
            f"{found['name']} cannot prune {n_objectives} objectives: Optuna prunes by one. "
            "Leave `pruner` out"
        )
        return None
    return found


def _read(node: Node) -> dict[str, Any] | None:
    found = read_component(node, PRUNERS, "pruner")
    if found is None:
        return None
    if found["name"] == "hyperband" and not _hyperband_range_holds(node, found):
        return None
    try:
        with without_warnings():
            _make(found)
    except (TypeError, ValueError) as error:
        refuse_raised(node, found, error)
        return None
    return found


def _hyperband_range_holds(node: Node, found: Mapping[str, Any]) -> bool:
    least, most = found.get("min_resource", 1), found.get("max_resource", "auto")
    if most == "auto" or most >= least:
        return True
    node.entries()["max_resource"].refuse(f"{most} is below `min_resource`, {least}")
    return False


def _make(found: Mapping[str, Any]) -> pruners.BasePruner:
    arguments = {key: value for key, value in found.items() if key != "name"}
    if found["name"] == "patient":
        wrapped = arguments.pop("wrapped", None)
        return pruners.PatientPruner(_make(wrapped) if wrapped else None, **arguments)
    made: pruners.BasePruner = PRUNERS[found["name"]].made(**arguments)
    return made


def _resource(node: Node) -> int | str | None:
    if node.data == "auto":
        return "auto"
    if isinstance(node.data, str) and not node.data[:1].isdigit():
        return read.choice(node, ("auto",), "resource; a whole number is one")
    return read.integer(node, minimum=1)


_at_least_one = partial(read.integer, minimum=1)
_at_least_two = partial(read.integer, minimum=2)

PRUNERS: Mapping[str, Kind] = {
    "none": Kind(made=pruners.NopPruner),
    "median": Kind(made=pruners.MedianPruner),
    "percentile": Kind(made=pruners.PercentilePruner),
    # Optuna looks at these two of Hyperband's arguments only when it first prunes.
    "hyperband": Kind(
        made=pruners.HyperbandPruner,
        readers={
            "min_resource": _at_least_one,
            "max_resource": _resource,
            "reduction_factor": _at_least_two,
        },
    ),
    "successive-halving": Kind(
        made=pruners.SuccessiveHalvingPruner, readers={"min_resource": _resource}
    ),
    "threshold": Kind(made=pruners.ThresholdPruner),
    "wilcoxon": Kind(made=pruners.WilcoxonPruner),
    "patient": Kind(made=pruners.PatientPruner, readers={"wrapped": _read}),
}
