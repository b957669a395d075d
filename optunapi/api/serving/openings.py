"""Opening studies: once for all the requests that wait for it, and in threads that serve nothing else.

Opening waits for the disk, and for a lock that another process has on the study's file. Requests for one
such study must not use up the threads that all studies share.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from optunapi.engine.catalog import Catalog
from optunapi.errors import OptunAPIError, StorageClosed, StorageUnavailable, Superseded

THREADS = 64  # how many studies may be waited for at once
REMEMBERED_SECONDS = 1.0  # for which a study that could not be opened is not tried again


class Openings:
    """To be used on one event loop alone."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._running: dict[str, asyncio.Future[None]] = {}
        self._refused: dict[str, tuple[float, StorageUnavailable]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="opening")

    async def of(self, name: str) -> None:
        """Return when the study is open, or cannot be for a reason that its request will meet again.

        Raises:
            StorageUnavailable: its database cannot be opened now.
        """
        if self._catalog.served(name) is not None:
            return
        until, refusal = self._refused.get(name, (0.0, None))
        if refusal is not None:
            if time.monotonic() < until:
                raise refusal.again()
            del self._refused[name]
        running = self._running.get(name)
        if running is None:
            loop = asyncio.get_running_loop()
            running = self._running[name] = loop.run_in_executor(self._threads, self._open, name)
            running.add_done_callback(lambda done: self._end(name, done))
        # One client may give up. The others go on waiting for the same opening.
        await asyncio.shield(running)

    def _open(self, name: str) -> None:
        try:
            self._catalog.find(name)
        except (Superseded, StorageClosed):
            pass  # it may succeed if it is tried again, which the request does
        except StorageUnavailable:
            raise
        except OptunAPIError:
            pass  # there is no such study, or its configuration is not valid

    def _end(self, name: str, done: asyncio.Future[None]) -> None:
        del self._running[name]
        error = None if done.cancelled() else done.exception()
        if isinstance(error, StorageUnavailable):
            now = time.monotonic()
            self._refused = {n: each for n, each in self._refused.items() if each[0] > now}
            self._refused[name] = now + REMEMBERED_SECONDS, error
