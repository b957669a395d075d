"""Which trials of a growing history TPE looks at: the best ones, and the newest of the rest.

TPE compares where the best trials lie with where the others do. The best must all be there. Of the
others the newest do: TPE drew them near the best, where the difference is to be told, and gives those
long past little weight anyway. Which trials are in the window follows from the history alone.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.order import losses_of, violation_of
from optunapi.engine.samplers.ranking import Entry, best_of

Params = Mapping[str, Any]

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of a window: the trials that `came`, oldest change first, and those `gone`."""

    came: Mapping[int, tuple[Params, Entry]]
    gone: Sequence[int]


class Window:
    """The trials that TPE looks at, kept up trial by trial; not safe for threads.

    Of the finished trials for which `fits` holds, the `n_best` best (with several objectives, up to
    twice as many) and the newest `n_newest` others; all where `n_newest` is None. A trial's parameters
    are assumed to fit where its distributions are those of one that did.
    """

    def __init__(
        self,
        directions: Sequence[StudyDirection],
        *,
        fits: Callable[[Params], bool],
        n_best: int,
        n_newest: int | None,
    ) -> None:
        self._directions = directions
        self._fits = fits
        self._n_newest = n_newest
        self._best = best_of(n_best, len(directions))
        self._newest: list[int] = []
        self._came: dict[int, tuple[Params, Entry]] = {}
        self._gone: list[int] = []
        self._fitting: Mapping[str, BaseDistribution] | None = None
        self.n_finished = 0

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if after.state not in _FINISHED or (before is not None and before.state == after.state):
            return
        # A history read at once shares its distributions: no other look at each trial is needed.
        if after.distributions is not self._fitting:
            if not self._fits(after.params):
                return
            self._fitting = after.distributions
        self.n_finished += 1
        entry = Entry(
            violation_of(after, self._directions),
            losses_of(after, self._directions),
            after.number,
        )
        self._came[after.number] = after.params, entry
        if self._n_newest is not None:
            self._leave_out(self._best.add(entry), self._n_newest)

    def changes(self) -> Changes:
        """What became of the window since this was last called."""
        changes = Changes(came=self._came, gone=self._gone)
        self._came, self._gone = {}, []
        return changes

    def _leave_out(self, numbers: Sequence[int], n_newest: int) -> None:
        for number in numbers:
            heapq.heappush(self._newest, number)
            if len(self._newest) > n_newest:
                oldest = heapq.heappop(self._newest)
                if self._came.pop(oldest, None) is None:
                    self._gone.append(oldest)
