"""Which parameters the values depend on: Optuna's PED-ANOVA, which needs no other library.

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
    """The part of `optuna.Study` that the evaluator uses: complete trials with one objective."""

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
    """The importance of each parameter for one objective, the largest first. They add up to 1.

    Empty with fewer than two complete trials, or if all of them have the same value.
    """
    # Imported late: it takes a second and 80 MB where scikit-learn, for another evaluator, is installed.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [_only(objective, trial) for trial in trials if _counts(trial, objective)]
    if len({trial.values[0] for trial in complete}) < 2 or not any(t.params for t in complete):
        return {}
    study = cast(optuna.Study, _Complete(complete, direction))
    with without_warnings():  # they say that there are few trials
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    # Optuna's order of equal importances is that of a set.
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
    """The latest importances of one study, computed again when its trials have changed. Thread-safe.

    Two threads that find none both compute them, with the same result.
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
        """What `importances_of` returns, computed once for each `version` of the trials."""
        known = self._kept.get(objective)
        if known is not None and known[0] == version:
            return known[1]
        found = importances_of(trials, objective, direction)
        self._kept[objective] = (version, found)
        return found
