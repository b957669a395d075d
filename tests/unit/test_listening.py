"""Bells: rung in any thread, heard on the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

from optunapi.api.serving.wakeups import Bell

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


def elsewhere(*bells: Bell) -> None:
    """Ring them in another thread, while the loop does nothing."""

    def ring() -> None:
        for bell in bells:
            bell()

    thread = threading.Thread(target=ring)
    thread.start()
    thread.join()


def test_many_bells_rung_together_are_all_heard_and_wake_the_loop_once() -> None:
    async def run() -> None:
        bells = [Bell() for _ in range(100)]
        for turn in (1, 2):
            elsewhere(*bells, *bells)
            assert all(await asyncio.gather(*(bell.wait(30) for bell in bells)))
            assert loop.wakes == turn
            for bell in bells:
                bell.clear()
        assert not await bells[0].wait(0.001)

    loop = Loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_bell_rung_before_it_is_waited_for_is_heard() -> None:
    async def run() -> None:
        bell = Bell()
        elsewhere(bell)
        assert await bell.wait(30)

    asyncio.run(run())


def test_a_bell_whose_loop_has_ended_harms_nobody() -> None:
    async def run() -> Bell:
        return Bell()

    elsewhere(asyncio.run(run()))
