"""Long poll: an ask that waits until a trial or a place is free. It holds no thread meanwhile.

The requests that wait for a study stand in line. Only the first asks again, after every change and when
a lease expires. So a place that becomes free wakes one request, and goes to the one that waited longest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.types import Receive

from optunapi.api.serving.openings import Openings
from optunapi.api.serving.operations import Call, Outcome, in_thread, settled
from optunapi.api.serving.wakeups import Wakeup, watched
from optunapi.engine.catalog import Catalog
from optunapi.engine.state.feed import Feed, Listener
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import TrialView
from optunapi.errors import NoSlot, OptunAPIError

SHORTEST_SECONDS = 0.02  # between two attempts without a change in between

logger = logging.getLogger(__name__)

Ask = Call[list[TrialView]]
Attempt = Callable[[Ask], Awaitable[Outcome[list[TrialView]]]]
Line = tuple[str, bool]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a client waits, and how the server learns that it has gone: its body must be read.

    `can_repeat` says that the client can ask for the same trials again if it did not get the reply.
    """

    seconds: float
    receive: Receive
    can_repeat: bool


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A request that waits until a deadline, its wakeup, and a task that is done when its client has gone."""

    deadline: float
    wakeup: Wakeup
    leaving: "asyncio.Task[None]"

    def seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()


class LongPoll:
    """The lines of one server's studies. To be used on its event loop alone."""

    def __init__(self, catalog: Catalog, openings: Openings) -> None:
        self._catalog = catalog
        self._openings = openings
        self._lines: dict[Line, list[Wakeup]] = {}

    async def ask(
        self, ask: Ask, attempt: Attempt, patience: Patience, *, is_choosy: bool
    ) -> list[TrialView]:
        """The trials that the ask gets within the time; `attempt` asks once.

        A choosy ask fixes parameters and needs a new place. Those have a line of their own, so that an
        ask for any trial does not wait behind them.

        Raises:
            NoSlot: the time is up, or the client has gone.
            OptunAPIError: what the ask raises.
        """
        deadline = asyncio.get_running_loop().time() + patience.seconds
        async with watched(patience.receive) as leaving:
            try:
                views = await settled(attempt, ask)
            except NoSlot as refusal:
                waiting = _Waiting(deadline=deadline, wakeup=Wakeup(), leaving=leaving)
                views = await self._in_line(ask, attempt, waiting, (ask.name, is_choosy), refusal)
            if leaving.done() and not patience.can_repeat:
                await self._give_back(ask, views)
            return views

    async def _in_line(
        self, ask: Ask, attempt: Attempt, waiting: _Waiting, place: Line, refusal: NoSlot
    ) -> list[TrialView]:
        wakeup, leaving = waiting.wakeup, waiting.leaving
        leaving.add_done_callback(lambda _: wakeup())
        line = self._lines.setdefault(place, [])
        line.append(wakeup)
        try:
            while line[0] is not wakeup:
                wakeup.clear()
                if not await wakeup.wait(waiting.seconds_left()) or leaving.done():
                    raise refusal
            return await self._as_the_first(ask, attempt, waiting, refusal)
        finally:
            was_first = line[0] is wakeup
            line.remove(wakeup)
            if not line:
                del self._lines[place]
            elif was_first:
                line[0]()

    async def _as_the_first(
        self, ask: Ask, attempt: Attempt, waiting: _Waiting, refusal: NoSlot
    ) -> list[TrialView]:
        due: float | None = None

        def hand_out(study: Study) -> tuple[list[TrialView], *tuple[Commit, ...]]:
            nonlocal due
            due = None
            try:
                return ask.operation(study)
            except NoSlot:
                due = study.due_in()
                raise

        again = replace(ask, operation=hand_out)
        wakeup, leaving = waiting.wakeup, waiting.leaving
        feed, stop = await self._listen(ask.name, wakeup)
        try:
            while True:
                wakeup.clear()  # before the study is looked at, so that no change is missed
                if leaving.done():
                    raise refusal
                try:
                    return await settled(attempt, again)
                except NoSlot as error:
                    refusal = error
                left = waiting.seconds_left()
                if feed.closed:
                    # The study was deleted and made again, or the server is about to stop.
                    stop()
                    feed, stop = await self._listen(ask.name, wakeup)
                    if feed.closed:
                        raise refusal
                    continue
                if left <= 0 or leaving.done():
                    raise refusal
                await wakeup.wait(left if due is None else min(left, max(due, SHORTEST_SECONDS)))
        finally:
            stop()

    async def _listen(self, name: str, wakeup: Wakeup) -> tuple[Feed, Listener]:
        await self._openings.of(name)
        return await settled(
            in_thread, self._catalog, lambda catalog: (catalog.listen(name, wakeup),)
        )

    async def _give_back(self, ask: Ask, views: list[TrialView]) -> None:
        call = Call(ask.name, lambda study: (None, study.give_back(views)), Catalog.find)
        try:
            await settled(in_thread, self._catalog, call)
        except OptunAPIError as error:
            logger.warning("%s: a trial stays with a client that has gone: %s", ask.name, error)
