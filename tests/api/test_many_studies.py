"""Any number of studies is served with a bounded number of open files, and none loses by that."""

import random
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from optunapi.engine.room import room_for_studies
from tests.api.wire import SPACE, Wire, wire_of
from tests.support import scaled

STUDIES = scaled(40, 2_000)
CLIENTS = 16


@contextmanager
def few_descriptors(soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many studies may be open."""
    monkeypatch.setattr("optunapi.engine.open_studies.room_for_studies", lambda: 5)
    return 5


def open_databases(wire: Wire) -> int:
    """Each open database has a lock file, besides the folder's."""
    return len(list((wire.home / "db").glob(".*.lock"))) - 1


@pytest.mark.parametrize(
    ("limit", "room"), [(64, 8), (256, 32), (1_024, 128), (65_536, 512), (-1, 512)]
)
def test_the_number_of_open_studies_follows_from_the_limit_of_descriptors(
    limit: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert room_for_studies() == room


def test_more_studies_than_may_be_open_are_asked_from_in_any_order(
    tmp_path: Path, room: int
) -> None:
    names = [f"s{number}" for number in range(STUDIES)]
    asked: dict[str, list[int]] = {name: [] for name in names}

    def work(seed: int) -> int:
        chance, most = random.Random(seed), 0
        for _ in range(3 * STUDIES // CLIENTS):
            name = chance.choice(names)
            trial = wire.ask(name, lease_seconds=600)
            asked[name].append(trial["number"])
            if chance.random() < 0.5:
                wire.tell(name, trial["number"], value=1, lease=trial["lease"]["id"])
            most = max(most, open_databases(wire))
        return most

    def check(wire: Wire) -> None:
        for name in names:
            trials = wire.ok("GET", f"/studies/{name}/trials?limit=1000")["items"]
            assert sorted(asked[name]) == sorted(trial["number"] for trial in trials)
        assert open_databases(wire) <= room

    with wire_of(tmp_path) as wire:
        for name in names:
            wire.ok("PUT", f"/studies/{name}", json=SPACE)
        assert open_databases(wire) <= room
        with ThreadPoolExecutor(CLIENTS) as clients:
            most = max(clients.map(work, range(CLIENTS)))
        # One more for each that is just being opened.
        assert most <= room + CLIENTS
        check(wire)
    with wire_of(tmp_path) as wire:
        check(wire)


def test_a_lease_outlives_the_closing_of_its_study_and_ends_when_it_is_due(
    tmp_path: Path, room: int
) -> None:
    with wire_of(tmp_path) as wire:

        def ask(name: str, **body: Any) -> Any:
            wire.request("PUT", f"/studies/{name}", json={**SPACE, "max_trials": 1})
            return wire.ask(name, **body)

        def close_all() -> None:
            for _ in range(room):
                wire.ask(wire.put())

        kept, lost = ask("kept", lease_seconds=600), ask("lost", lease_seconds=0.01)
        before = wire.trial("kept", 0)["lease"]["expires_at"]
        close_all()
        assert not (tmp_path / "db" / ".kept.db.lock").exists()
        assert wire.trial("kept", 0)["lease"]["expires_at"] == before
        close_all()
        wire.ok("POST", "/studies/kept/trials/0/renew", json={"lease": kept["lease"]["id"]})
        again = wire.ask("lost")
        assert (again["number"], again["attempt"]) == (0, 2)
        wire.refused(
            "POST",
            "/studies/lost/trials/0/renew",
            409,
            "lease-lost",
            json={"lease": lost["lease"]["id"]},
        )


def test_a_followed_study_stays_open(tmp_path: Path, room: int) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put()
        with wire.client.stream("GET", f"/optunapi/v1/studies/{name}/events") as stream:
            for _ in range(room + 3):
                wire.ask(wire.put())
            assert (tmp_path / "db" / f".{name}.db.lock").exists()
            number = wire.ask(name)["number"]
            lines = stream.iter_lines()
            assert any(f'"number":{number}' in line.replace(" ", "") for line in lines)
