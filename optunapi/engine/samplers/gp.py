"""The part of a long history that Optuna's GP sampler sees: the time of a fit grows with its cube."""

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.ranking import best_of, rank_of

# Fitting this many takes little longer than the rest of a draw (docs/samplers.md).
HISTORY = 400


def windowed(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], history: int | None
) -> list[FrozenTrial]:
    """At most `history` of the complete trials, and all others, in their order; all if it is None.

    Three quarters of them are the newest, the others the best of those before. With several objectives
    there are up to twice as many of the best.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if history is None or len(complete) <= history:
        return list(trials)
    n_best = history // 4
    best = best_of(n_best, len(directions))
    left_out: set[int] = set()
    for trial in complete[: n_best - history]:
        left_out.update(best.add(rank_of(trial, directions)))
    return [trial for trial in trials if trial.number not in left_out]
