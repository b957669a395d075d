"""Long poll over HTTP: `?wait=` on ask and batch ask."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import serving_app
from tests.api.wire import V1, Wire, problem
from tests.unit.engine.support import Caller, Gate, Gated

LONG = 60.0  # never reached: the awaited event comes earlier, or the test fails


@pytest.fixture
def one(wire: Wire) -> str:
    """A study with trial 0 running and no free slot."""
    study = wire.put(max_running=1)
    wire.ask(study, worker="first")
    return study


def ask(
    wire: Wire, study: str, wait: Any = LONG, path: str = "trials", **options: Any
) -> httpx.Response:
    url = wire.client.base_url.join(f"{V1}/studies/{study}/{path}")
    return httpx.post(url, params={"wait": wait}, timeout=2 * LONG, **options)


def test_what_is_free_is_given_at_once(wire: Wire) -> None:
    study = wire.put()
    for wait in (0, 0.5, "300", "0.000000001", "1e1", "2.5E-1", "1e+2"):
        assert ask(wire, study, wait).status_code == 201


def test_a_request_is_held_until_a_place_is_free(wire: Wire, one: str) -> None:
    caller = Caller(lambda: ask(wire, one, json={"worker": "second"}))
    wire.tell(one, 0, value=1)
    response = caller.outcome()
    assert response.status_code == 201
    assert (response.json()["number"], response.json()["worker"]) == (1, "second")
    assert response.headers["Cache-Control"] == "no-store"


def test_a_batch_is_held_until_a_place_is_free(wire: Wire) -> None:
    study = wire.put(max_running=2)
    wire.ask(study)
    wire.ask(study)
    caller = Caller(lambda: ask(wire, study, path="trials/batch", json={"count": 5}))
    wire.ok("DELETE", f"/studies/{study}/trials?state=running")
    response = caller.outcome()
    assert response.status_code == 201
    assert [trial["number"] for trial in response.json()["items"]] in ([2], [2, 3])


def test_a_request_is_held_until_a_lost_trial_can_be_handed_on(wire: Wire) -> None:
    study = wire.put(max_trials=1)
    wire.ask(study, worker="a", lease_seconds=0.3)
    trial = ask(wire, study, json={"worker": "b"}).json()
    assert (trial["number"], trial["attempt"], trial["worker"]) == (0, 2, "b")


def test_when_the_time_is_up_it_hears_what_an_ask_hears(wire: Wire, one: str) -> None:
    with wire.unchanged(one):
        found = problem(ask(wire, one, 0.3), 429, "no-slot")
    assert found == problem(ask(wire, one, 0), 429, "no-slot")


@pytest.mark.parametrize(
    ("state", "code"), [("paused", "study-paused"), ("finished", "study-finished")]
)
def test_what_does_not_come_back_is_not_waited_for(
    wire: Wire, one: str, state: str, code: str
) -> None:
    caller = Caller(lambda: ask(wire, one))
    wire.ok("PATCH", f"/studies/{one}", json={"state": state})
    problem(caller.outcome(), 409, code)
    problem(ask(wire, one), 409, code)
    problem(ask(wire, one, json={"params": {"n": 77}}), 422, "value-invalid")
    problem(ask(wire, "none"), 404, "study-not-found")


def test_a_study_that_is_deleted_is_not_waited_for(wire: Wire, one: str) -> None:
    caller = Caller(lambda: ask(wire, one))
    assert wire.request("DELETE", f"/studies/{one}?force=true").status_code == 204
    problem(caller.outcome(), 404, "study-not-found")


@pytest.mark.parametrize(
    "wait",
    ["-1", "301", "1e3", "1e", "1e-", "nan", "inf", "", "x", "1_0", " 1", "+1", "0x1", "1.", ".5"],
)
def test_a_time_that_is_none_is_refused(wire: Wire, one: str, wait: str) -> None:
    with wire.unchanged(one):
        problem(ask(wire, one, wait), 422, "request-invalid")
        problem(
            ask(wire, one, wait, path="trials/batch", json={"count": 1}), 422, "request-invalid"
        )


def test_the_same_key_gives_the_same_trial_to_all_who_wait(wire: Wire, one: str) -> None:
    headers = {"Idempotency-Key": "k"}
    callers = [Caller(lambda: ask(wire, one, headers=headers)) for _ in range(3)]
    wire.tell(one, 0, value=1)
    assert [caller.outcome().json()["number"] for caller in callers] == [1, 1, 1]


def test_a_client_that_goes_away_takes_no_place(wire: Wire, one: str) -> None:
    url = wire.client.base_url
    for _ in range(20):
        with socket.create_connection((url.host, url.port or 80)) as connection:
            connection.sendall(
                f"POST {V1}/studies/{one}/trials?wait=60 HTTP/1.1\r\n"
                f"Host: {url.host}\r\nContent-Length: 0\r\n\r\n".encode()
            )
    caller = Caller(lambda: ask(wire, one, json={"worker": "there"}))
    wire.tell(one, 0, value=1)
    trial = caller.outcome().json()
    # A client that left before its request was read got a trial, which was then released.
    assert trial["worker"] == "there"
    assert wire.study(one)["trials"]["running"] == 1


def test_a_waiting_ask_delays_no_other_request(wire: Wire, one: str) -> None:
    callers = [Caller(lambda: ask(wire, one, 60)) for _ in range(60)]
    other = wire.put()
    for number in range(5):
        wire.tell(other, wire.ask(other)["number"], value=number)
    assert all(caller.is_alive() for caller in callers)
    wire.ok("PATCH", f"/studies/{one}", json={"limits": {"max_running": None}})
    assert sorted(c.outcome().json()["number"] for c in callers) == list(range(1, 61))


def test_asks_that_wait_for_a_sampler_hold_up_no_other_request(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    app = create_app(Settings(home=tmp_path))
    with serving_app(app) as client:
        wire = Wire(client=client, home=tmp_path)
        study = wire.put(lease=600, sampler={"name": "nsga2"})
        lease = wire.ask(study)["lease"]["id"]
        live = app.state.catalog.find(study)
        assert live is not None
        gate = Gate()
        sampling = live._sampling
        sampling.policy = replace(sampling.policy, sampler=Gated(gate, sampling.policy.sampler))
        callers = [Caller(lambda: ask(wire, study, 0)) for _ in range(50)]
        here = f"/studies/{study}/trials/0"
        new = {"name": "y", "distribution": {"type": "float", "low": 0, "high": 1}, "lease": lease}
        suggests = [
            Caller(lambda: wire.request("POST", f"{here}/suggest", json=new)) for _ in range(20)
        ]
        try:
            assert gate.reached.acquire(timeout=30)
            for _ in range(3):
                wire.ok("POST", f"{here}/renew", json={"lease": lease})
            other = wire.put()
            assert wire.tell(other, wire.ask(other)["number"], value=1)["state"] == "complete"
            assert wire.tell(study, 0, value=1)["state"] == "complete"
        finally:
            gate.opened.release(10_000)
        numbers = sorted(caller.outcome().json()["number"] for caller in callers)
        assert numbers == list(range(1, 51))
        for caller in suggests:
            assert caller.outcome().status_code == 409  # its trial has a result by now
