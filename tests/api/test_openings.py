"""Opening one study, however long it takes, is felt by no other: not by its requests, not by a list."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from optunapi.storage import open_storage
from optunapi.storage.tables import sqlite
from tests.api.wire import SPACE, wire_of
from tests.support import until

REQUESTS = 60  # more than the server has threads


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the studies a and b, each with a running trial."""
    with wire_of(tmp_path) as wire:
        for name in "ab":
            wire.request("PUT", f"/studies/{name}", json=SPACE)
            wire.ask(name)
    return tmp_path


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process that keeps the file from being written."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The databases that were opened, or tried, each as often as that happened."""
    found: list[str] = []
    really_open = open_storage

    def noted(url: str, **options: bool) -> object:
        found.append(url.rsplit("/", 1)[1])
        return really_open(url, **options)

    monkeypatch.setattr("optunapi.storage.stores.open_storage", noted)
    return found


def test_requests_for_a_locked_study_wait_together_and_keep_no_other_waiting(
    home: Path, openings: list[str]
) -> None:
    with wire_of(home) as wire, ThreadPoolExecutor(REQUESTS) as clients:

        def read_a() -> httpx.Response:
            return wire.request("GET", "/studies/a/trials/0")

        with locked(home / "db" / "a.db"):
            waiting: list[Future[httpx.Response]] = [
                clients.submit(read_a) for _ in range(REQUESTS)
            ]
            until(lambda: openings == ["a.db"])
            wire.ask("b")
            wire.tell("b", 0, value=1)
            assert not any(each.done() for each in waiting)
        assert {each.result().status_code for each in waiting} == {200}
    assert openings == ["a.db", "b.db"]


def test_a_study_that_could_not_be_opened_is_not_tried_again_at_once(
    home: Path, openings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with wire_of(home) as wire:
        with locked(home / "db" / "a.db"):
            for _ in range(20):
                wire.refused("GET", "/studies/a/trials/0", 503, "storage-unavailable")
        assert len(openings) < 20
        until(lambda: wire.request("GET", "/studies/a/trials/0").status_code == 200)
