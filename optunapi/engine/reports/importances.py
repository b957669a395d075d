"""Which parameters the values depend on: Optuna's PED-ANOVA, which needs no further library.

Source: Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces" (IJCAI 2023), as `optuna.importance` implements it.
"""

import copy
import math
from collections.abc import Sequence
from typing import cast

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.documents.components import without_warnings


class _Complete:
    """As much of an `optuna.Study` as the evaluator asks for: complete trials of one objective."""

    def __init__(self, trials: list[FrozenTrial], direction: StudyDirection) -> None:
        self._trials = trials
        self.directions = [direction]

    def get_trials(self, **_: object) -> list[FrozenTrial]:
        """All of them."""
        return self._trials

    def _is_multi_objective(self) -> bool:
        return False


def importances_of(
    trials: Sequence[FrozenTrial], objective: int, direction: StudyDirection
) -> dict[str, float]:
    """Each parameter's share in one objective, the largest first; they add up to 1.

    Empty while that cannot be told: with fewer than two complete trials, or one value in all of them.
    """
    # Takes a second and 80 MB where scikit-learn is installed, which another evaluator uses.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [_only(objective, trial) for trial in trials if _counts(trial, objective)]
    if len({trial.values[0] for trial in complete}) < 2 or not any(t.params for t in complete):
        return {}
    study = cast(optuna.Study, _Complete(complete, direction))
    with without_warnings():  # that few trials say little
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    # Its order among equals is a set's.
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _counts(trial: FrozenTrial, objective: int) -> bool:
    return trial.state == TrialState.COMPLETE and math.isfinite(trial.values[objective])


def _only(objective: int, trial: FrozenTrial) -> FrozenTrial:
    if len(trial.values) == 1:
        return trial
    single = copy.copy(trial)
    single.values = [trial.values[objective]]
    return single


class Importances:
    """The latest importances of one study, kept until another trial is complete. Thread-safe.

    Two threads that find none do the work twice and come to the same.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[object, dict[str, float]]] = {}

    def of(
        self,
        trials: Sequence[FrozenTrial],
        objective: int,
        direction: StudyDirection,
        version: object,
    ) -> dict[str, float]:
        """As `importances_of`; what was made of the same `version` is given again."""
        known = self._kept.get(objective)
        if known is not None and known[0] == version:
            return known[1]
        found = importances_of(trials, objective, direction)
        self._kept[objective] = (version, found)
        return found
