"""Server-sent events: a study followed over HTTP."""

import asyncio
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from optunapi.api.serving import event_stream
from optunapi.api.serving.connections import Connections
from optunapi.api.serving.event_stream import EventStream
from optunapi.api.serving.wakeups import Wakeup
from optunapi.app import create_app
from optunapi.engine.catalog import Catalog
from optunapi.engine.state import transitions
from optunapi.engine.state.feed import Feed, UnitCommit
from optunapi.settings import Settings
from tests.api.server import serving_app
from tests.api.wire import SPACE, V1, Wire, wire_of
from tests.support import Server, running_server, until
from tests.unit.engine.conftest import NewLife, clock, empty_database, new_life
from tests.unit.engine.support import Caller

__all__ = ["clock", "empty_database", "new_life"]  # fixtures


@dataclass(frozen=True, kw_only=True)
class Event:
    id: int
    kind: str
    data: Any


class Stream:
    """Parses an event stream line by line, as the standard defines."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.lines = response.iter_lines()

    def next(self) -> Event:
        fields: dict[str, str] = {}
        for line in self.lines:
            if line.startswith(":"):
                continue
            if not line:
                return Event(
                    id=int(fields["id"]), kind=fields["event"], data=json.loads(fields["data"])
                )
            name, _, value = line.partition(": ")
            assert name not in fields
            fields[name] = value
        raise EOFError

    def trials(self, number: int) -> list[tuple[int, str]]:
        events = [self.next() for _ in range(number)]
        assert {event.kind for event in events} == {"trial"}
        return [(event.data["number"], event.data["state"]) for event in events]


@contextmanager
def follow(wire: Wire, study: str, last: Any = None) -> Iterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    path = f"{V1}/studies/{study}/events"
    with wire.client.stream("GET", path, headers=headers, timeout=30) as response:
        assert response.status_code == 200
        yield Stream(response)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    home = tmp_path_factory.mktemp("events")
    (home / "config").mkdir()
    return create_app(Settings(home=home))


@pytest.fixture(scope="module")
def catalog(app: FastAPI) -> Catalog:
    found: Catalog = app.state.catalog
    return found


@pytest.fixture(scope="module")
def wire(app: FastAPI, catalog: Catalog) -> Iterator[Wire]:
    """A server whose listeners a test can count."""
    with serving_app(app) as client:
        yield Wire(client=client, home=catalog._configs.folder.parent)


@pytest.fixture
def study(wire: Wire) -> str:
    return wire.put()


def feed_of(catalog: Catalog, study: str) -> Feed:
    found = catalog.find(study)
    assert found is not None
    return found.feed


def test_changes_of_trials_are_shown_in_order_as_they_became(wire: Wire, study: str) -> None:
    with follow(wire, study) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.response.headers["Cache-Control"] == "no-store"
        asked = wire.ask(study, worker="w", lease_seconds=60)
        lease = asked["lease"]["id"]
        report = {"step": 1, "value": 0.5, "lease": lease}
        wire.ok("POST", f"/studies/{study}/trials/0/report", json=report)
        told = wire.tell(study, 0, value=1, user_attrs={"two": "lines\nof\r text\u2028"})
        first, second, third = stream.next(), stream.next(), stream.next()
    assert (first.kind, first.data) == ("trial", asked)
    assert second.data["intermediate_values"] == {"1": 0.5}
    assert third.data == told
    assert first.id < second.id < third.id


def test_a_change_of_the_study_shows_the_study(wire: Wire) -> None:
    study = wire.put(max_trials=1)
    with follow(wire, study) as stream:
        paused = wire.ok("PATCH", f"/studies/{study}", json={"state": "paused"})
        event = stream.next()
        assert (event.kind, event.data) == ("study", paused)
        opened = wire.ok("PATCH", f"/studies/{study}", json={"state": "open"})
        assert stream.next().data == opened
        wire.ask(study, lease_seconds=60)
        wire.tell(study, 0, value=1)
        assert stream.trials(2) == [(0, "running"), (0, "complete")]
        event = stream.next()
        assert (event.kind, event.data["finished_reason"]) == ("study", "max_trials")


def test_it_goes_on_behind_the_last_event_seen(wire: Wire, study: str) -> None:
    with follow(wire, study) as stream:
        for _ in range(3):
            wire.ask(study)
        events = [stream.next() for _ in range(3)]
    wire.tell(study, 0, value=1)
    for number, event in enumerate(events):
        with follow(wire, study, event.id) as stream:
            again = [stream.next() for _ in events[number + 1 :]]
            assert again == events[number + 1 :]
            assert stream.trials(1) == [(0, "complete")]
    with follow(wire, study, event.id + 1) as stream:
        wire.tell(study, 1, value=1)
        assert stream.trials(1) == [(1, "complete")]


@pytest.mark.parametrize("last", ["0", "1", "7" * 16, "x", "-1", "9" * 100, "1.5"])
def test_an_unknown_id_gets_a_reset_and_then_what_comes(wire: Wire, study: str, last: str) -> None:
    wire.ask(study)
    with follow(wire, study, last) as stream:
        reset = stream.next()
        assert (reset.kind, reset.data) == ("reset", {})
        wire.ask(study)
        assert stream.trials(1) == [(1, "running")]
    with follow(wire, study, reset.id) as stream:
        assert stream.trials(1) == [(1, "running")]


def test_an_id_from_before_a_restart_gets_a_reset(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        assert wire.request("PUT", "/studies/s", json=SPACE).status_code == 201
        with follow(wire, "s") as stream:
            wire.ask("s")
            event = stream.next()
    with wire_of(tmp_path) as wire, follow(wire, "s", event.id) as stream:
        reset = stream.next()
        assert reset.kind == "reset"
        assert reset.id > event.id
        wire.tell("s", 0, value=1)
        assert stream.trials(1) == [(0, "complete")]


def test_a_study_never_asked_from_is_followed_and_not_made(wire: Wire) -> None:
    study = wire.configure("x: {type: float, low: 0, high: 1}")
    with wire.unchanged(), follow(wire, study):
        pass
    with follow(wire, study) as stream:
        wire.ask(study)
        kinds = [stream.next().kind]
        while kinds[-1] != "trial":
            kinds.append(stream.next().kind)
        assert wire.study(study)["trials"]["running"] == 1


def test_what_is_refused_is_not_shown(wire: Wire) -> None:
    study = wire.put(max_running=1)
    with follow(wire, study) as stream:
        wire.ask(study)
        wire.refused("POST", f"/studies/{study}/trials", 429, "no-slot")
        wire.refused("POST", f"/studies/{study}/trials/0/tell", 422, "value-invalid", json={})
        wire.refused("DELETE", f"/studies/{study}", 409, "study-busy")
        wire.tell(study, 0, value=1)
        assert stream.trials(2) == [(0, "running"), (0, "complete")]


def test_nothing_is_sent_before_it_is_committed(wire: Wire, catalog: Catalog, study: str) -> None:
    wire.ask(study)
    database = wire.home / "db" / f"{study}.db"
    with (
        follow(wire, study) as stream,
        closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as other,
    ):
        feed = feed_of(catalog, study)
        last = feed.last_id
        other.execute("BEGIN IMMEDIATE")
        telling = Caller(lambda: wire.tell(study, 0, value=1))
        until(lambda: feed.last_id > last)
        with pytest.raises(httpx.ReadTimeout):
            follow_for(wire, study, last, 0.3)
        assert telling.is_alive()
        other.execute("ROLLBACK")
        telling.outcome()
        assert stream.trials(1) == [(0, "complete")]


def test_what_the_disk_refuses_is_not_sent_and_everybody_is_to_list_again(
    wire: Wire, study: str
) -> None:
    database = wire.home / "db" / f"{study}.db"
    with (
        follow(wire, study) as stream,
        closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as other,
    ):
        other.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON trials BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        wire.refused("POST", f"/studies/{study}/trials", 503, "storage-unavailable")
        other.execute("DROP TRIGGER broken")
        assert stream.next().kind == "reset"
        until(lambda: wire.request("GET", f"/studies/{study}").status_code == 200)
        assert wire.ask(study)["number"] == 0
        assert stream.trials(1) == [(0, "running")]


def follow_for(wire: Wire, study: str, last: int, seconds: float) -> None:
    """Read events until none comes for `seconds`."""
    path, headers = f"{V1}/studies/{study}/events", {"Last-Event-ID": str(last)}
    with wire.client.stream("GET", path, headers=headers, timeout=seconds) as response:
        raise AssertionError(Stream(response).next())


def test_an_unknown_study_is_refused(wire: Wire) -> None:
    wire.refused("GET", "/studies/none/events", 404, "study-not-found")
    wire.refused("GET", "/studies/-/events", 422, "name-invalid")
    wire.refused(
        "GET",
        f"/studies/{wire.put()}/events",
        422,
        "request-invalid",
        headers={"Last-Event-ID": "1" * 300},
    )


# The end


def test_a_quiet_stream_says_that_it_is_there(
    wire: Wire, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.05)
    with follow(wire, study) as stream:
        for _ in range(5):
            assert next(stream.lines).startswith(":")
        wire.ask(study)
        assert stream.trials(1) == [(0, "running")]


def test_a_disconnected_client_is_no_longer_notified(
    wire: Wire, catalog: Catalog, study: str
) -> None:
    with ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(follow(wire, study))
        assert len(feed_of(catalog, study)._listeners) == 3
    until(lambda: not feed_of(catalog, study).has_listeners)
    wire.ask(study)


def test_it_ends_when_the_study_is_deleted(wire: Wire, study: str) -> None:
    with follow(wire, study) as stream:
        wire.ask(study)
        assert wire.request("DELETE", f"/studies/{study}?force=true").status_code == 204
        assert stream.trials(1) == [(0, "running")]
        with pytest.raises(EOFError):
            stream.next()
    wire.refused("GET", f"/studies/{study}/events", 404, "study-not-found")


def test_many_followers_hold_no_thread_and_are_all_told(wire: Wire, study: str) -> None:
    with ExitStack() as clients:
        streams = [clients.enter_context(follow(wire, study)) for _ in range(60)]
        wire.ask(study)
        for stream in streams:
            assert stream.trials(1) == [(0, "running")]


@contextmanager
def unread(wire: Wire, path: str, method: str = "GET") -> Iterator[socket.socket]:
    """Yield the socket of a client that has sent a request and reads nothing by itself."""
    url = wire.client.base_url
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.host, url.port or 80))
        request = f"{method} {V1}{path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(request.encode())
        yield connection


def read_all(connection: socket.socket) -> bytes:
    connection.settimeout(30)
    chunks = [b""]
    with suppress(ConnectionResetError):
        while chunk := connection.recv(2**20):
            chunks.append(chunk)
    return b"".join(chunks)


def test_a_client_that_does_not_read_is_dropped(
    wire: Wire, catalog: Catalog, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.3)
    wire.ask(study)
    with unread(wire, f"/studies/{study}/events") as connection, follow(wire, study) as stream:
        until(lambda: len(feed_of(catalog, study)._listeners) == 2)
        for turn in range(40):
            big = {"user_attrs": {"a": f"{turn}" * 400_000}}
            wire.ok("PATCH", f"/studies/{study}/trials/0", json=big)
            stream.next()
            if len(feed_of(catalog, study)._listeners) == 1:
                break
        until(lambda: len(feed_of(catalog, study)._listeners) == 1)
        # The stream is cut off, and the unsent events are not kept for the client.
        assert not read_all(connection).endswith(b"\n\n\r\n")
        wire.tell(study, 0, value=1)
        assert stream.trials(1) == [(0, "complete")]


class Sends:
    """An ASGI server's side of a connection; sending blocks while `room` is not set."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        await self.room.wait()
        self.sent.append(message)

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


def test_a_client_that_falls_too_far_behind_is_dropped(new_life: NewLife) -> None:
    life = new_life()
    feed = Feed(kept=10)

    def happen(number: int) -> None:
        for _ in range(number):
            with life.state.unit() as unit:
                commit = UnitCommit(unit)
                feed.add([life.state.view(transitions.enqueue(life.state, {"x": 0.5}))], commit)
            commit.end()
        feed.notify()

    async def run() -> str:
        wakeup, sends = Wakeup(), Sends()
        feed.keep_events()
        stream = EventStream(
            feed, feed.listen(wakeup), wakeup, Connections(), last_id=None, resumes=False
        )
        task = asyncio.create_task(stream({"type": "http"}, sends.receive, sends.send))
        await asyncio.sleep(0)
        happen(5)
        sends.room.set()
        while "id: 5\n" not in sends.text:  # noqa: ASYNC110
            await asyncio.sleep(0)
        sends.room.clear()
        happen(1)
        while not wakeup.event.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        happen(20)
        sends.room.set()
        async with asyncio.timeout(30):
            await task
        assert not feed.has_listeners
        return sends.text

    text = asyncio.run(run())
    assert "id: 6\n" in text
    assert "id: 7\n" not in text
    assert "reset" not in text


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_stop_ends_streams_and_waiting_asks(
    tmp_path: Path, stop: signal.Signals
) -> None:
    (tmp_path / "config").mkdir()
    with ExitStack() as clients:
        server = clients.enter_context(running_server(tmp_path))
        wire = clients.enter_context(client_of(server, tmp_path))
        study = wire.put(max_running=1)
        wire.ask(study)
        asks = f"/studies/{study}/trials?wait=300"
        waiting = [clients.enter_context(unread(wire, asks, "POST")) for _ in range(15)]
        streams = [clients.enter_context(follow(wire, study)) for _ in range(15)]
        # Connections are accepted in order, so the asks sent before the streams are waiting now.
        wire.ok("PATCH", f"/studies/{study}/trials/0", json={"user_attrs": {"a": 1}})
        server.process.send_signal(stop)
        for stream in streams:
            assert stream.trials(1) == [(0, "running")]
            with pytest.raises(EOFError):
                stream.next()
        for connection in waiting:
            reply = read_all(connection)
            assert reply.startswith(b"HTTP/1.1 429")
            assert b'"code":"no-slot"' in reply
        server.process.wait(30)
        assert "Traceback" not in server.log.read_text()


def test_a_client_that_does_not_read_cannot_keep_a_server_from_stopping(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    with running_server(tmp_path) as server, client_of(server, tmp_path) as wire:
        study = wire.put()
        wire.ask(study)
        artifact = f"/studies/{study}/trials/0/artifacts/big"
        wire.ok("PUT", artifact, content=bytes(16 * 2**20))
        with unread(wire, artifact) as connection:
            assert connection.recv(8) == b"HTTP/1.1"
            server.process.terminate()
            server.process.wait(30)
    with wire_of(tmp_path) as wire:
        assert wire.tell(study, 0, value=1)["state"] == "complete"


@contextmanager
def client_of(server: Server, home: Path) -> Iterator[Wire]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield Wire(client=client, home=home)
