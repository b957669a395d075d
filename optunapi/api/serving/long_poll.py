"""Long poll: an ask that waits until a trial or a place is free. It holds no thread meanwhile.

Who waits in a study stands in line: only the head asks again, whenever something changed or a lease ran
out, so that a place which becomes free wakes one request and not all, and goes to who came first.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from optunapi.api.serving.dispatch import Operation, ShortCut, in_thread, settled
from optunapi.api.serving.sampling_slots import Turns
from optunapi.api.serving.wakeups import Bell, watched
from optunapi.engine.catalog import Catalog
from optunapi.engine.state.feed import Feed, Listener
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import NoSlot, OptunAPIError

SHORTEST_SECONDS = 0.02  # between two tries that no change was the reason of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request for trials: where it finds its study, how that hands them out, and how quickly."""

    name: str
    request: AskRequest
    find: Callable[[], Study]
    hand_out: Operation[list[TrialView]]
    short_cut: ShortCut | None = None

    @property
    def line(self) -> tuple[str, bool]:
        """The line it stands in. One with parameters of its own needs a new place; whoever is served
        by any trial must not wait behind it.
        """
        return self.name, bool(self.request.params)

    @property
    def can_be_repeated(self) -> bool:
        """Whether the same client can ask for the same trials again, should it not hear of them."""
        return self.request.resume or self.request.key is not None


class Waiting:
    """The lines of one server's studies. To be used on its event loop alone.

    Whatever samples takes one of its `turns`.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.turns = Turns()
        self._catalog = catalog
        self._lines: dict[tuple[str, bool], list[Bell]] = {}

    async def served(self, request: Request, ask: Ask, seconds: float) -> list[TrialView]:
        """The trials it gets within so many seconds.

        Raises: what the ask raises, at once unless it is NoSlot.
        """
        if not seconds:
            return await self._asked(ask, ask.hand_out)
        deadline = asyncio.get_running_loop().time() + seconds
        async with watched(request.receive) as leaving:
            try:
                views = await self._asked(ask, ask.hand_out)
            except NoSlot as refusal:
                views = await self._in_line(ask, deadline, leaving, refusal)
            if leaving.done() and not ask.can_be_repeated:
                await self._give_back(ask, views)
            return views

    async def _in_line(
        self,
        ask: Ask,
        deadline: float,
        leaving: "asyncio.Task[None]",
        refusal: NoSlot,
    ) -> list[TrialView]:
        bell = Bell()
        leaving.add_done_callback(lambda _: bell())
        line = self._lines.setdefault(ask.line, [])
        line.append(bell)
        try:
            while line[0] is not bell:
                bell.clear()
                if not await bell.wait(_left(deadline)) or leaving.done():
                    raise refusal
            return await self._at_the_head(ask, deadline, leaving, bell, refusal)
        finally:
            was_head = line[0] is bell
            line.remove(bell)
            if not line:
                del self._lines[ask.line]
            elif was_head:
                line[0]()

    async def _at_the_head(
        self,
        ask: Ask,
        deadline: float,
        leaving: "asyncio.Task[None]",
        bell: Bell,
        refusal: NoSlot,
    ) -> list[TrialView]:
        feed, stop = await self._listen(ask.name, bell)
        try:
            while True:
                bell.clear()  # before the study is looked at, so that no change is missed
                if leaving.done():
                    raise refusal
                due: float | None = None

                def hand_out(study: Study) -> tuple[list[TrialView], *tuple[Commit, ...]]:
                    nonlocal due
                    try:
                        return ask.hand_out(study)
                    except NoSlot:
                        due = study.due_in()
                        raise

                try:
                    return await self._asked(ask, hand_out)
                except NoSlot as again:
                    refusal = again
                left = _left(deadline)
                if feed.closed:
                    # The study was deleted and is there anew, or the server is about to stop.
                    stop()
                    feed, stop = await self._listen(ask.name, bell)
                    if feed.closed:
                        raise refusal
                    continue
                if left <= 0 or leaving.done():
                    raise refusal
                await bell.wait(left if due is None else min(left, max(due, SHORTEST_SECONDS)))
        finally:
            stop()

    async def _asked(self, ask: Ask, hand_out: Operation[list[TrialView]]) -> list[TrialView]:
        async with self.turns.unless(ask.short_cut, ask.name) as short_cut:
            return await settled(ask.find, hand_out, short_cut=short_cut)

    async def _listen(self, name: str, bell: Bell) -> tuple[Feed, Listener]:
        return await in_thread(lambda: (self._catalog.listen(name, bell),))

    async def _give_back(self, ask: Ask, views: list[TrialView]) -> None:
        try:
            await settled(ask.find, lambda study: (None, study.give_back(views)))
        except OptunAPIError as error:
            logger.warning("%s: a trial stays with a client that has gone: %s", ask.name, error)


def _left(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
