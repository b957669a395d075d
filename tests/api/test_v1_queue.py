"""The queue over v1: every form, status and code; a refusal changes nothing."""

from typing import Any

import pytest

from tests.api.conftest import Refused
from tests.api.wire import Wire

CONFIGURED = """
parameters:
  x: {type: float, low: -10, high: 10}
  n: {type: int, low: 1, high: 9}
max_trials: 3
enqueue:
  - {n: 1}
"""


def queue(wire: Wire, name: str, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    response = wire.request("POST", f"/studies/{name}/queue", json=body, headers=headers)
    assert response.status_code == 201, response.text
    assert response.headers["Cache-Control"] == "no-store"
    return response.json()


def test_one_point_is_one_trial_that_waits(wire: Wire) -> None:
    name = wire.put()
    trial = queue(wire, name, params={"n": 3}, user_attrs={"from": "me"})
    told = {key: trial[key] for key in ("study", "number", "state", "params", "user_attrs")}
    assert told == {
        "study": name,
        "number": 0,
        "state": "waiting",
        "params": {"n": 3},
        "user_attrs": {"from": "me"},
    }
    assert (trial["worker"], trial["attempt"], trial["lease"]) == (None, 0, None)
    assert trial["started_at"] is None
    assert wire.trial(name, 0) == trial
    asked = wire.ask(name)
    assert (asked["number"], asked["params"]["n"]) == (0, 3)
    assert asked["params"].keys() == {"x", "n"}


def test_points_are_handed_out_in_their_order(wire: Wire) -> None:
    name = wire.put()
    found = queue(wire, name, items=[{"params": {"n": 4}}, {"params": {}}, {"params": {"x": 2}}])
    assert [trial["number"] for trial in found["items"]] == [0, 1, 2]
    queue(wire, name, params={"n": 5})
    asked = [wire.ask(name) for _ in range(4)]
    assert [trial["number"] for trial in asked] == [0, 1, 2, 3]
    assert (asked[0]["params"]["n"], asked[2]["params"]["x"]) == (4, 2.0)
    assert asked[3]["params"]["n"] == 5


def test_a_grid_queues_every_combination(wire: Wire) -> None:
    name = wire.put()
    found = queue(wire, name, grid={"n": [2, 1], "x": [0, 0.5]})
    assert [trial["state"] for trial in found["items"]] == ["waiting"] * 4
    asked = [wire.ask(name)["params"] for _ in range(4)]
    assert [(p["n"], p["x"]) for p in asked] == [(2, 0), (2, 0.5), (1, 0), (1, 0.5)]


def test_a_point_that_exists_is_answered_with_its_trial(wire: Wire) -> None:
    name = wire.put()
    first = queue(wire, name, params={"n": 3})
    with wire.unchanged(name):
        assert queue(wire, name, params={"n": 3}, skip_if_exists=True) == first
    items = [{"params": {"n": n}, "skip_if_exists": True} for n in (3, 4, 4)]
    assert [trial["number"] for trial in queue(wire, name, items=items)["items"]] == [0, 1, 1]
    assert wire.study(name)["trials"]["waiting"] == 2


def test_one_key_queues_once(wire: Wire) -> None:
    name = wire.put()
    body = {"grid": {"n": [1, 2]}}
    first = queue(wire, name, key="k", **body)
    with wire.unchanged(name):
        assert queue(wire, name, key="k", **body) == first
        path, headers = f"/studies/{name}/queue", {"Idempotency-Key": "k"}
        wire.refused("POST", path, 422, "key-reused", json={"params": {"n": 1}}, headers=headers)
        wire.refused("POST", f"/studies/{name}/trials", 422, "key-reused", headers=headers)


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({"params": {"n": 99}}, ["params", "n"]),
        ({"params": {"nn": 1}}, ["params", "nn"]),
        ({"items": [{"params": {"n": 1}}, {"params": {"x": "1"}}]}, ["items", 1, "params", "x"]),
        ({"grid": {"n": [1, 2], "x": [0, 11]}}, ["items", 1, "params", "x"]),
    ],
)
def test_a_point_outside_the_space_is_refused(
    refused: Refused, body: dict[str, Any], location: list[Any]
) -> None:
    document = refused("POST", "/studies/{s}/queue", 422, "value-invalid", json=body)
    assert document["errors"][0]["location"] == location


def test_a_grid_too_large_is_refused(refused: Refused) -> None:
    body = {"grid": {"n": [1] * 101, "x": [0] * 100}}
    document = refused("POST", "/studies/{s}/queue", 422, "value-invalid", json=body)
    assert "10100" in document["detail"]


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ({}, ["body"]),
        ({"params": None}, ["body"]),
        ({"params": {}, "items": [{"params": {}}]}, ["body"]),
        ({"params": {}, "grid": {"n": [1]}}, ["body"]),
        ({"grid": {"n": [1]}, "skip_if_exists": True}, ["body"]),
        ({"items": [{"params": {}}], "user_attrs": {}}, ["body"]),
        ({"items": []}, ["body", "items"]),
        ({"items": [{}]}, ["body", "items", 0, "params"]),
        ({"items": [{"params": {}, "x": 1}]}, ["body", "items", 0, "x"]),
        ({"items": [3]}, ["body", "items", 0]),
        ({"grid": {}}, ["body", "grid"]),
        ({"grid": {"n": []}}, ["body", "grid", "n"]),
        ({"grid": {"n": [[1]]}}, ["body", "grid", "n", 0]),
        ({"params": {"n": [1]}}, ["body", "params", "n"]),
        ({"params": {}, "skip_if_exists": 1}, ["body", "skip_if_exists"]),
        ({"params": {}, "lease": "a"}, ["body", "lease"]),
    ],
)
def test_a_malformed_request_is_refused(
    refused: Refused, body: dict[str, Any], location: list[Any]
) -> None:
    document = refused("POST", "/studies/{s}/queue", 422, "request-invalid", json=body)
    assert document["errors"][0]["location"] == location


def test_what_is_not_json_is_refused(refused: Refused) -> None:
    refused("POST", "/studies/{s}/queue", 400, "json-invalid")
    refused("POST", "/studies/{s}/queue", 400, "json-invalid", content=b'{"params": {"x": NaN}}')
    content = b'{"params": {}}' + b" " * 2**20
    refused("POST", "/studies/{s}/queue", 413, "too-large", content=content)


def test_points_beyond_the_limit_are_refused(wire: Wire) -> None:
    name = wire.put(max_trials=2)
    queue(wire, name, params={"n": 1})
    with wire.unchanged(name):
        body = {"items": [{"params": {"n": 2}}, {"params": {"n": 3}}]}
        found = wire.refused("POST", f"/studies/{name}/queue", 409, "study-finished", json=body)
    assert found["finished_reason"] == "max_trials"


def test_the_grid_sampler_takes_whole_points(wire: Wire) -> None:
    space = {"parameters": {name: {"type": "int", "low": 0, "high": 1} for name in "ab"}}
    name = wire.put(space, sampler={"name": "grid"})
    with wire.unchanged(name):
        for path in ("queue", "trials"):
            body = {"params": {"a": 1}}
            wire.refused("POST", f"/studies/{name}/{path}", 422, "value-invalid", json=body)
    queue(wire, name, params={"a": 1, "b": 0})
    assert wire.ask(name)["params"] == {"a": 1, "b": 0}


def test_an_empty_space_keeps_any_name(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    assert queue(wire, name, params={"layers": 2, "kind": "a"})["state"] == "waiting"
    asked = wire.ask(name)
    assert asked["params"] == {}
    for parameter, distribution, value in (
        ("layers", {"type": "int", "low": 1, "high": 3}, 2),
        ("kind", {"type": "categorical", "choices": ["b", "a"]}, "a"),
    ):
        body = {"name": parameter, "distribution": distribution}
        found = wire.ok("POST", f"/studies/{name}/trials/0/suggest", json=body)
        assert found == {"value": value}


# A study with a configuration and no ask yet


def test_queueing_creates_the_study_of_a_configuration(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    assert queue(wire, name, params={"n": 2})["number"] == 1
    assert [wire.ask(name)["params"]["n"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"params": {"n": 10}}, 422, "value-invalid"),
        ({"grid": {"n": [1, 10]}}, 422, "value-invalid"),
        ({"grid": {"n": [1, 2, 3]}}, 409, "study-finished"),
        ({"params": {}, "items": []}, 422, "request-invalid"),
    ],
)
def test_a_refused_request_creates_nothing(
    wire: Wire, body: dict[str, Any], status: int, code: str
) -> None:
    name = wire.configure(CONFIGURED)
    with wire.unchanged():
        wire.refused("POST", f"/studies/{name}/queue", status, code, json=body)


# Dequeueing


def test_a_dequeued_trial_failed_as_cancelled(wire: Wire) -> None:
    name = wire.put()
    queue(wire, name, grid={"n": [1, 2, 3]})
    for _ in range(2):
        response = wire.request("DELETE", f"/studies/{name}/queue/1")
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["Cache-Control"] == "no-store"
    assert wire.trial(name, 1)["state"] == "fail"
    assert wire.trial(name, 1)["fail_reason"] == "cancelled"
    assert [wire.ask(name)["number"] for _ in range(3)] == [0, 2, 3]


def test_an_emptied_queue_hands_out_nothing(wire: Wire) -> None:
    name = wire.put()
    queue(wire, name, grid={"n": [1, 2, 3]})
    wire.ask(name)
    for _ in range(2):
        assert wire.request("DELETE", f"/studies/{name}/queue").status_code == 204
    assert wire.study(name)["trials"] == {
        "waiting": 0,
        "running": 1,
        "complete": 0,
        "pruned": 0,
        "fail": 2,
    }
    assert wire.ask(name)["number"] == 3


def test_only_what_waits_can_be_dequeued(refused: Refused) -> None:
    document = refused("DELETE", "/studies/{s}/queue/0", 409, "trial-finished")
    assert document["trial"]["state"] == "complete"
    refused("DELETE", "/studies/{s}/queue/1", 404, "trial-not-found")
    refused("DELETE", "/studies/{s}/queue/99", 404, "trial-not-found")
    refused("DELETE", "/studies/{s}/queue/x", 422, "request-invalid")


def test_a_study_never_asked_from_has_an_empty_queue(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    with wire.unchanged():
        assert wire.request("DELETE", f"/studies/{name}/queue").status_code == 204
        wire.refused("DELETE", f"/studies/{name}/queue/0", 404, "trial-not-found")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "queue"), ("DELETE", "queue"), ("DELETE", "queue/2")]
)
def test_who_may_not_is_refused(wire: Wire, refused: Refused, method: str, path: str) -> None:
    options: dict[str, Any] = {"json": {"params": {}}} if method == "POST" else {}
    evil = {**options, "headers": {"Sec-Fetch-Site": "cross-site"}}
    refused(method, f"/studies/{{s}}/{path}", 403, "cross-site", **evil)
    wire.refused(method, f"/studies/never/{path}", 404, "study-not-found", **options)
    wire.refused(method, f"/studies/.bad/{path}", 422, "name-invalid", **options)
    broken = wire.configure("a: {type: nonsense}")
    wire.refused(method, f"/studies/{broken}/{path}", 422, "config-invalid", **options)
