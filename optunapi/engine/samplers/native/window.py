"""Which trials of a growing history TPE looks at: the best ones, and the newest of the rest.

TPE compares where the best trials lie with where the others do. The best must all be there. Of the
others the newest do: TPE drew them near the best, where the difference is to be told, and gives those
long past little weight anyway. Running trials count as the worst there are ("constant liar"), so that
what is drawn meanwhile lies elsewhere. Which trials are in the window follows from the history alone.
"""

import heapq
import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.ranking import Entry, best_of, losses_of, violation_of

Params = Mapping[str, Any]

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

# So many finished ones for each running one. Rustuna takes a tenth of all for good: with more running
# ones, that would be too many of those finished.
FINISHED_PER_RUNNING = 4

# The best trial may have been lucky, or lie where nothing better is to be found: for every so many
# trials without a better one, the next best leads as well.
TRIALS_PER_LEADER = 20


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of a window: the trials that `came`, oldest change first, and those `gone`.

    One that came may have been there before, as running. Of all that are there now some are `running`.
    """

    came: Mapping[int, tuple[Params, Entry]]
    gone: Sequence[int]
    running: frozenset[int]


class Window:
    """The trials that TPE looks at, kept up trial by trial; not safe for threads.

    Of the finished trials for which `fits` holds, the `n_best` best (with several objectives, up to
    twice as many) and the newest `n_newest` others; all where `n_newest` is None. With `lies` the newest
    running ones as well.
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
        self._n_best = n_best
        self._n_newest = n_newest
        self._may_lie = lies
        self._best = best_of(n_best, len(directions))
        self._newest: list[int] = []
        self._came: dict[int, tuple[Params, Entry]] = {}
        self._gone: list[int] = []
        self._leaders: list[tuple[Entry, Params]] = []  # the best first; none of several objectives
        self._n_known = 0  # all trials below this number have been told of
        self._waiting: set[int] = set()
        self._running: dict[int, Params] = {}
        self._lies: set[int] = set()
        self.n_finished = 0

    def leaders(self, number: int) -> Sequence[Params]:
        """The parameters of the best trials, for who is to draw trial `number`: the best first.

        One, and another for every `TRIALS_PER_LEADER` trials since whose draw knew of it, but none
        beyond the `n_best`. Of several objectives there are none.
        """
        if not self._leaders:
            return ()
        # Not those that run, and not those drawn while the best one ran: about as many.
        n_running = len(self._running) - (number in self._running)
        n_since = number - self._leaders[0][0].number - 2 * n_running
        count = 1 + max(0, n_since) // TRIALS_PER_LEADER
        return [params for _, params in self._leaders[:count]]

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        self._n_known = max(self._n_known, after.number + 1)
        if after.state == TrialState.WAITING:
            self._waiting.add(after.number)
        else:
            self._waiting.discard(after.number)
        if after.state == TrialState.RUNNING and self._fits(after.params):
            self._run(after.number, after.params)
            return
        self._running.pop(after.number, None)
        if after.state not in _FINISHED or (before is not None and before.state == after.state):
            return
        if not self._fits(after.params):
            return
        self.n_finished += 1
        entry = Entry(
            violation_of(after, self._directions),
            losses_of(after, self._directions),
            after.number,
        )
        self._came[after.number] = after.params, entry
        self._follow(entry, after.params)
        if self._n_newest is not None:
            self._leave_out(self._best.add(entry), self._n_newest)

    def expect(self, number: int, params: Params) -> None:
        """Take a trial for running that is to be made with these parameters.

        Of two that were drawn for one number at once, one becomes it. The other may come here only when
        that trial runs or has finished: nothing would ever be told of it, and it would run for ever.
        """
        if number >= self._n_known or number in self._waiting:
            self._run(number, params)

    def _run(self, number: int, params: Params) -> None:
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
        return Changes(came=came, gone=gone, running=frozenset(lies))

    def _newest_running(self, besides: int | None) -> Sequence[int]:
        n_seen = self.n_finished
        if self._n_newest is not None:
            n_seen = min(n_seen, self._n_newest)
        count = n_seen // FINISHED_PER_RUNNING if self._may_lie else 0
        running = sorted(self._running.keys() - {besides})
        return running[-count:] if count else []

    def _follow(self, entry: Entry, params: Params) -> None:
        leaders = self._leaders
        if len(self._directions) > 1 or (len(leaders) == self._n_best and leaders[-1][0] < entry):
            return
        insort(leaders, (entry, params), key=itemgetter(0))
        del leaders[self._n_best :]

    def _leave_out(self, numbers: Sequence[int], n_newest: int) -> None:
        for number in numbers:
            heapq.heappush(self._newest, number)
            if len(self._newest) > n_newest:
                oldest = heapq.heappop(self._newest)
                if self._came.pop(oldest, None) is None:
                    self._gone.append(oldest)
