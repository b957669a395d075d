"""The end of a change's way to the database, awaited from threads and from asyncio alike."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from optunapi.errors import StorageUnavailable


class Commit:
    """Settled once: committed, or refused with the reason.

    Everything that goes to the database together shares one, so a group of units costs one wake-up
    per event loop, however many wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._refusal: StorageUnavailable | None = None
        self._waiting: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}

    def done(self) -> bool:
        """Whether it is settled, one way or the other."""
        return self._settled.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until settled, whatever the outcome; False when `timeout` seconds were not enough."""
        return self._settled.wait(timeout)

    def result(self, timeout: float | None = None) -> None:
        """Return when committed.

        Raises:
            StorageUnavailable: it was refused and has not happened (`Superseded`: try again).
            TimeoutError: it is not settled after `timeout` seconds.
        """
        if not self._settled.wait(timeout):
            raise TimeoutError(f"not committed within {timeout} s")
        if (refusal := self._refusal) is not None:
            # Raised once for each who waits: an exception object shared between threads would
            # collect the tracebacks of all.
            raise type(refusal)(refusal.detail, retry_after=refusal.retry_after)

    def __await__(self) -> Generator[Any, None, None]:
        """Like `result`, without holding a thread."""
        if (future := self._join(asyncio.get_running_loop())) is not None:
            yield from future
        self.result()

    def notify(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        """Have the loop call it once this is settled, whatever the outcome. From any thread."""
        with self._lock:
            if not self._settled.is_set():
                self._waiting.setdefault(loop, []).append(call)
                return
        _wake(loop, [call])

    def settle(self, refusal: StorageUnavailable | None = None) -> None:
        """Tell everyone who waits."""
        with self._lock:
            self._refusal = refusal
            self._settled.set()
            waiting, self._waiting = self._waiting, {}
        for loop, calls in waiting.items():
            _wake(loop, calls)

    def _join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None] | None:
        with self._lock:
            if self._settled.is_set():
                return None
            future = loop.create_future()
            self._waiting.setdefault(loop, []).append(partial(_resolve, future))
            return future


def committed() -> Commit:
    """A commit that has already happened."""
    commit = Commit()
    commit.settle()
    return commit


def _wake(loop: asyncio.AbstractEventLoop, calls: list[Callable[[], None]]) -> None:
    """Have the loop make all the calls, woken once."""

    def make() -> None:
        for call in calls:
            call()

    with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
        loop.call_soon_threadsafe(make)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():  # its task may have been cancelled
        future.set_result(None)
