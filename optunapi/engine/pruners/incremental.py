"""Whether a trial should be pruned: as Optuna's pruner decides, without reading all trials' reports.

Optuna's pruners go through the whole history at every report. Here a `Rule` for each of them is told
of every trial as it changes, and keeps what it will need: the reports of complete trials by step
(`pruning_rules`), the values at each rung (`pruning_halving`). Decisions are the same, and so are the
notes left with the trials: Optuna itself can go on with the study.
"""

from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial

from optunapi.engine.pruners.halving import Hyperband, SuccessiveHalving
from optunapi.engine.pruners.registry import PRUNERS
from optunapi.engine.pruners.rules import (
    BestTrial,
    Decision,
    Never,
    Patient,
    Percentile,
    Rule,
    Threshold,
    Wilcoxon,
)
from optunapi.engine.spec.read import StudySpec


class Pruning:
    """What the pruner of a specification needs to know of all trials at once, kept up change by change.

    `study_name` is the name Optuna knows the study by, `best_trial` gives its best feasible complete
    trial and must be cheap. With several objectives nothing is ever pruned, since Optuna cannot.
    """

    def __init__(self, spec: StudySpec, *, study_name: str, best_trial: BestTrial) -> None:
        self._rule: Rule = Never()
        if len(spec.objectives) == 1:
            maximize = spec.objectives[0].direction == "maximize"
            self._rule = _rule(spec.pruner, maximize, study_name, best_trial)

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        self._rule.replace(before, after)

    def should_prune(self, trial: FrozenTrial) -> Decision:
        """What Optuna's `should_prune` says of a running trial whose reports `replace` has seen.

        The decision's notes are to be written to the trial's system attributes.
        """
        return self._rule.decide(trial)


def _rule(
    pruner: Mapping[str, Any], maximize: bool, study_name: str, best_trial: BestTrial
) -> Rule:
    arguments = _arguments(pruner)
    match pruner["name"]:
        case "none":
            return Never()
        case "threshold":
            return Threshold(**arguments)
        case "median":
            return Percentile(maximize=maximize, percentile=50.0, **arguments)
        case "percentile":
            return Percentile(maximize=maximize, **arguments)
        case "successive-halving":
            return SuccessiveHalving(maximize=maximize, **arguments)
        case "hyperband":
            return Hyperband(maximize=maximize, study_name=study_name, **arguments)
        case "wilcoxon":
            return Wilcoxon(maximize=maximize, best_trial=best_trial, **arguments)
        case "patient":
            wrapped = arguments.pop("wrapped", None)
            inner = _rule(wrapped, maximize, study_name, best_trial) if wrapped else None
            return Patient(maximize=maximize, wrapped=inner, **arguments)
    raise ValueError(f"no such pruner: {pruner['name']}")


def _arguments(pruner: Mapping[str, Any]) -> dict[str, Any]:
    """The pruner's arguments, those not given as Optuna's own constructor has them."""
    parameters = PRUNERS[pruner["name"]].parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    return defaults | {key: value for key, value in pruner.items() if key != "name"}
