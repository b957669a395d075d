"""Which complete trials are best, kept up to date while trials are added and removed."""

import math
from collections.abc import Iterable, Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sortedcontainers import SortedList  # type: ignore[import-untyped]

Losses = tuple[float, ...]


def losses(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> Losses | None:
    """A complete trial's values, with signs such that less is better; None if it cannot be ranked.

    As in Optuna, a trial is ignored if it has NaN, or not as many values as the study has objectives.
    """
    if trial.state != TrialState.COMPLETE:
        return None
    values = trial.values
    if values is None or len(values) != len(directions) or any(map(math.isnan, values)):
        return None
    maximize = StudyDirection.MAXIMIZE
    return tuple([-v if d == maximize else v for v, d in zip(values, directions, strict=True)])


def feasible(trial: FrozenTrial) -> bool:
    """Whether no constraint of the trial is above zero."""
    for key in trial.system_attrs:
        if key.startswith("constraints"):
            return all(value <= 0 for value in trial.constraints.values())
    return True


class Ranking:
    """The best feasible trials of one study and, with one objective, all trials by value.

    With one objective the best is, among equal ones, the one with the lowest number. With several,
    the best are the Pareto front. Adding a trial costs O(log n) with one objective and O(front) with
    several.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._single = len(directions) == 1
        self._maximize = self._single and directions[0] == StudyDirection.MAXIMIZE
        self._by_loss = SortedList()  # (loss, number) of every trial; one objective only
        self._feasible: dict[int, Losses] = {}  # several objectives only
        self._infeasible: set[int] = set()
        self._best: dict[int, Losses] = {}

    def add(self, trials: Iterable[tuple[int, Losses, bool]]) -> None:
        """Rank trials, each as (number, losses, is feasible)."""
        by_loss = []
        for number, loss, is_feasible in trials:
            if self._single:
                by_loss.append((loss[0], number))
            if not is_feasible:
                self._infeasible.add(number)
                continue
            if not self._single:
                self._feasible[number] = loss
            self._compare_with_best(number, loss)
        if len(by_loss) == 1:
            self._by_loss.add(*by_loss)  # twice as fast
        else:
            self._by_loss.update(by_loss)

    def remove(self, number: int, loss: Losses) -> None:
        """Remove a trial that was added with these losses."""
        if self._single:
            self._by_loss.remove((loss[0], number))
        self._infeasible.discard(number)
        self._feasible.pop(number, None)
        if self._best.pop(number, None) is None:
            return
        if not self._single:
            self._best = {}
            for other, other_loss in self._feasible.items():
                self._compare_with_best(other, other_loss)
            return
        for other_value, other in self._by_loss:
            if other not in self._infeasible:
                self._best = {other: (other_value,)}
                return

    def best(self) -> list[int]:
        """The numbers of the best feasible trials, ascending; with one objective at most one."""
        return sorted(self._best)

    def by_value(
        self, *, descending: bool, after: tuple[float, int] | None, limit: int
    ) -> list[int]:
        """Numbers by value, from behind `after`, a (loss, number); one objective only."""
        if descending == self._maximize:  # from best to worst
            found = self._by_loss.irange(minimum=after, inclusive=(False, True))
        else:
            found = self._by_loss.irange(maximum=after, inclusive=(True, False), reverse=True)
        return [number for (_, number), _ in zip(found, range(limit), strict=False)]

    def _compare_with_best(self, number: int, loss: Losses) -> None:
        if self._single:
            for best, best_loss in self._best.items():
                if (best_loss[0], best) < (loss[0], number):
                    return
            self._best = {number: loss}
            return
        if any(_dominates(other, loss) for other in self._best.values()):
            return
        self._best = {n: held for n, held in self._best.items() if not _dominates(loss, held)}
        self._best[number] = loss


def _dominates(one: Losses, other: Losses) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
