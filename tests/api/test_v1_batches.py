"""Batch requests over v1: an ask returns all its trials at once, a tell judges each item separately."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.conftest import Refused
from tests.api.wire import Wire

CONFIGURED = """
parameters:
  n: {type: int, low: 1, high: 9}
"""


def batch(wire: Wire, name: str, count: int, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/studies/{name}/trials/batch"
    response = wire.request("POST", path, json={"count": count, **body}, headers=headers)
    assert response.status_code == 201, response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json().keys() == {"items"}
    return response.json()["items"]


def numbers(trials: list[dict[str, Any]]) -> list[int]:
    return [trial["number"] for trial in trials]


def tell(wire: Wire, name: str, *items: dict[str, Any]) -> Any:
    found = wire.ok("POST", f"/studies/{name}/tell", json={"items": items})
    assert found.keys() == {"items"}
    return found["items"]


# Ask


def test_a_batch_is_as_many_trials_as_asked_for(wire: Wire) -> None:
    name = wire.put()
    fields: dict[str, Any] = {"worker": "w", "lease_seconds": 60, "user_attrs": {"a": 1}}
    trials = batch(wire, name, 5, **fields, params={"n": 3})
    assert numbers(trials) == [0, 1, 2, 3, 4]
    assert len({trial["lease"]["id"] for trial in trials}) == 5
    assert len({trial["params"]["x"] for trial in trials}) == 5
    for trial in trials:
        assert (trial["worker"], trial["user_attrs"]) == ("w", {"a": 1})
        assert trial["params"]["n"] == 3
        assert wire.trial(name, trial["number"]) == trial


def test_a_thousand_are_the_most(wire: Wire) -> None:
    name = wire.put(sampler={"name": "random"})
    trials = batch(wire, name, 1000)
    assert numbers(trials) == list(range(1000))
    assert len({trial["params"]["x"] for trial in trials}) == 1000


def test_a_batch_is_as_large_as_the_limits_allow(wire: Wire) -> None:
    name = wire.put(max_trials=4, max_running=3)
    assert numbers(batch(wire, name, 10)) == [0, 1, 2]
    path = f"/studies/{name}/trials/batch"
    with wire.unchanged(name):
        wire.refused("POST", path, 429, "no-slot", json={"count": 1})
    wire.tell(name, 0, value=1)
    assert numbers(batch(wire, name, 10)) == [3]
    for number in (1, 2, 3):
        wire.tell(name, number, value=1)
    with wire.unchanged(name):
        found = wire.refused("POST", path, 409, "study-finished", json={"count": 1})
    assert found["finished_reason"] == "max_trials"


def test_resume_gives_back_the_worker_s_own_and_then_new_ones(wire: Wire) -> None:
    name = wire.put()
    batch(wire, name, 2, worker="w")
    trials = batch(wire, name, 4, worker="w", resume=True)
    assert numbers(trials) == [0, 1, 2, 3]
    assert [trial["attempt"] for trial in trials] == [2, 2, 1, 1]


def test_one_key_covers_the_batch(wire: Wire) -> None:
    name = wire.put()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: batch(wire, name, 6, key="k", worker="w"), range(8)))
    assert all(trials == found[0] for trials in found)
    assert numbers(found[0]) == [0, 1, 2, 3, 4, 5]
    with wire.unchanged(name):
        headers = {"Idempotency-Key": "k"}
        path = f"/studies/{name}/trials"
        body = {"count": 5, "worker": "w"}
        wire.refused("POST", f"{path}/batch", 422, "key-reused", json=body, headers=headers)
        wire.refused("POST", path, 422, "key-reused", json={"worker": "w"}, headers=headers)
    wire.ok("POST", f"/studies/{name}/trials/2/release", json={})
    wire.ask(name)
    wire.refused(
        "POST",
        f"{path}/batch",
        409,
        "lease-lost",
        json={"count": 6, "worker": "w"},
        headers=headers,
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "count"),
        ({"count": 0}, "count"),
        ({"count": 1001}, "count"),
        ({"count": "3"}, "count"),
        ({"count": True}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": None}, "count"),
        ({"count": 1, "lease_seconds": 0}, "lease_seconds"),
        ({"count": 1, "value": 1}, "value"),
    ],
)
def test_a_malformed_batch_is_refused(refused: Refused, body: dict[str, Any], field: str) -> None:
    path = "/studies/{s}/trials/batch"
    document = refused("POST", path, 422, "request-invalid", json=body)
    assert document["errors"][0]["location"] == ["body", field]


def test_a_batch_is_refused_as_an_ask_is(wire: Wire, refused: Refused) -> None:
    path = "/studies/{s}/trials/batch"
    refused("POST", path, 422, "value-invalid", json={"count": 2, "params": {"n": 99}})
    refused("POST", path, 422, "request-invalid", json={"count": 2, "resume": True})
    refused("POST", path, 400, "json-invalid")
    evil = {"Sec-Fetch-Site": "cross-site"}
    refused("POST", path, 403, "cross-site", json={"count": 2}, headers=evil)
    wire.refused("POST", path.format(s="never"), 404, "study-not-found", json={"count": 1})
    wire.refused("POST", path.format(s=".bad"), 422, "name-invalid", json={"count": 1})
    name = wire.put()
    wire.ok("PATCH", f"/studies/{name}", json={"state": "paused"})
    wire.refused("POST", path.format(s=name), 409, "study-paused", json={"count": 1})


def test_a_batch_creates_the_study_of_a_configuration_unless_refused(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    with wire.unchanged():
        body = {"count": 2, "params": {"n": 10}}
        wire.refused("POST", f"/studies/{name}/trials/batch", 422, "value-invalid", json=body)
    assert len({trial["params"]["n"] for trial in batch(wire, name, 9)}) == 9


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "PUT"])
def test_a_batch_is_no_trial(wire: Wire, study: str, method: str) -> None:
    response = wire.request(method, f"/studies/{study}/trials/batch", json={"user_attrs": {}})
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")


# Tell


def test_each_tell_is_answered_as_alone(wire: Wire) -> None:
    name = wire.put(enqueue=[{"n": 1}])
    wire.ask(name, params={"n": 2})
    batch(wire, name, 2, params={"n": 3}, lease_seconds=60)
    found = tell(
        wire,
        name,
        {"number": 1, "value": 0.5, "user_attrs": {"a": 1}},
        {"number": 1, "values": [0.5]},
        {"number": 1, "value": 0.25},
        {"number": 0, "value": 1},
        {"number": 2, "state": "fail", "reason": "oom"},
        {"number": 2, "values": [1, 2]},
        {"number": 3, "state": "complete", "value": 2},
        {"number": 9, "value": 1},
    )
    assert [(item["number"], item["status"]) for item in found] == [
        (1, 200),
        (1, 200),
        (1, 409),
        (0, 409),
        (2, 409),
        (2, 422),
        (3, 200),
        (9, 404),
    ]
    assert [item["error"]["code"] for item in found if "error" in item] == [
        "trial-finished",
        "trial-waiting",
        "lease-lost",
        "value-invalid",
        "trial-not-found",
    ]
    for item in found:
        if item["status"] == 200:
            assert item.keys() == {"number", "status", "trial"}
            assert item["trial"] == wire.trial(name, item["number"])
        else:
            assert item.keys() == {"number", "status", "error"}
            code = item["error"]["code"]
            assert item["error"]["type"] == f"urn:optunapi:error:{code}"
            assert item["error"]["status"] == item["status"]
            assert item["error"]["detail"]
    assert found[2]["error"]["trial"] == wire.trial(name, 1)
    assert wire.study(name)["trials"] == {
        "waiting": 1,
        "running": 1,
        "complete": 2,
        "pruned": 0,
        "fail": 0,
    }


def test_refused_tells_change_nothing(wire: Wire, study: str) -> None:
    with wire.unchanged(study):
        found = tell(
            wire,
            study,
            {"number": 3, "state": "fail"},
            {"number": 0, "value": 9},
            {"number": 2, "value": 1},
        )
    assert [item["status"] for item in found] == [409, 409, 409]


def test_a_study_never_asked_from_has_none_of_the_trials(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    with wire.unchanged():
        found = tell(wire, name, {"number": 0, "value": 1}, {"number": 1, "state": "fail"})
    assert [item["error"]["code"] for item in found] == ["trial-not-found"] * 2


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"value": 1}, "number"),
        ({"number": -1, "value": 1}, "number"),
        ({"number": "1", "value": 1}, "number"),
        ({"number": 1, "value": "1"}, "value"),
        ({"number": 1, "state": "running"}, "state"),
        ({"number": 1, "step": 1}, "step"),
    ],
)
def test_one_malformed_item_refuses_all(refused: Refused, item: dict[str, Any], field: str) -> None:
    body = {"items": [{"number": 1, "value": 1}, item]}
    document = refused("POST", "/studies/{s}/tell", 422, "request-invalid", json=body)
    assert document["errors"][0]["location"] == ["body", "items", 1, field]


def test_a_malformed_request_is_refused(wire: Wire, refused: Refused) -> None:
    one = {"number": 1, "value": 1}
    path = "/studies/{s}/tell"
    bodies: list[Any] = [{}, {"items": []}, {"items": [one] * 1001}, {"items": [one], "x": 1}, one]
    for body in bodies:
        refused("POST", path, 422, "request-invalid", json=body)
    refused("POST", path, 400, "json-invalid")
    evil = {"Sec-Fetch-Site": "cross-site"}
    refused("POST", path, 403, "cross-site", json={"items": [one]}, headers=evil)
    wire.refused("POST", path.format(s="never"), 404, "study-not-found", json={"items": [one]})
    wire.refused("POST", path.format(s=".bad"), 422, "name-invalid", json={"items": [one]})
