"""Who waits for a commit hears of it once, on its own loop, whatever the outcome."""

import asyncio
import threading

import pytest

from optunapi.errors import StorageUnavailable
from optunapi.storage.commits import Commit, committed


@pytest.mark.parametrize("refusal", [None, StorageUnavailable("no", retry_after=1.0)])
def test_a_loop_calls_when_it_is_resolved(refusal: StorageUnavailable | None) -> None:
    async def run() -> None:
        commit, called = Commit(), asyncio.Event()
        loop = asyncio.get_running_loop()
        on: list[int] = []

        def call() -> None:
            on.append(threading.get_ident())
            called.set()

        asking = threading.Thread(target=commit.notify, args=(loop, call))
        asking.start()
        asking.join()
        await asyncio.sleep(0)
        assert not on
        resolving = threading.Thread(target=commit.resolve, args=(refusal,))
        resolving.start()
        async with asyncio.timeout(30):
            await called.wait()
        resolving.join()
        assert on == [threading.get_ident()]

    asyncio.run(run())


def test_a_loop_calls_at_once_where_it_is_resolved_already() -> None:
    async def run() -> None:
        called = asyncio.Event()
        committed().notify(asyncio.get_running_loop(), called.set)
        assert not called.is_set()  # it is the loop that calls
        async with asyncio.timeout(30):
            await called.wait()

    asyncio.run(run())


def test_a_loop_that_is_closed_hinders_nobody_else() -> None:
    async def run() -> None:
        commit, called = Commit(), asyncio.Event()
        closed = asyncio.new_event_loop()
        closed.close()
        commit.notify(closed, called.set)
        commit.notify(asyncio.get_running_loop(), called.set)
        commit.resolve()
        async with asyncio.timeout(30):
            await called.wait()
        committed().notify(closed, called.set)

    asyncio.run(run())
