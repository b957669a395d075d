"""Wakeups: how the engine's threads wake a request that waits on the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

from starlette.types import Receive


class _LoopWakeups:
    """The wakeups of one event loop that are due: the loop itself is woken once for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: list[Wakeup] = []

    def add(self, wakeup: "Wakeup", loop: asyncio.AbstractEventLoop) -> None:
        """Set its event on the loop soon."""
        with self._lock:
            self._due.append(wakeup)
            is_first = len(self._due) == 1
        if is_first:
            with suppress(RuntimeError):  # the loop is closed: nothing waits there any more
                loop.call_soon_threadsafe(self._set_all)

    def _set_all(self) -> None:
        with self._lock:
            due, self._due = self._due, []
        for wakeup in due:
            wakeup.event.set()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopWakeups] = WeakKeyDictionary()


class Wakeup:
    """Called from any thread; a task of the event loop that made it waits for the call."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._of_loop = _of_loops.setdefault(self._loop, _LoopWakeups())
        self._is_due = False

    def __call__(self) -> None:
        """Wake the task. Many calls before it looks cost no more than one."""
        if not self._is_due:
            self._is_due = True
            self._of_loop.add(self, self._loop)

    def clear(self) -> None:
        """Forget earlier calls. Look at what may have changed after this, not before."""
        self._is_due = False
        self.event.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait for a call since `clear`; False if there was none within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.event.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator["asyncio.Task[None]"]:
    """A task that is done when the client has gone; it ends with the block. The body must be read."""
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
