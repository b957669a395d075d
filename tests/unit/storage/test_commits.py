"""A waiting loop is notified of a commit once, on its own thread, whatever the outcome."""

import asyncio
import threading

import pytest

from optunapi.errors import StorageUnavailable
from optunapi.storage.commits import Commit, committed


@pytest.mark.parametrize("refusal", [None, StorageUnavailable("no", retry_after=1.0)])
def test_a_loop_makes_the_call_when_the_commit_is_resolved(
    refusal: StorageUnavailable | None,
) -> None:
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


def test_a_loop_makes_the_call_also_for_a_commit_that_is_resolved_already() -> None:
    async def run() -> None:
        called = asyncio.Event()
        committed().notify(asyncio.get_running_loop(), called.set)
        assert not called.is_set()  # the loop makes the call, not `notify`
        async with asyncio.timeout(30):
            await called.wait()

    asyncio.run(run())


def test_a_closed_loop_does_not_keep_others_from_being_notified() -> None:
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
