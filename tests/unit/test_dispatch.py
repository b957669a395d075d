"""Where the dispatch runs the operations of handlers, and what the asks of one group share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident
from typing import NoReturn

import pytest

from optunapi.api.serving.operations import Outcome, Refusal, settled
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest
from optunapi.errors import StudyPaused
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


def test_a_refusal_that_rested_on_a_change_which_was_refused_itself_is_tried_again(
    server: Server,
) -> None:
    attempts = 0

    async def attempt() -> Outcome[str]:
        nonlocal attempts
        attempts += 1
        study = server.study
        if attempts > 1:
            return "open", study.committed()
        # The study was read again since this refusal: memory had shown what was never committed.
        reloads = study.reloads() - 1
        return Refusal(study, reloads, StudyPaused("the study is paused")), study.committed()

    assert asyncio.run(settled(attempt)) == "open"


def test_a_refusal_that_is_still_true_is_raised(server: Server) -> None:
    async def attempt() -> Outcome[str]:
        study = server.study
        refusal = Refusal(study, study.reloads(), StudyPaused("the study is paused"))
        return refusal, study.committed()

    with pytest.raises(StudyPaused):
        asyncio.run(settled(attempt))
