"""Long poll, step by step: what wakes a waiting ask, and what happens when its client leaves."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fastapi import Request
from optuna.trial import TrialState
from starlette.types import Message

from optunapi.api.v1.trials import patience
from optunapi.engine.clock import Clock as MachineClock
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, StudyChange, TrialView
from optunapi.errors import NoSlot, StudyFinished, StudyNotFound, StudyPaused
from tests.support import write_config
from tests.unit.engine.support import Clock, Gate, Gated, done
from tests.unit.support import NAME, Server

LONG = 60.0  # never reached: the awaited event comes earlier, or the test fails
Result = TypeVar("Result")


class Client:
    """One request that waits for a trial, on the running event loop."""

    def __init__(self, server: Server, seconds: float = LONG, **fields: Any) -> None:
        self._server = server
        self._left = asyncio.Event()
        request = AskRequest(**fields)
        http = Request({"type": "http"}, self._receive)
        asking = server.dispatch.ask(
            NAME,
            lambda study: self._hand_out(study, request),
            params=request.params,
            patience=patience(http, request, seconds),
        )
        self.task = asyncio.ensure_future(asking)

    def _hand_out(self, study: Study, request: AskRequest) -> tuple[list[TrialView], Commit]:
        self._server.attempts += 1
        view, commit = study.ask(request)
        return [view], commit

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        self._left.set()

    async def trial(self) -> TrialView:
        (view,) = await asyncio.wait_for(self.task, LONG / 2)
        return view


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    server = Server(tmp_path, clock)
    yield server
    server.catalog.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; other tasks go on meanwhile."""
    async with asyncio.timeout(LONG / 2):
        while not condition():  # noqa: ASYNC110  # the state it checks has no event
            await asyncio.sleep(0)


async def waiting_clients(server: Server, number: int, **fields: Any) -> list[Client]:
    """Return `number` waiting clients, in the order in which they came."""
    clients = []
    for place in range(number):
        clients.append(Client(server, **fields))
        await until(lambda place=place: server.waiters() == place + 1)  # type: ignore[misc]
    return clients


async def settled_attempts(server: Server) -> int:
    """Wait until no more attempts are made, and return their number."""
    attempts = -1
    while attempts != server.attempts:
        attempts = server.attempts
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        done(server.study.view())
    return attempts


async def apart(call: Callable[[], Result]) -> Result:
    """Call it in another thread, as the server does."""
    return await asyncio.to_thread(call)


def test_a_free_slot_goes_to_the_client_that_came_first(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        held = server.ask().trial.number
        clients = await waiting_clients(server, 4)
        for place, client in enumerate(clients):
            assert server.waiters() == 4 - place
            await apart(lambda held=held: server.tell(held))  # type: ignore[misc]
            held = (await client.trial()).trial.number
            assert [other.task.done() for other in clients] == [True] * (place + 1) + [False] * (
                3 - place
            )
        assert not server.lines
        assert not server.study.feed.has_listeners

    asyncio.run(run())


def test_a_change_wakes_the_first_alone(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 20)
        before = await settled_attempts(server)
        await apart(lambda: server.study.set_user_attrs(0, {"a": 1})[1].result())
        assert await settled_attempts(server) == before + 1
        await apart(lambda: server.tell(0))
        await clients[0].trial()
        # One more attempt by the first client, and one by the second, which is first in line now.
        assert await settled_attempts(server) <= before + 1 + 3
        for client in clients:
            client.leave()
        await asyncio.gather(*(client.task for client in clients), return_exceptions=True)

    asyncio.run(run())


def test_many_places_at_once_go_to_as_many(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 5)
        await apart(lambda: server.study.change(StudyChange(limits={"max_running": 4})).result())
        numbers = [(await client.trial()).trial.number for client in clients[:3]]
        assert numbers == [1, 2, 3]
        await settled_attempts(server)
        assert server.waiters() == 2
        for client in clients[3:]:
            client.leave()
            with pytest.raises(NoSlot):
                await client.task

    asyncio.run(run())


def test_no_change_is_missed_between_looking_and_waiting(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        for _ in range(30):
            number = server.ask().trial.number
            client = Client(server)
            told = asyncio.create_task(apart(lambda n=number: server.tell(n)))  # type: ignore[misc]
            server.tell((await client.trial()).trial.number)
            await told

    asyncio.run(run())


@pytest.mark.parametrize("what", ["released", "failed", "expired"])
def test_a_trial_that_comes_back_is_handed_on(server: Server, clock: Clock, what: str) -> None:
    server.put(max_trials=1)

    async def run() -> None:
        lease = server.ask(worker="a", lease_seconds=30).lease
        assert lease is not None
        (client,) = await waiting_clients(server, 1, worker="b")
        if what == "released":
            await apart(lambda: done(server.study.release(0, lease.id)))
        elif what == "failed":
            await apart(lambda: done(server.study.cancel_all((TrialState.RUNNING,))))
        else:
            clock.pass_(31)
            await apart(server.study.apply_deadlines)  # as the sweep does
        view = await client.trial()
        assert view.trial.number == (1 if what == "failed" else 0)

    asyncio.run(run())


def test_the_first_asks_again_by_itself_when_a_lease_runs_out(tmp_path: Path) -> None:
    server = Server(tmp_path, MachineClock())
    server.put(max_trials=1)

    async def run() -> None:
        server.ask(worker="a", lease_seconds=0.3)
        (client,) = await waiting_clients(server, 1)
        view = await client.trial()  # this server has no sweep
        assert view.trial.number == 0

    try:
        asyncio.run(run())
    finally:
        server.catalog.close()


def test_who_needs_a_new_place_does_not_hold_up_who_takes_any_trial(
    server: Server, clock: Clock
) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask(lease_seconds=30)
        choosy = Client(server, params={"x": 0.5})
        await until(lambda: server.waiters(with_params=True) == 1)
        (client,) = await waiting_clients(server, 1)
        clock.pass_(31)
        await apart(server.study.apply_deadlines)
        assert (await client.trial()).trial.number == 0
        assert not choosy.task.done()
        await apart(lambda: server.tell(0))
        assert (await choosy.trial()).trial.params == {"x": 0.5}

    asyncio.run(run())


def test_time_that_is_up_gives_what_an_ask_gives(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = [Client(server, seconds) for seconds in (0.2, 0.1, 0.15)]
        for client in clients:
            with pytest.raises(NoSlot):
                await client.task
        assert not server.lines
        assert not server.study.feed.has_listeners

    asyncio.run(run())
    assert server.study.trial(0)[0].trial.number == 0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (StudyChange(state="paused"), StudyPaused),
        (StudyChange(state="finished"), StudyFinished),
    ],
)
def test_a_study_that_stops_answers_all_waiting_asks(
    server: Server, change: StudyChange, error: type[Exception]
) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 3)
        await apart(lambda: server.study.change(change).result())
        for client in [*clients, Client(server)]:
            with pytest.raises(error):
                await client.trial()

    asyncio.run(run())


def test_a_study_that_finishes_by_time_answers_who_waits(tmp_path: Path) -> None:
    server = Server(tmp_path, MachineClock())
    server.put(max_running=1, max_duration=0.3)

    async def run() -> None:
        server.ask()
        with pytest.raises(StudyFinished):
            await Client(server).trial()

    try:
        asyncio.run(run())
    finally:
        server.catalog.close()


def test_a_deleted_study_answers_who_waits(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 3)
        await apart(lambda: server.catalog.delete(NAME, force=True))
        for client in clients:
            with pytest.raises(StudyNotFound):
                await client.trial()

    asyncio.run(run())


def test_an_ask_waits_for_a_study_that_was_made_again(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        write_config(
            server.configs / f"{NAME}.yaml",
            "parameters: {x: {type: float, low: 0, high: 1}}\nmax_running: 1\n",
        )
        clients = await waiting_clients(server, 2)
        await settled_attempts(
            server
        )  # an ask at this very moment is refused: the study was deleted
        await apart(lambda: server.catalog.delete(NAME, force=True))
        assert (await clients[0].trial()).trial.number == 0
        await settled_attempts(server)
        assert not clients[1].task.done()
        await apart(lambda: server.tell(0))
        assert (await clients[1].trial()).trial.number == 1

    asyncio.run(run())


def test_who_goes_away_leaves_the_line(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 4)
        for place in (1, 0, 3):
            clients[place].leave()
            with pytest.raises(NoSlot):
                await clients[place].task
        assert server.waiters() == 1
        await apart(lambda: server.tell(0))
        assert (await clients[2].trial()).trial.number == 1
        assert server.study.view()[0].counts[TrialState.RUNNING] == 1

    asyncio.run(run())


SLOW = {"sampler": {"name": "nsga2"}}  # an Optuna sampler, which draws one at a time


def put_gate(server: Server) -> Gate:
    gate = Gate()
    sampling = server.study._sampling
    sampling.policy = replace(sampling.policy, sampler=Gated(gate, sampling.policy.sampler))
    return gate


async def reached(gate: Gate) -> None:
    assert await apart(lambda: gate.reached.acquire(timeout=30))


@pytest.mark.parametrize("waited", [False, True])
def test_a_trial_of_a_client_that_has_gone_is_put_back(server: Server, waited: bool) -> None:
    server.put(max_running=1, **SLOW)

    async def run() -> None:
        if waited:
            server.ask()
        gate = put_gate(server)
        client = Client(server, worker="gone", lease_seconds=600)
        if waited:
            await until(lambda: server.waiters() == 1)
            await apart(lambda: server.tell(0))
        await reached(gate)
        client.leave()
        await asyncio.sleep(0)
        gate.opened.release(1000)
        await asyncio.wait({client.task})
        number = int(waited)
        view = done(server.study.trial(number))
        assert (view.trial.state.name, view.lease) == ("WAITING", None)
        again = server.ask(worker="next")
        assert (again.trial.number, again.trial.params) == (number, view.trial.params)

    asyncio.run(run())


def test_the_line_goes_on_behind_a_client_that_has_gone_with_a_trial(server: Server) -> None:
    server.put(max_running=1, **SLOW)

    async def run() -> None:
        server.ask()
        gate = put_gate(server)
        gone, client = await waiting_clients(server, 2)
        await apart(lambda: server.tell(0))
        await reached(gate)
        gone.leave()
        gate.opened.release(1000)
        assert (await client.trial()).trial.number == 1
        await asyncio.wait({gone.task})

    asyncio.run(run())


@pytest.mark.parametrize("fields", [{"key": "k"}, {"worker": "w", "resume": True}])
def test_what_its_client_can_ask_for_again_stays_its(
    server: Server, fields: dict[str, Any]
) -> None:
    server.put(max_running=1, **SLOW)

    async def run() -> None:
        gate = put_gate(server)
        client = Client(server, lease_seconds=600, **fields)
        await reached(gate)
        client.leave()
        gate.opened.release(1000)
        await asyncio.wait({client.task})
        again = await Client(server, lease_seconds=600, **fields).trial()
        assert (again.trial.number, again.trial.state.name) == (0, "RUNNING")

    asyncio.run(run())


def test_waiting_holds_no_thread(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        before = threading.active_count()
        clients = await waiting_clients(server, 100)
        await settled_attempts(server)
        # Asks run in a pool of up to 40 threads; a hundred waiting asks would need more.
        assert threading.active_count() < before + 60
        for client in clients:
            client.leave()
        await asyncio.gather(*(client.task for client in clients), return_exceptions=True)

    asyncio.run(run())


def test_a_server_that_is_about_to_stop_lets_no_ask_wait(server: Server) -> None:
    server.put(max_running=1)

    async def run() -> None:
        server.ask()
        clients = await waiting_clients(server, 3)
        server.catalog.wind_down()
        for client in [*clients, Client(server)]:
            with pytest.raises(NoSlot):
                await client.trial()

    asyncio.run(run())
