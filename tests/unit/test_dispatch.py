"""Where the dispatch runs the operations of handlers, and what the asks of one group share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident
from typing import NoReturn

import pytest

from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest
from tests.unit.engine.support import Clock
from tests.unit.support import NAME, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, Clock())
    server.put()
    server.ask()
    yield server
    server.catalog.close()


def thread_of(study: Study) -> tuple[int, Commit]:
    return get_ident(), study.committed()


def test_an_operation_on_one_trial_runs_on_the_event_loop(server: Server) -> None:
    async def run() -> None:
        assert await server.dispatch.read(NAME, thread_of) == get_ident()
        assert await server.dispatch.change(NAME, thread_of) == get_ident()

    asyncio.run(run())


def test_an_operation_that_looks_at_every_trial_leaves_the_event_loop_free(server: Server) -> None:
    async def run() -> None:
        assert await server.dispatch.read(NAME, thread_of, scans=True) != get_ident()
        assert await server.dispatch.change(NAME, thread_of, scans=True) != get_ident()
        assert await server.dispatch.read(NAME, thread_of, absent=0) != get_ident()
        assert await server.dispatch.sample(NAME, thread_of) != get_ident()

    asyncio.run(run())


def test_asks_that_come_together_share_a_thread_but_not_an_exception(server: Server) -> None:
    def fail(_: Study) -> NoReturn:
        raise RuntimeError("a bug of this request")

    def number(study: Study) -> tuple[int, Commit]:
        view, commit = study.ask(AskRequest())
        return view.trial.number, commit

    async def run() -> None:
        asks = [server.dispatch.ask(NAME, each) for each in (number, fail, number, thread_of)]
        first, error, second, thread = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(error, RuntimeError)
        assert (first, second) == (1, 2)
        assert thread != get_ident()

    asyncio.run(run())
