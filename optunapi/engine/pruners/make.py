"""The rule for a pruner's name and arguments.

Optuna's pruners read the whole history at each report. A `Rule` is notified of each change of a trial and
keeps what its pruner needs: the reports of complete trials by step (`rules`), or the values at each rung
(`halving`). Its decisions are those of Optuna's pruner. So are the notes that it leaves with the trials:
Optuna itself can continue the study.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.pruners import NopPruner
from optuna.study import StudyDirection

from optunapi.engine.pruners.halving import hyperband, successive_halving
from optunapi.engine.pruners.registry import PRUNERS, make_pruner
from optunapi.engine.pruners.rules import (
    BestTrial,
    Patient,
    Percentile,
    Rule,
    Wilcoxon,
    WithoutHistory,
)


def make_rule(
    pruner: Mapping[str, Any],
    directions: Sequence[StudyDirection],
    *,
    study_name: str,
    best_trial: BestTrial,
) -> Rule:
    """The rule for a pruner's `name` and arguments, which knows of no trial yet.

    `study_name` is the name by which Optuna knows the study. `best_trial` returns the best feasible
    complete trial, and must not search for it. With several objectives nothing is pruned, as in Optuna.
    """
    if len(directions) > 1:
        return WithoutHistory(NopPruner())
    return _rule(pruner, directions[0] == StudyDirection.MAXIMIZE, study_name, best_trial)


def _rule(
    pruner: Mapping[str, Any], maximize: bool, study_name: str, best_trial: BestTrial
) -> Rule:
    arguments = _arguments(pruner)
    match pruner["name"]:
        case "none" | "threshold":
            return WithoutHistory(make_pruner(pruner))
        case "median":
            return Percentile(maximize=maximize, percentile=50.0, **arguments)
        case "percentile":
            return Percentile(maximize=maximize, **arguments)
        case "successive-halving":
            return successive_halving(maximize=maximize, **arguments)
        case "hyperband":
            return hyperband(maximize=maximize, study_name=study_name, **arguments)
        case "wilcoxon":
            return Wilcoxon(maximize=maximize, best_trial=best_trial, **arguments)
        case "patient":
            wrapped = arguments.pop("wrapped", None)
            inner = _rule(wrapped, maximize, study_name, best_trial) if wrapped else None
            return Patient(maximize=maximize, wrapped=inner, **arguments)
    raise ValueError(f"no such pruner: {pruner['name']}")


def _arguments(pruner: Mapping[str, Any]) -> dict[str, Any]:
    """The pruner's arguments, completed with the defaults of Optuna's constructor."""
    parameters = PRUNERS[pruner["name"]].parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return defaults | {key: value for key, value in pruner.items() if key != "name"}
