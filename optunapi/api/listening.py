"""Between the engine's threads and a request that waits on the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import Receive


class Bell:
    """Rung from any thread; one task of the event loop where it was made waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._is_ringing = False

    def __call__(self) -> None:
        """Ring. Many times before the task looks cost no more than once."""
        if not self._is_ringing:
            self._is_ringing = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self._rung.set)

    def clear(self) -> None:
        """From now on `wait` waits for another ring; what it was about is looked at after this."""
        self._is_ringing = False
        self._rung.clear()

    async def wait(self, seconds: float) -> bool:
        """Return when it rings, or rang since `clear`; False if it did not for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
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
