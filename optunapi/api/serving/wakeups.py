"""Between the engine's threads and a request that waits on the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from starlette.types import Receive


class _Belfry:
    """The bells of one event loop: however many are rung in a thread, the loop is woken once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[Bell] = []

    def ring(self, bell: "Bell", loop: asyncio.AbstractEventLoop) -> None:
        """Ring it soon, in its loop."""
        with self._lock:
            self._due.append(bell)
            is_first = len(self._due) == 1
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(self._ring_all)

    def _ring_all(self) -> None:
        with self._lock:
            due, self._due = self._due, []
        for bell in due:
            bell.rung.set()


_belfries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Belfry] = WeakKeyDictionary()


class Bell:
    """Rung from any thread; one task of the event loop where it was made waits for it."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._belfry = _belfries.setdefault(self._loop, _Belfry())
        self._is_ringing = False

    def __call__(self) -> None:
        """Ring. Many times before the task looks cost no more than once."""
        if not self._is_ringing:
            self._is_ringing = True
            self._belfry.ring(self, self._loop)

    def clear(self) -> None:
        """From now on `wait` waits for another ring; what it was about is looked at after this."""
        self._is_ringing = False
        self.rung.clear()

    async def wait(self, seconds: float) -> bool:
        """Return when it rings, or rang since `clear`; False if it did not for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.rung.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator["asyncio.Task[None]"]:
    """A task that ends when the client has gone, for the length of a block. The body must be read."""
    leaving = asyncio.create_task(_until_gone(receive))
    try:
        yield leaving
    finally:
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
