"""Turns: requests that sample take the server's threads by turns, so that all others find one.

Whoever needs a study's sampler holds a thread until it is free. With as many asks at once as there are
threads, tells and renewals would wait for all of them, and leases run out that are renewed in time.
"""

from __future__ import annotations  # those of inner functions are made at every call otherwise

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from optunapi.api.serving.dispatch import Operation, Outcome, ShortCut, Value

# Of the 40 threads that a server's requests share.
OF_A_STUDY = 16
OF_ALL = 32


class Turns:
    """Who may sample now, first come, first served. To be used on one event loop alone."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(OF_ALL)
        self._studies: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, study: str) -> AsyncIterator[None]:
        """A turn of this study's, for the length of a block."""
        mine = self._studies.setdefault(study, asyncio.Semaphore(OF_A_STUDY))
        async with mine, self._all:
            yield

    @asynccontextmanager
    async def unless(self, short_cut: ShortCut | None, study: str) -> AsyncIterator[ShortCut]:
        """The short cut, which needs no turn; where it cannot be taken it waits for one of this study's.

        That is kept until the block ends.
        """
        async with AsyncExitStack() as turn:
            has_turn = False

            async def run(operation: Operation[Value]) -> Outcome[Value] | None:
                nonlocal has_turn
                found = None if short_cut is None else await short_cut(operation)
                if found is None and not has_turn:
                    await turn.enter_async_context(self.of(study))
                    has_turn = True
                return found

            yield run
