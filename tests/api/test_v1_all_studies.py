"""The trials of all studies in one list."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.api.wire import SPACE, Wire, wire_of


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
    (tmp_path / "config" / "e.yaml").write_text("parameters: [")
    with wire_of(tmp_path) as wire:
        assert {study for study, _ in listed(wire)} == {"a", "c"}
        shown = {each["name"]: each for each in wire.ok("GET", "/studies")["items"]}
        assert shown["b"]["config_error"]
