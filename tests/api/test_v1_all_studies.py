"""The trials of all studies in one list, and their events in one stream."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import serving_app
from tests.api.test_v1_events import Event, Stream
from tests.api.wire import SPACE, V1, Wire, wire_of
from tests.support import until, write_config
from tests.unit.engine.support import Caller


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with wire_of(tmp_path) as wire:
        yield wire


def listed(wire: Wire, query: str = "") -> list[tuple[str, int]]:
    return [places(each) for each in pages(wire, query)]


def places(trial: Any) -> tuple[str, int]:
    return trial["study"], trial["number"]


def pages(wire: Wire, query: str = "", limit: int = 2) -> list[Any]:
    """The trials of all pages, each of which is full up to the last one."""
    found = wire.ok("GET", f"/trials?limit={limit}&{query}")
    trials = list(found["items"])
    while found["next"] is not None:
        assert len(found["items"]) == limit
        found = wire.ok("GET", f"/trials?limit={limit}&page={found['next']}&{query}")
        trials += found["items"]
    return trials


def fill(wire: Wire, study: str) -> None:
    """Trial 0 complete, 1 failed, 2 and 3 running by two workers, 4 waiting."""
    wire.ok("PUT", f"/studies/{study}", json=SPACE)
    for worker in ("a", "a", "a", "b"):
        wire.ask(study, worker=worker)
    wire.tell(study, 0, value=1)
    wire.tell(study, 1, state="fail")
    wire.ok("POST", f"/studies/{study}/queue", json={"params": {"n": 3}})


def test_the_open_trials_of_all_studies_are_listed_by_study_and_number(wire: Wire) -> None:
    assert wire.ok("GET", "/trials") == {"items": [], "next": None}
    wire.configure("x: {type: float, low: 0, high: 1}")
    for study in ("b", "a", "c"):
        fill(wire, study)
    assert listed(wire) == [(study, number) for study in "abc" for number in (2, 3, 4)]
    assert pages(wire)[3] == wire.trial("b", 2)


def test_a_state_and_a_worker_select_trials_of_all_studies(wire: Wire) -> None:
    fill(wire, "a")
    fill(wire, "b")
    for state, numbers in {"complete": [0], "fail": [1], "running": [2, 3], "waiting": [4]}.items():
        expected = [(study, number) for study in "ab" for number in numbers]
        assert listed(wire, f"state={state}") == expected
    assert listed(wire, "state=pruned") == []
    assert listed(wire, "worker=a") == [("a", 2), ("b", 2)]
    assert listed(wire, "worker=a&state=complete") == [("a", 0), ("b", 0)]
    wire.refused("GET", "/trials?state=open", 422, "request-invalid")
    wire.refused("GET", "/trials?order=value", 422, "request-invalid")


def test_the_next_page_repeats_and_skips_nothing_while_studies_change(wire: Wire) -> None:
    for study in ("a", "b", "c"):
        fill(wire, study)
    first = wire.ok("GET", "/trials?limit=4")
    assert list(map(places, first["items"])) == [("a", 2), ("a", 3), ("a", 4), ("b", 2)]
    wire.tell("b", 2, value=1)
    wire.tell("b", 3, value=1)
    wire.ask("a", worker="c")
    fill(wire, "ab")
    assert wire.request("DELETE", "/studies/c?force=true").status_code == 204
    second = wire.ok("GET", f"/trials?limit=4&page={first['next']}")
    assert list(map(places, second["items"])) == [("b", 4)]


def test_a_study_made_anew_between_two_pages_is_listed_from_its_first_trial(wire: Wire) -> None:
    fill(wire, "a")
    first = wire.ok("GET", "/trials?limit=2")
    assert wire.request("DELETE", "/studies/a?force=true").status_code == 204
    wire.ok("PUT", "/studies/a", json=SPACE)
    wire.ask("a")
    second = wire.ok("GET", f"/trials?page={first['next']}")
    assert list(map(places, second["items"])) == [("a", 0)]


def test_a_page_token_is_of_this_list_and_its_filters(wire: Wire) -> None:
    fill(wire, "a")
    token = wire.ok("GET", "/trials?limit=1")["next"]
    for query in ("state=running&", "worker=a&"):
        wire.refused("GET", f"/trials?{query}page={token}", 422, "request-invalid")
    wire.refused("GET", f"/studies/a/trials?page={token}", 422, "request-invalid")
    other = wire.ok("GET", "/studies/a/trials?limit=1")["next"]
    wire.refused("GET", f"/trials?page={other}", 422, "request-invalid")


def test_a_study_that_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        for study in ("a", "b", "c"):
            fill(wire, study)
    with closing(sqlite3.connect(tmp_path / "db" / "b.db")) as database:
        database.execute("DROP TABLE trial_params")
    (tmp_path / "db" / "d.db").write_bytes(b"this is no database" * 100)
    write_config(tmp_path / "config" / "e.yaml", "parameters: [")
    with wire_of(tmp_path) as wire:
        assert {study for study, _ in listed(wire)} == {"a", "c"}
        shown = {each["name"]: each for each in wire.ok("GET", "/studies")["items"]}
        assert shown["b"]["config_error"]


# Events


@contextmanager
def follow(wire: Wire, last: Any = None) -> Iterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with wire.client.stream("GET", f"{V1}/events", headers=headers, timeout=30) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        stream = Stream(response)
        assert next(stream.lines).startswith(":")
        yield stream


def brief(event: Event) -> tuple[str, str, Any]:
    """An event's kind, its study, and a trial's number or whether the study is deleted."""
    return event.kind, event.data["study"], event.data.get("number", event.data.get("deleted"))


def test_the_events_of_all_studies_are_one_stream(wire: Wire) -> None:
    for study in ("a", "b"):
        wire.ok("PUT", f"/studies/{study}", json=SPACE)
    with follow(wire) as stream:
        asked = [wire.ask("b"), wire.ask("a"), wire.ask("b")]
        told = wire.tell("a", 0, value=1)
        paused = wire.ok("PATCH", "/studies/b", json={"state": "paused"})
        events = [stream.next() for _ in range(5)]
    assert [event.kind for event in events] == ["trial"] * 4 + ["study"]
    assert [event.data for event in events[:4]] == [*asked, told]
    assert events[4].data == {"study": "b", "deleted": False, **paused}
    ids = [event.id for event in events]
    assert ids == list(range(ids[0], ids[0] + 5))


def test_studies_that_are_created_and_deleted_later_are_in_the_stream(wire: Wire) -> None:
    with follow(wire) as stream:
        created = wire.ok("PUT", "/studies/a", json=SPACE)
        wire.ask("a")
        configured = wire.configure("x: {type: float, low: 0, high: 1}")
        wire.ask(configured)
        wire.ok("POST", "/studies/a/fork", json={"name": "b"})
        assert wire.request("DELETE", "/studies/a?force=true").status_code == 204
        wire.ok("PUT", "/studies/a", json=SPACE)
        events = [stream.next() for _ in range(7)]
    assert list(map(brief, events)) == [
        ("study", "a", False),
        ("trial", "a", 0),
        ("study", configured, False),
        ("trial", configured, 0),
        ("study", "b", False),
        ("study", "a", True),
        ("study", "a", False),
    ]
    assert events[0].data.items() >= created.items()
    assert events[0].data["uid"] == events[5].data["uid"] != events[6].data["uid"]


def test_a_study_that_is_opened_later_is_in_the_stream(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        fill(wire, "a")
    with wire_of(tmp_path) as wire, follow(wire) as stream:
        assert wire.tell("a", 2, value=1)["state"] == "complete"
        assert brief(stream.next()) == ("trial", "a", 2)


def test_the_stream_goes_on_behind_the_last_event_seen(wire: Wire) -> None:
    for study in ("a", "b"):
        wire.ok("PUT", f"/studies/{study}", json=SPACE)
    with follow(wire) as stream:
        for study in ("a", "b", "a"):
            wire.ask(study)
        events = [stream.next() for _ in range(3)]
    wire.tell("b", 0, value=1)
    for number, event in enumerate(events):
        with follow(wire, event.id) as stream:
            assert [stream.next() for _ in events[number + 1 :]] == events[number + 1 :]
            assert brief(stream.next()) == ("trial", "b", 0)


@pytest.mark.parametrize("last", ["0", "7" * 16, "x"])
def test_an_unknown_id_gets_a_reset_and_then_what_comes(wire: Wire, last: str) -> None:
    wire.ok("PUT", "/studies/a", json=SPACE)
    with follow(wire, last) as stream:
        reset = stream.next()
        assert (reset.kind, reset.data) == ("reset", {})
        wire.ask("a")
        assert brief(stream.next()) == ("trial", "a", 0)
    with follow(wire, reset.id) as stream:
        assert brief(stream.next()) == ("trial", "a", 0)


def test_an_id_from_before_a_restart_gets_a_reset(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        wire.ok("PUT", "/studies/a", json=SPACE)
        with follow(wire) as stream:
            wire.ask("a")
            event = stream.next()
    with wire_of(tmp_path) as wire, follow(wire, event.id) as stream:
        reset = stream.next()
        assert reset.kind == "reset"
        assert reset.id > event.id


def test_a_study_whose_database_is_locked_holds_up_its_own_events_alone(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    app = create_app(Settings(home=tmp_path))
    with serving_app(app) as client:
        wire = Wire(client=client, home=tmp_path)
        for study in ("a", "b"):
            wire.ok("PUT", f"/studies/{study}", json=SPACE)
            wire.ask(study)
        with (
            follow(wire) as stream,
            closing(sqlite3.connect(tmp_path / "db" / "a.db", isolation_level=None)) as other,
        ):
            feed, _ = app.state.catalog.listen("a", lambda: None, keep_events=True)
            last = feed.last_id
            other.execute("BEGIN IMMEDIATE")
            telling = Caller(lambda: wire.tell("a", 0, value=1))
            until(lambda: feed.last_id > last)
            wire.tell("b", 0, value=1)
            assert brief(stream.next()) == ("trial", "b", 0)
            assert telling.is_alive()
            other.execute("ROLLBACK")
            telling.outcome()
            assert brief(stream.next()) == ("trial", "a", 0)


def test_what_the_disk_refuses_is_not_sent_and_the_study_is_to_be_listed_again(wire: Wire) -> None:
    wire.ok("PUT", "/studies/a", json=SPACE)
    with (
        follow(wire) as stream,
        closing(sqlite3.connect(wire.home / "db" / "a.db", isolation_level=None)) as other,
    ):
        other.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON trials BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        wire.refused("POST", "/studies/a/trials", 503, "storage-unavailable")
        other.execute("DROP TRIGGER broken")
        until(lambda: wire.request("GET", "/studies/a").status_code == 200)
        wire.ask("a")
        events = [stream.next(), stream.next()]
    assert [brief(event) for event in events] == [("reset", "a", None), ("trial", "a", 0)]


def test_a_study_that_cannot_be_opened_does_not_break_the_stream(wire: Wire) -> None:
    (wire.home / "db").mkdir(exist_ok=True)
    (wire.home / "db" / "broken.db").write_bytes(b"this is no database" * 100)
    write_config(wire.home / "config" / "wrong.yaml", "parameters: [")
    wire.ok("PUT", "/studies/a", json=SPACE)
    with follow(wire) as stream:
        assert not wire.request("GET", "/studies/broken").is_success
        assert not wire.request("GET", "/studies/wrong").is_success
        wire.ask("a")
        assert brief(stream.next()) == ("trial", "a", 0)
