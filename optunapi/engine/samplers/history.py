"""The trials of a history that one of Optuna's samplers can use."""

from collections import Counter
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.gp import HISTORY, windowed
from optunapi.engine.samplers.problem import Problem


def usable(problem: Problem, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """The trials to show to Optuna's sampler for this problem, in their order.

    GP sees a part of a long history, and of its complete trials those with the constraints that most of
    them have: Optuna raises for trials with different numbers of them. TPE for several objectives does
    not see pruned trials: Optuna would rank them by one direction, and raises.
    """
    match problem.sampler["name"]:
        case "gp":
            history = problem.sampler.get("history", HISTORY)
            seen = windowed(trials, problem.directions, None if history == "all" else history)
            return _alike_in_constraints(seen)
        case "tpe" if problem.n_objectives > 1:
            return [trial for trial in trials if trial.state != TrialState.PRUNED]
    return trials


def _alike_in_constraints(trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    names = {t.number: tuple(t.constraints) for t in trials if t.state == TrialState.COMPLETE}
    kinds = Counter(names.values())
    if len(kinds) < 2:
        return trials
    ((most_common, _),) = kinds.most_common(1)
    return [trial for trial in trials if names.get(trial.number, most_common) == most_common]
