"""The trials of a history that one of Optuna's samplers can use."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.gp import HISTORY, windowed
from optunapi.engine.samplers.problem import Problem


def usable(problem: Problem, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """The trials to show to Optuna's sampler for this problem, in their order.

    GP sees a part of a long history. TPE for several objectives does not see pruned trials: Optuna would
    rank them by their last report, for which it needs a single direction, and raises.
    """
    match problem.sampler["name"]:
        case "gp":
            history = problem.sampler.get("history", HISTORY)
            return windowed(trials, problem.directions, None if history == "all" else history)
        case "tpe" if problem.n_objectives > 1:
            return [trial for trial in trials if trial.state != TrialState.PRUNED]
    return trials
