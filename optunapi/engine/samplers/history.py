"""The part of a long history that Optuna's GP sampler is given: its cost grows with the cube of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.order import losses_of, violation_of
from optunapi.engine.samplers.ranking import Entry, best_of

if TYPE_CHECKING:
    from optunapi.engine.spec_model import StudySpec

# A fit of so many takes little longer than what every point takes anyway: see docs/samplers.md.
HISTORY = 400


def windowed(trials: Sequence[FrozenTrial], spec: "StudySpec") -> list[FrozenTrial]:
    """The trials that the specification's sampler is to see, in the order of their numbers.

    Of the complete ones `history`: the newest three quarters of that, and of the older ones the best
    (with several objectives, somewhat more of them). All trials that are not complete. Only the
    sampler `gp` has a window: all other samplers see all.
    """
    history = spec.sampler.get("history", HISTORY)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if spec.sampler["name"] != "gp" or history == "all" or len(complete) <= history:
        return list(trials)
    n_best = history // 4
    older, newest = complete[: n_best - history], complete[n_best - history :]
    best = best_of(n_best, len(spec.objectives))
    left_out: set[int] = set()
    for trial in older:
        violation = violation_of(trial, spec.directions)
        losses = losses_of(trial, spec.directions)
        left_out.update(best.add(Entry(violation, losses, trial.number)))
    first = newest[0].number
    return [
        trial
        for trial in trials
        if trial.state != TrialState.COMPLETE
        or trial.number >= first
        or trial.number not in left_out
    ]
