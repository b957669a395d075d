"""Which complete trials are best, kept while trials come and go."""

import math
from collections.abc import Iterable, Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sortedcontainers import SortedList  # type: ignore[import-untyped]

Losses = tuple[float, ...]


def losses(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> Losses | None:
    """A complete trial's values with signs such that less is better; None if it cannot be ranked.

    As in Optuna, NaN is ignored, and so is a trial whose number of values is not the study's.
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


class Standings:
    """The best feasible trials of one study and, with one objective, all in the order of their values.

    With one objective the best is the first of the equal ones by number; with several, `best` is the
    Pareto front. Adding a trial costs O(log n) with one objective and O(front) with several.
    """

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        self._single = len(directions) == 1
        self._descending = self._single and directions[0] == StudyDirection.MAXIMIZE
        self._order = SortedList()  # (loss, number) of every ranked trial
        self._eligible: dict[int, Losses] = {}  # several objectives: the feasible ones
        self._infeasible: set[int] = set()
        self._front: dict[int, Losses] = {}

    def add(self, number: int, loss: Losses, *, is_feasible: bool) -> None:
        """Rank one more trial."""
        if self._single:
            self._order.add((loss[0], number))
        if not is_feasible:
            self._infeasible.add(number)
            return
        if not self._single:
            self._eligible[number] = loss
        self._challenge(number, loss)

    def remove(self, number: int, loss: Losses) -> None:
        """Forget a trial that was added with this loss."""
        if self._single:
            self._order.remove((loss[0], number))
        self._infeasible.discard(number)
        self._eligible.pop(number, None)
        if self._front.pop(number, None) is None:
            return
        if not self._single:
            self._front = {}
            for other, other_loss in self._eligible.items():
                self._challenge(other, other_loss)
            return
        for other_value, other in self._order:
            if other not in self._infeasible:
                self._front = {other: (other_value,)}
                return

    def fill(self, trials: Iterable[tuple[int, Losses, bool]]) -> None:
        """Rank many trials at once: what `add` would do, for (number, loss, feasible)."""
        order = []
        for number, loss, is_feasible in trials:
            if self._single:
                order.append((loss[0], number))
            if not is_feasible:
                self._infeasible.add(number)
                continue
            if not self._single:
                self._eligible[number] = loss
            self._challenge(number, loss)
        self._order.update(order)

    def best(self) -> list[int]:
        """The numbers of the best feasible trials, ascending; with one objective at most one."""
        return sorted(self._front)

    def by_value(
        self, *, descending: bool, after: tuple[Losses, int] | None, limit: int
    ) -> list[int]:
        """Numbers in the order of their values, beginning behind `after`; one objective only."""
        towards_worse = descending == self._descending
        edge = None if after is None else (after[0][0], after[1])
        if towards_worse:
            found = self._order.irange(minimum=edge, inclusive=(False, True))
        else:
            found = self._order.irange(maximum=edge, inclusive=(True, False), reverse=True)
        return [number for (_, number), _ in zip(found, range(limit), strict=False)]

    def _challenge(self, number: int, loss: Losses) -> None:
        if self._single:
            for best, best_loss in self._front.items():
                if (best_loss[0], best) < (loss[0], number):
                    return
            self._front = {number: loss}
            return
        if any(_dominates(other, loss) for other in self._front.values()):
            return
        self._front = {n: held for n, held in self._front.items() if not _dominates(loss, held)}
        self._front[number] = loss


def _dominates(one: Losses, other: Losses) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
