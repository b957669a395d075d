"""Which parameters the values depend on: Optuna's PED-ANOVA, which needs no other library.

Source: Watanabe, Bansal, Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
Arbitrary Subspaces" (IJCAI 2023), as `optuna.importance` implements it.
"""

import copy
import math
from collections.abc import Sequence
from typing import cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.documents.components import without_warnings
from optunapi.engine.documents.document import quoted
from optunapi.engine.space import has_plain_choices
from optunapi.engine.spec.model import StudySpec
from optunapi.errors import RequestInvalid, ValueInvalid

# NumPy computes with larger ones as Python objects, for which it has no functions.
MAX_INTEGER = 2**53


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

    Raises:
        ValueInvalid: the formulas cannot do these trials, whose numbers may be too large.
    """
    # Imported late: it takes a second and 80 MB where scikit-learn, for another evaluator, is installed.
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [trial for trial in trials if _counts(trial, objective)]
    if len({t.values[objective] for t in complete}) < 2 or not any(t.params for t in complete):
        return {}
    plain = _PlainTrials(objective)
    try:
        study = cast(optuna.Study, _Complete(list(map(plain.of, complete)), direction))
        with without_warnings():  # they say that there are few trials
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueInvalid(
            f"the importances of these trials cannot be computed: {type(error).__name__}: {error}"
        ) from error
    # Optuna's order of equal importances is that of a set.
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def place_of(objective: str | None, spec: StudySpec) -> int:
    """The place of an objective among those of the study, by default the first.

    Raises:
        RequestInvalid: the study has no such objective.
    """
    names = [each.name for each in spec.objectives]
    if objective is None:
        return 0
    if objective not in names:
        reason = f"{quoted(objective)} is none of the study's objectives: {', '.join(names)}"
        errors = [{"location": ["query", "objective"], "reason": reason}]
        raise RequestInvalid(reason, errors=errors)
    return names.index(objective)


def _counts(trial: FrozenTrial, objective: int) -> bool:
    return trial.state == TrialState.COMPLETE and math.isfinite(trial.values[objective])


class _PlainTrials:
    """Trials with the value of one objective, and with parameters that the evaluator can do.

    It needs choices that can be keys of a dict, and integers that fit into 64 bits.
    """

    def __init__(self, objective: int) -> None:
        self._objective = objective
        self._plain: dict[int, tuple[BaseDistribution, BaseDistribution]] = {}  # by id

    def of(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial as the evaluator can use it."""
        plain = {name: self._plain_for(d) for name, d in trial.distributions.items()}
        changed = [name for name, d in plain.items() if d is not trial.distributions[name]]
        if len(trial.values) == 1 and not changed:
            return trial
        found = copy.copy(trial)
        found.values = [trial.values[self._objective]]
        if changed:
            found.distributions = plain
            found.params = trial.params | {
                name: trial.distributions[name].to_internal_repr(trial.params[name])
                for name in changed
            }
        return found

    def _plain_for(self, distribution: BaseDistribution) -> BaseDistribution:
        # The distribution is kept with its replacement, so that no other gets its id.
        kept = self._plain.get(id(distribution))
        if kept is None:
            kept = self._plain[id(distribution)] = distribution, _plain(distribution)
        return kept[1]


def _plain(distribution: BaseDistribution) -> BaseDistribution:
    """A distribution of the internal representations, where the values themselves cannot be used."""
    match distribution:
        case CategoricalDistribution(choices=choices) if not has_plain_choices(distribution):
            return CategoricalDistribution(range(len(choices)))
        case IntDistribution(low=low, high=high, log=log) if max(-low, high) > MAX_INTEGER:
            return FloatDistribution(float(low), float(high), log=log)
    return distribution


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
