"""Which trials of a growing history TPE looks at: the best ones, and the newest of the rest.

TPE compares where the best trials lie with where the others do. The best must all be there. Of the
others the newest do: TPE drew them near the best, where the difference is to be told, and gives those
long past little weight anyway. Running trials count as the worst there are ("constant liar"), so that
what is drawn meanwhile lies elsewhere. Which trials are in the window follows from the history alone.
"""

import heapq
import math
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

# So many finished ones for each running one. Rustuna takes a tenth of all for good: with more running
# ones, that would be too many of those finished.
FINISHED_PER_RUNNING = 4


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of a window: the trials that `came`, oldest change first, and those `gone`.

    One that came may have been there before, as running.
    """

    came: Mapping[int, tuple[Params, Entry]]
    gone: Sequence[int]


class Window:
    """The trials that TPE looks at, kept up trial by trial; not safe for threads.

    Of the finished trials for which `fits` holds, the `n_best` best (with several objectives, up to
    twice as many) and the newest `n_newest` others; all where `n_newest` is None. With `lies` the newest
    running ones as well. A trial's parameters are assumed to fit where its distributions are those of
    one that did.
    """

    def __init__(
        self,
        directions: Sequence[StudyDirection],
        *,
        fits: Callable[[Params], bool],
        n_best: int,
        n_newest: int | None,
        lies: bool = True,
    ) -> None:
        self._directions = directions
        self._fits = fits
        self._n_newest = n_newest
        self._may_lie = lies
        self._best = best_of(n_best, len(directions))
        self._newest: list[int] = []
        self._came: dict[int, tuple[Params, Entry]] = {}
        self._gone: list[int] = []
        self._fitting: Mapping[str, BaseDistribution] | None = None
        self._leader: tuple[Entry, Params] | None = None
        self._running: dict[int, Params] = {}
        self._lies: set[int] = set()
        self.n_finished = 0

    @property
    def best(self) -> Params | None:
        """The parameters of the best trial; None with several objectives, of which none is the best."""
        return self._leader[1] if self._leader and len(self._directions) == 1 else None

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if after.state == TrialState.RUNNING and self._has_place(after):
            self.expect(after.number, after.params)
            return
        self._running.pop(after.number, None)
        if after.state not in _FINISHED or (before is not None and before.state == after.state):
            return
        if not self._has_place(after):
            return
        self.n_finished += 1
        entry = Entry(
            violation_of(after, self._directions),
            losses_of(after, self._directions),
            after.number,
        )
        self._came[after.number] = after.params, entry
        if self._leader is None or entry < self._leader[0]:
            self._leader = entry, after.params
        if self._n_newest is not None:
            self._leave_out(self._best.add(entry), self._n_newest)

    def expect(self, number: int, params: Params) -> None:
        """Take a trial for running that is to be made with these parameters."""
        if self._running.get(number) != params:
            self._lies.discard(number)  # it is told anew
            self._running[number] = params

    def changes(self, number: int | None = None) -> Changes:
        """What became of the window since this was last called, for who is to draw trial `number`."""
        came, gone = self._came, self._gone
        self._came, self._gone = {}, []
        lies = self._newest_running(number)
        gone += [number for number in self._lies if number not in lies and number not in came]
        worst = (math.inf,) * len(self._directions)
        for number in lies:
            if number not in self._lies:
                came[number] = self._running[number], Entry(0.0, worst, number)
        self._lies = set(lies)
        return Changes(came=came, gone=gone)

    def _newest_running(self, besides: int | None) -> Sequence[int]:
        n_seen = self.n_finished
        if self._n_newest is not None:
            n_seen = min(n_seen, self._n_newest)
        count = n_seen // FINISHED_PER_RUNNING if self._may_lie else 0
        running = sorted(self._running.keys() - {besides})
        return running[-count:] if count else []

    def _has_place(self, trial: FrozenTrial) -> bool:
        # A history read at once shares its distributions: no other look at each trial is needed.
        if trial.distributions is not self._fitting:
            if not self._fits(trial.params):
                return False
            self._fitting = trial.distributions
        return True

    def _leave_out(self, numbers: Sequence[int], n_newest: int) -> None:
        for number in numbers:
            heapq.heappush(self._newest, number)
            if len(self._newest) > n_newest:
                oldest = heapq.heappop(self._newest)
                if self._came.pop(oldest, None) is None:
                    self._gone.append(oldest)
