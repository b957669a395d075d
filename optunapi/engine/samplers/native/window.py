"""The trials of a growing history that TPE sees: the best ones, and the newest of the others.

TPE compares where good trials lie with where the others do. All of the best must be there. Of the others
the newest are enough: TPE drew them near the best, where the difference has to be told, and it gives old
trials little weight anyway. Running trials count as the worst there are ("constant liar", Ginsbourger et
al., "Kriging is well-suited to parallelize optimization", 2010), so that points drawn meanwhile lie
elsewhere. Which trials are in the window follows from the history alone.
"""

import heapq
import math
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.native.axes import Params
from optunapi.engine.samplers.ranking import Rank, best_of, rank_of

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

# At most one running trial is seen for this many finished ones. Rustuna counts a tenth of all trials as
# good; with more running ones, that would be too many of the finished ones.
FINISHED_PER_RUNNING = 4

# The best trial may have been lucky, or lie where nothing better is to be found. After this many trials
# without a better one, the next best leads as well.
TRIALS_PER_LEADER = 20


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What changed in a window.

    The trials `added`, with their parameters and ranks, oldest change first; one that was there before as
    running is among them when it finishes. The numbers of those `removed`. The numbers of all trials that
    are in the window as `running`.
    """

    added: Mapping[int, tuple[Params, Rank]]
    removed: Sequence[int]
    running: frozenset[int]


class Window:
    """The trials that TPE sees, updated trial by trial; not safe for threads.

    They are the finished trials for which `fits` holds: the `n_best` best (up to twice as many with
    several objectives), and the `n_newest` newest others, all if that is None. With `constant_liar` the
    newest running ones are added.
    """

    def __init__(
        self,
        directions: Sequence[StudyDirection],
        *,
        fits: Callable[[Params], bool],
        n_best: int,
        n_newest: int | None,
        constant_liar: bool = True,
    ) -> None:
        self._directions = directions
        self._fits = fits
        self._n_best = n_best
        self._n_newest = n_newest
        self._constant_liar = constant_liar
        self._best = best_of(n_best, len(directions))
        self._newest: list[int] = []  # a heap of the finished trials that are not among the best
        self._added: dict[int, tuple[Params, Rank]] = {}
        self._removed: list[int] = []
        self._leaders: list[tuple[Rank, Params]] = []  # best first; none with several objectives
        self._n_known = 0  # all trials below this number exist
        self._waiting: set[int] = set()
        self._running: dict[int, Params] = {}
        self._seen_running: set[int] = set()
        self.n_finished = 0

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        number, state, params = after.number, after.state, after.params
        self._n_known = max(self._n_known, number + 1)
        if state == TrialState.WAITING:
            self._waiting.add(number)
        else:
            self._waiting.discard(number)
        # Parameters with which a trial runs here were checked when it began.
        fits = self._running.get(number) == params or self._fits(params)
        if fits and state == TrialState.RUNNING:
            self._run(number, params)
            return
        self._running.pop(number, None)
        if not fits or state not in _FINISHED or (before is not None and before.state == state):
            return
        self.n_finished += 1
        rank = rank_of(after, self._directions)
        self._added[number] = params, rank
        self._update_leaders(rank, params)
        if self._n_newest is not None:
            self._add_to_newest(self._best.add(rank), self._n_newest)

    def expect(self, number: int, params: Params) -> None:
        """Count a trial that is about to be made with these parameters as running.

        Two asks at once may draw for the same number, of which one becomes that trial. The other may come
        here when the trial already runs or has finished. It is ignored then: `replace` would never be
        called for it, and it would count as running for good.
        """
        if self._is_to_come(number):
            self._run(number, params)

    def forget(self, number: int) -> None:
        """Take back `expect`, unless the trial has been made since."""
        if self._is_to_come(number):
            self._running.pop(number, None)

    def _is_to_come(self, number: int) -> bool:
        return number >= self._n_known or number in self._waiting

    def changes(self, number: int) -> Changes:
        """What changed since the last call, for the draw of trial `number`, which is left out if it runs."""
        added, removed = self._added, self._removed
        self._added, self._removed = {}, []
        running = self._newest_running(number)
        removed += self._seen_running.difference(running, added)
        worst = (math.inf,) * len(self._directions)
        for each in running:
            if each not in self._seen_running:
                added[each] = self._running[each], Rank(0.0, worst, each)
        self._seen_running = set(running)
        return Changes(added=added, removed=removed, running=frozenset(running))

    def leaders(self, number: int) -> Sequence[Params]:
        """The parameters of the best trials, best first, for the draw of trial `number`.

        One, and one more for every `TRIALS_PER_LEADER` trials that were drawn since and knew of it, up to
        `n_best`. There are none with several objectives.
        """
        if not self._leaders:
            return ()
        # About as many trials as run now were drawn while the best one ran. Neither knew of it.
        n_running = len(self._running) - (number in self._running)
        n_since = number - self._leaders[0][0].number - 2 * n_running
        count = 1 + max(0, n_since) // TRIALS_PER_LEADER
        return [params for _, params in self._leaders[:count]]

    def _run(self, number: int, params: Params) -> None:
        if self._running.get(number) != params:
            self._seen_running.discard(number)  # so that `changes` adds it again
            self._running[number] = params

    def _newest_running(self, besides: int) -> Sequence[int]:
        """The numbers of the running trials to see."""
        n_seen = self.n_finished
        if self._n_newest is not None:
            n_seen = min(n_seen, self._n_newest)
        count = n_seen // FINISHED_PER_RUNNING if self._constant_liar else 0
        running = sorted(self._running.keys() - {besides})
        return running[-count:] if count else []

    def _update_leaders(self, rank: Rank, params: Params) -> None:
        leaders = self._leaders
        if len(self._directions) > 1 or (len(leaders) == self._n_best and leaders[-1][0] < rank):
            return
        insort(leaders, (rank, params), key=itemgetter(0))
        del leaders[self._n_best :]

    def _add_to_newest(self, numbers: Sequence[int], n_newest: int) -> None:
        """Add trials that are not among the best; the oldest leave the window."""
        for number in numbers:
            heapq.heappush(self._newest, number)
            if len(self._newest) > n_newest:
                oldest = heapq.heappop(self._newest)
                if self._added.pop(oldest, None) is None:
                    self._removed.append(oldest)
