"""The whole server while the time of day is set, under three zones, and in the hour that comes twice."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import serving_app
from tests.api.wire import SPACE, Wire
from tests.support import in_zone, until
from tests.unit.engine.support import SET, Clock

MINUTE = 60.0
# Each half an hour before the local time is set back.
ZONES = [
    ("America/New_York", "2026-11-01T05:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T14:30:00Z"),
    ("Europe/Dublin", "2026-10-25T00:30:00Z"),
]


@contextmanager
def served(home: Path, clock: Clock) -> Iterator[Wire]:
    """A server under this clock, which starts anew."""
    clock.restart()
    with serving_app(create_app(Settings(home=home), clock)) as client:
        yield Wire(client=client, home=home)


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def pass_(clock: Clock, passed: float) -> None:
    """Let time pass while the server runs."""
    for _ in range(int(passed)):
        clock.pass_(1)
        clock.tick()


@pytest.fixture(params=ZONES, ids=lambda each: each[0])
def start(request: pytest.FixtureRequest, clock: Clock) -> Iterator[float]:
    zone, time = request.param
    with in_zone(zone):
        clock.wall = seconds(time)
        yield clock.wall


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("step", SET)
def test_no_worker_loses_its_trial_when_the_time_is_set(
    tmp_path: Path, clock: Clock, step: float
) -> None:
    with served(tmp_path, clock) as wire:
        name = wire.put(SPACE, max_trials=3, max_duration=30 * MINUTE)
        held = [wire.ask(name, worker=f"w{n}", lease_seconds=60) for n in range(3)]
        pass_(clock, 50)
        clock.set_(step)
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot", json={})
        assert wire.study(name)["state"] == "open"
        for trial in held[:2]:
            path = f"/studies/{name}/trials/{trial['number']}/renew"
            lease = wire.ok("POST", path, json={"lease": trial["lease"]["id"]})["lease"]
            assert seconds(lease["expires_at"]) == clock.wall + 60
        shown = wire.trial(name, 2)["lease"]
        assert seconds(shown["expires_at"]) == clock.wall + 10
        pass_(clock, 10)
        assert wire.ask(name, worker="other")["number"] == 2
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot", json={})
        pass_(clock, 30 * MINUTE - 60)
        assert wire.study(name)["finished_reason"] == "max_duration"


@pytest.mark.parametrize("step", SET)
def test_a_study_that_was_closed_meanwhile_keeps_its_terms(
    tmp_path: Path, clock: Clock, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optunapi.engine.open_studies.room_for_studies", lambda: 2)
    with served(tmp_path, clock) as wire:

        def close(name: str) -> None:
            for _ in range(2):
                wire.ask(wire.put())
            assert not (tmp_path / "db" / f".{name}.db.lock").exists()

        limits = {"max_trials": 2, "max_duration": 30 * MINUTE, "trial_timeout": 10 * MINUTE}
        name = wire.put(SPACE, **limits)
        wire.ask(name, lease_seconds=60)
        wire.ask(name, lease_seconds=20 * MINUTE)
        close(name)
        clock.set_(step)
        pass_(clock, 59)
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot", json={})
        close(name)
        pass_(clock, 1)
        assert wire.ask(name, lease_seconds=3600)["number"] == 0
        close(name)
        clock.set_(-step)
        pass_(clock, 9 * MINUTE - 1)
        assert not wire.trial(name, 1)["stop_requested"]
        pass_(clock, 1)
        until(lambda: wire.trial(name, 1)["stop_requested"])
        close(name)
        pass_(clock, 20 * MINUTE)
        assert wire.study(name)["finished_reason"] == "max_duration"


def test_an_imported_lease_lasts_a_term_at_most(tmp_path: Path, clock: Clock) -> None:
    with served(tmp_path, clock) as wire:
        name = wire.put()
        clock.set_(3e8)  # the server from which it comes is years ahead
        wire.ask(name, lease_seconds=60)
        lines = wire.request("GET", f"/studies/{name}/export?format=jsonl").content
        clock.set_(-3e8)
        copy = wire.put(SPACE, max_trials=1)
        kind = {"Content-Type": "application/x-ndjson"}
        wire.ok("POST", f"/studies/{copy}/import", content=lines, headers=kind)
        lease = wire.trial(copy, 0)["lease"]
        assert seconds(lease["expires_at"]) == clock.wall + 60
        pass_(clock, 60)
        assert wire.ask(copy)["number"] == 0


def test_no_duration_is_negative_when_the_time_is_set_back(tmp_path: Path, clock: Clock) -> None:
    with served(tmp_path, clock) as wire:
        name = wire.put()
        wire.ask(name)
        clock.set_(-7200)
        told = wire.tell(name, 0, value=1)
        assert seconds(told["finished_at"]) == seconds(told["started_at"]) - 7200
        summary = wire.ok("GET", f"/studies/{name}/summary")
        assert (summary["mean_duration"], summary["time_to_best"]) == (0, 0)
        table = wire.request("GET", f"/studies/{name}/export?format=csv").text
        assert next(csv.DictReader(table.splitlines()))["duration"] == "0.0"
        lines = wire.request("GET", f"/studies/{name}/export?format=jsonl").content
        kind = {"Content-Type": "application/x-ndjson"}
        copy = wire.put()
        wire.ok("POST", f"/studies/{copy}/import", content=lines, headers=kind)
        assert wire.trial(copy, 0)["finished_at"] == told["finished_at"]


def test_a_trial_s_times_are_shown_and_stored_alike_in_every_hour(
    tmp_path: Path, clock: Clock, start: float
) -> None:
    begun: dict[int, float] = {}
    for number in range(4):
        with served(tmp_path, clock) as wire:
            wire.request("PUT", "/studies/s", json={**SPACE, "trial_timeout": 40 * MINUTE})
            trial = wire.ask("s", lease_seconds=120)
            begun[number] = clock.wall
            assert (trial["number"], seconds(trial["started_at"])) == (number, clock.wall)
            clock.pass_(20 * MINUTE)
    with served(tmp_path, clock) as wire:
        trials = wire.ok("GET", "/studies/s/trials")["items"]
        assert {t["number"]: seconds(t["started_at"]) for t in trials} == begun
        told = wire.tell("s", 3, value=1)
        assert seconds(told["started_at"]) == begun[3]
        assert seconds(told["finished_at"]) == start + 80 * MINUTE
        assert not told["stop_requested"]
    with served(tmp_path, clock) as wire:
        assert wire.trial("s", 3) == told


def test_a_time_out_of_40_minutes_takes_40_minutes_over_a_restart(
    tmp_path: Path, clock: Clock, start: float
) -> None:

    def is_stopped(wire: Wire) -> Any:
        body = {"step": 1, "value": 1}
        return wire.ok("POST", "/studies/s/trials/0/report", json=body)["stop_requested"]

    clock.wall = start + 40 * MINUTE
    with served(tmp_path, clock) as wire:
        wire.ok("PUT", "/studies/s", json={**SPACE, "trial_timeout": 40 * MINUTE})
        wire.ask("s")
        clock.pass_(MINUTE)
    with served(tmp_path, clock) as wire:
        assert not is_stopped(wire)
        pass_(clock, 39 * MINUTE - 1)
        assert not is_stopped(wire)
        pass_(clock, 1)
        assert is_stopped(wire)


def test_imported_times_are_what_they_were_after_a_restart(
    tmp_path: Path, clock: Clock, start: float
) -> None:
    times = [start + n * 10 * MINUTE for n in range(12)]
    items = [
        {
            "params": {"x": 1, "n": 1},
            "value": 1,
            "started_at": datetime.fromtimestamp(at, UTC).isoformat(),
            "finished_at": datetime.fromtimestamp(at + 45 * MINUTE, UTC).isoformat(),
        }
        for at in times
    ]
    clock.pass_(300 * MINUTE)
    with served(tmp_path, clock) as wire:
        name = wire.put()
        wire.ok("POST", f"/studies/{name}/import", json={"items": items})
        before = wire.ok("GET", f"/studies/{name}/trials")["items"]
    with served(tmp_path, clock) as wire:
        after = wire.ok("GET", f"/studies/{name}/trials")["items"]
        assert after == before
        assert [seconds(trial["started_at"]) for trial in after] == times
        wire.ok("PATCH", f"/studies/{name}/trials/3", json={"user_attrs": {"again": 1}})
        table = wire.request("GET", f"/studies/{name}/export?format=csv").text
        rows = csv.DictReader(table.splitlines())
        assert [row["duration"] for row in rows] == ["2700.0"] * len(times)
        summary = wire.ok("GET", f"/studies/{name}/summary")
        assert summary["median_duration"] == 45 * MINUTE
