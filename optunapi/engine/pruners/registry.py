"""The pruners by name: read from a configuration, and made as Optuna's."""

from collections.abc import Mapping
from typing import Any

from optuna import pruners

from optunapi.engine.documents.components import (
    Component,
    Kind,
    refuse_raised,
    without_warnings,
)
from optunapi.engine.documents.document import Node
from optunapi.engine.documents.fields import Count, whole, word_or


def read_pruner(node: Node, *, n_objectives: int | None) -> dict[str, Any] | None:
    """The pruner's `name` and arguments; None if the document has errors, which are noted.

    `n_objectives` is None if it is not known.
    """
    found = _PRUNER.read(node)
    if found is not None and found["name"] != "none" and (n_objectives or 1) > 1:
        node.refuse(
            f"{found['name']} cannot prune {n_objectives} objectives: Optuna prunes by one. "
            "Leave `pruner` out"
        )
        return None
    return found


def make_pruner(pruner: Mapping[str, Any]) -> pruners.BasePruner:
    """Optuna's pruner for a `name` with its arguments."""
    with without_warnings():
        return _make(pruner)


def _can_be_made(node: Node, found: Mapping[str, Any]) -> bool:
    if found["name"] == "hyperband" and not _hyperband_range_holds(node, found):
        return False
    try:
        with without_warnings():
            _make(found)
    except (TypeError, ValueError) as error:
        refuse_raised(node, found, error)
        return False
    return True


def _hyperband_range_holds(node: Node, found: Mapping[str, Any]) -> bool:
    least, most = found.get("min_resource", 1), found.get("max_resource", "auto")
    if most == "auto" or most >= least:
        return True
    node["max_resource"].refuse(f"{most} is below `min_resource`, {least}")
    return False


def _make(found: Mapping[str, Any]) -> pruners.BasePruner:
    arguments = {key: value for key, value in found.items() if key != "name"}
    if found["name"] == "patient":
        wrapped = arguments.pop("wrapped", None)
        return pruners.PatientPruner(_make(wrapped) if wrapped else None, **arguments)
    made: pruners.BasePruner = PRUNERS[found["name"]].made(**arguments)
    return made


_RESOURCE = word_or("auto", Count)
PRUNERS: dict[str, Kind] = {
    "none": Kind(made=pruners.NopPruner),
    "median": Kind(made=pruners.MedianPruner),
    "percentile": Kind(made=pruners.PercentilePruner),
    # Optuna checks Hyperband's resources and factor only when it first prunes.
    "hyperband": Kind(
        made=pruners.HyperbandPruner,
        types={
            "min_resource": Count,
            "max_resource": _RESOURCE,
            "reduction_factor": whole(2),
        },
    ),
    "successive-halving": Kind(
        made=pruners.SuccessiveHalvingPruner, types={"min_resource": _RESOURCE}
    ),
    "threshold": Kind(made=pruners.ThresholdPruner),
    "wilcoxon": Kind(made=pruners.WilcoxonPruner),
}
_PRUNER = Component(kinds=PRUNERS, what="pruner", check=_can_be_made)
PRUNERS["patient"] = Kind(made=pruners.PatientPruner, types={"wrapped": _PRUNER})
