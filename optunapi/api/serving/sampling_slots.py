"""Sampling slots: a limit to how many threads sample at once, so that other requests find one.

A request that samples holds a thread until its study's sampler is free. If such requests could take all
threads, tells and renewals would wait for them, and leases would expire that are renewed in time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

# Of the 40 threads that a server's requests share.
OF_A_STUDY = 16
OF_ALL = 32


class SamplingSlots:
    """The slots of one server, first come, first served. To be used on one event loop alone."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(OF_ALL)
        self._studies: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, study: str) -> AsyncIterator[None]:
        """Hold one of this study's slots while the block runs."""
        mine = self._studies.setdefault(study, asyncio.Semaphore(OF_A_STUDY))
        async with mine, self._all:
            yield
