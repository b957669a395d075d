"""GP over a part of a long history: what a fit takes grows with the cube of it."""

from collections.abc import Sequence
from typing import Any

from optuna.samplers import GPSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.ranking import Entry, best_of, losses_of, violation_of

# A fit of so many takes little longer than what every point takes anyway: see docs/samplers.md.
HISTORY = 400


class WindowedGP(GPSampler):
    """Optuna's GP sampler. Who calls it lets it see no more than `seen` of a history."""

    def __init__(self, *, history: int | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._history = history

    def seen(
        self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        """The trials to look at, in their order: see `windowed`."""
        return windowed(trials, directions, self._history)


def windowed(
    trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection], history: int | None
) -> list[FrozenTrial]:
    """Of the complete trials `history`, and all others; all where it is None. Their order stays.

    The newest three quarters of that, and of the older ones the best (with several objectives, up to
    twice as many of them).
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if history is None or len(complete) <= history:
        return list(trials)
    n_best = history // 4
    older = complete[: n_best - history]
    best = best_of(n_best, len(directions))
    left_out: set[int] = set()
    for trial in older:
        entry = Entry(violation_of(trial, directions), losses_of(trial, directions), trial.number)
        left_out.update(best.add(entry))
    return [trial for trial in trials if trial.number not in left_out]
