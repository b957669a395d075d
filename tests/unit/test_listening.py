"""Wakeups: called in any thread, waited for on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

from optunapi.api.serving.wakeups import Wakeup

Ts = TypeVarTuple("Ts")


class Loop(asyncio.SelectorEventLoop):
    """Counts how often it was woken from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def elsewhere(*wakeups: Wakeup) -> None:
    """Call them in another thread, while the loop does nothing."""

    def call() -> None:
        for wakeup in wakeups:
            wakeup()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_many_wakeups_called_together_all_arrive_and_wake_the_loop_once() -> None:
    async def run() -> None:
        wakeups = [Wakeup() for _ in range(100)]
        for turn in (1, 2):
            elsewhere(*wakeups, *wakeups)
            assert all(await asyncio.gather(*(wakeup.wait(30) for wakeup in wakeups)))
            assert loop.wakes == turn
            for wakeup in wakeups:
                wakeup.clear()
        assert not await wakeups[0].wait(0.001)

    loop = Loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_wakeup_called_before_it_is_waited_for_arrives() -> None:
    async def run() -> None:
        wakeup = Wakeup()
        elsewhere(wakeup)
        assert await wakeup.wait(30)

    asyncio.run(run())


def test_a_wakeup_whose_loop_has_ended_does_nothing() -> None:
    async def run() -> Wakeup:
        return Wakeup()

    elsewhere(asyncio.run(run()))
