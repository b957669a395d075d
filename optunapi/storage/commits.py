"""A commit as callers see it: awaited from threads and from asyncio alike."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from optunapi.errors import StorageUnavailable
from optunapi.storage.errors import copy_of


class Commit:
    """Resolved once: committed, or refused with the reason.

    Everything that goes to the database together shares one. So a group of units costs one wake-up per
    event loop, however many callers wait.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resolved = threading.Event()
        self._refusal: StorageUnavailable | None = None
        self._calls: list[Callable[[], None]] = []
        self._waiting: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}

    def wait(self) -> None:
        """Return when it is resolved, whatever the outcome."""
        self._resolved.wait()

    def result(self, timeout: float | None = None) -> None:
        """Return when committed.

        Raises:
            StorageUnavailable: it was refused and has not happened (`Superseded`: try again).
            TimeoutError: it is not resolved after `timeout` seconds.
        """
        if not self._resolved.wait(timeout):
            raise TimeoutError(f"not committed within {timeout} s")
        if self._refusal is not None:
            raise copy_of(self._refusal)

    def __await__(self) -> Generator[Any, None, None]:
        """Like `result`, without holding a thread."""
        if (future := self._join(asyncio.get_running_loop())) is not None:
            yield from future
        self.result()

    def notify(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        """Have the loop make the call when this is resolved, whatever the outcome. From any thread."""
        with self._lock:
            if not self._resolved.is_set():
                self._waiting.setdefault(loop, []).append(call)
                return
        _wake(loop, [call])

    def then(self, call: Callable[[], None]) -> None:
        """Make the call once this is committed, never if it is refused; in the thread that finds out."""
        with self._lock:
            if not self._resolved.is_set():
                self._calls.append(call)
                return
        if self._refusal is None:
            call()

    def resolve(self, refusal: StorageUnavailable | None = None) -> None:
        """Notify every waiting thread and event loop."""
        with self._lock:
            self._refusal = refusal
            self._resolved.set()
            waiting, self._waiting = self._waiting, {}
            calls, self._calls = self._calls, []
        if refusal is None:
            for call in calls:
                call()
        for loop, calls in waiting.items():
            _wake(loop, calls)

    def _join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None] | None:
        with self._lock:
            if self._resolved.is_set():
                return None
            future = loop.create_future()
            self._waiting.setdefault(loop, []).append(partial(_end, future))
            return future


def committed() -> Commit:
    """A commit that has already happened."""
    commit = Commit()
    commit.resolve()
    return commit


def _wake(loop: asyncio.AbstractEventLoop, calls: list[Callable[[], None]]) -> None:
    """Have the loop make all the calls, woken once."""

    def make() -> None:
        for call in calls:
            call()

    with suppress(RuntimeError):  # the loop is closed: nothing waits there any more
        loop.call_soon_threadsafe(make)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():  # its task may have been cancelled
        future.set_result(None)
