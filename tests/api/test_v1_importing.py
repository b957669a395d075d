"""Imports of finished trials over v1: all or none."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Refused
from tests.api.wire import Wire

FLOAT = {"type": "float", "low": 0, "high": 1}
CONFIGURED = """
parameters:
  x: {type: float, low: -10, high: 10}
max_trials: 1
"""


def import_(wire: Wire, name: str, *items: dict[str, Any], key: str | None = None) -> int:
    headers = {} if key is None else {"Idempotency-Key": key}
    path, body = f"/studies/{name}/import", {"items": items}
    response = wire.request("POST", path, json=body, headers=headers)
    assert response.status_code == 201, response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json().keys() == {"imported"}
    count: int = response.json()["imported"]
    return count


def test_imported_trials_are_shown_as_they_came(wire: Wire) -> None:
    name = wire.put()
    complete = {
        "params": {"x": 1, "n": 2.0},
        "values": [0.25],
        "intermediate_values": {"1": 0.5, "20": 0.25},
        "constraints": {"c": -1},
        "user_attrs": {"host": "h", "list": [1, None]},
        "started_at": "2026-01-02T03:04:05.5+01:00",
        "finished_at": "2026-01-02T03:04:06Z",
    }
    assert import_(wire, name, complete, {"params": {}, "state": "fail", "reason": "oom"}) == 2
    trial = wire.trial(name, 0)
    assert trial.pop("created_at")
    # Without a specification's version it is a trial of any: all its distributions are shown.
    assert trial.pop("distributions").keys() == {"x", "n"}
    assert trial == {
        "study": name,
        "study_uid": wire.study(name)["uid"],
        "number": 0,
        "state": "complete",
        "params": {"x": 1.0, "n": 2},
        "values": [0.25],
        "intermediate_values": {"1": 0.5, "20": 0.25},
        "constraints": {"c": -1.0},
        "user_attrs": {"host": "h", "list": [1, None]},
        "worker": None,
        "attempt": 0,
        "lease": None,
        "stop_requested": False,
        "fail_reason": None,
        "retry_of": None,
        "spec_version": None,
        "started_at": "2026-01-02T02:04:05.500Z",
        "finished_at": "2026-01-02T03:04:06.000Z",
    }
    failed = wire.trial(name, 1)
    assert (failed["state"], failed["values"], failed["fail_reason"]) == ("fail", None, "oom")
    assert failed["started_at"] == failed["finished_at"] == failed["created_at"]
    assert wire.study(name)["best"]["number"] == 0


def test_value_and_pruned_are_taken_as_tell_takes_them(wire: Wire) -> None:
    name = wire.put()
    reports = {"3": 0.5, "10": 0.25}
    pruned = {"params": {}, "state": "pruned", "intermediate_values": reports}
    import_(wire, name, {"params": {}, "value": 3}, pruned)
    assert [wire.trial(name, n)["values"] for n in range(2)] == [[3.0], [0.25]]


def test_limits_do_not_apply(wire: Wire) -> None:
    name = wire.put(max_trials=1)
    wire.ask(name)
    assert import_(wire, name, *({"params": {"x": n}, "value": n} for n in range(5))) == 5


def test_one_key_imports_once(wire: Wire) -> None:
    name = wire.put()
    items = [{"params": {"x": n}, "value": n} for n in range(3)]
    assert import_(wire, name, *items, key="k") == 3
    with wire.unchanged(name):
        assert import_(wire, name, *items, key="k") == 3
        wire.refused(
            "POST",
            f"/studies/{name}/import",
            422,
            "key-reused",
            json={"items": items[:1]},
            headers={"Idempotency-Key": "k"},
        )


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"params": {"x": 11}, "value": 1}, "11 is not"),
        ({"params": {"xx": 1}, "value": 1}, "no parameter"),
        ({"params": {"xx": 1}, "value": 1, "distributions": {"xx": FLOAT}}, "no parameter"),
        ({"params": {"n": 1}, "value": 1, "distributions": {"n": FLOAT}}, "another kind"),
        ({"params": {}, "values": [1, 2]}, "1 objective"),
        ({"params": {}, "value": None}, "none given"),
        ({"params": {}, "state": "fail", "value": 1}, "no values"),
        ({"params": {}, "value": 1, "distributions": {"x": {"type": "x"}}}, "distribution of 'x'"),
        ({"params": {}, "value": 1, "started_at": "1969-01-01T00:00:00Z"}, "1970"),
        ({"params": {}, "value": 1, "intermediate_values": {"9223372036854775808": 1}}, "step"),
        (
            {
                "params": {},
                "value": 1,
                "started_at": "2026-01-02T00:00:00Z",
                "finished_at": "2026-01-01T00:00:00Z",
            },
            "before it is started",
        ),
    ],
)
def test_one_item_that_does_not_fit_refuses_all_and_is_named(
    refused: Refused, item: dict[str, Any], reason: str
) -> None:
    body = {"items": [{"params": {"x": 0}, "value": 1}, item]}
    document = refused("POST", "/studies/{s}/import", 422, "value-invalid", json=body)
    assert document["detail"].startswith("item 1: ")
    assert reason in document["detail"]
    assert document["errors"][0]["location"][:2] == ["items", 1]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"value": 1}, "params"),
        ({"params": {}, "state": "running"}, "state"),
        ({"params": {}, "state": "waiting"}, "state"),
        ({"params": {}, "value": "1"}, "value"),
        ({"params": {}, "value": True}, "value"),
        ({"params": {}, "value": 1, "lease": "a"}, "lease"),
        ({"params": {}, "value": 1, "number": 1}, "number"),
        ({"params": {}, "value": 1, "started_at": 5}, "started_at"),
        ({"params": {}, "value": 1, "started_at": "2026-01-01"}, "started_at"),
        ({"params": {}, "value": 1, "started_at": "2026-01-01T00:00:00"}, "started_at"),
        ({"params": {}, "value": 1, "started_at": "2026-13-01T00:00:00Z"}, "started_at"),
        ({"params": {}, "value": 1, "intermediate_values": {"01": 1}}, "intermediate_values"),
        ({"params": {}, "value": 1, "intermediate_values": {"-1": 1}}, "intermediate_values"),
        ({"params": {}, "value": 1, "distributions": {"x": 1}}, "distributions"),
    ],
)
def test_a_malformed_item_is_refused(refused: Refused, item: dict[str, Any], field: str) -> None:
    body = {"items": [{"params": {}, "value": 1}, item]}
    document = refused("POST", "/studies/{s}/import", 422, "request-invalid", json=body)
    assert document["errors"][0]["location"][:4] == ["body", "items", 1, field]


def test_a_malformed_request_is_refused(refused: Refused) -> None:
    bodies: list[Any] = [{}, {"items": []}, {"items": {}}, {"items": [], "x": 1}, {"items": [1]}]
    for body in bodies:
        refused("POST", "/studies/{s}/import", 422, "request-invalid", json=body)
    both = {"items": [{"params": {}, "value": 1, "values": [1]}]}
    refused("POST", "/studies/{s}/import", 422, "request-invalid", json=both)
    refused("POST", "/studies/{s}/import", 400, "json-invalid", content=b'{"items": [NaN]}')


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05.000Z"),
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2026-01-02T03:04:05-05:30", "2026-01-02T08:34:05.000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_those_of_rfc_3339(wire: Wire, written: str, shown: str) -> None:
    name = wire.put()
    import_(wire, name, {"params": {}, "value": 1, "finished_at": written})
    assert wire.trial(name, 0)["finished_at"] == shown


def test_an_empty_space_needs_the_distributions(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    item = {"params": {"lr": 0.5}, "value": 1}
    other = {"type": "categorical", "choices": [0.5]}
    path = f"/studies/{name}/import"
    with wire.unchanged(name):
        wire.refused("POST", path, 422, "value-invalid", json={"items": [item]})
        items = [{**item, "distributions": {"lr": kind}} for kind in (FLOAT, other)]
        wire.refused("POST", path, 422, "value-invalid", json={"items": items})
    import_(wire, name, items[0])
    assert wire.trial(name, 0)["params"] == {"lr": 0.5}
    with wire.unchanged(name):
        wire.refused("POST", path, 422, "value-invalid", json={"items": items[1:]})


def test_more_than_a_mebibyte_is_taken_and_more_than_64_are_not(wire: Wire) -> None:
    name = wire.put()
    items = [
        {"params": {"x": n % 10}, "value": n, "user_attrs": {"a": "x" * 500}} for n in range(4000)
    ]
    content = json.dumps({"items": items}).encode()
    assert len(content) > 2 * 2**20
    assert wire.ok("POST", f"/studies/{name}/import", content=content) == {"imported": 4000}
    assert wire.study(name)["trials"]["complete"] == 4000

    def chunks() -> Iterator[bytes]:
        yield b'{"items": ['
        for _ in range(65):
            yield b" " * 2**20

    with wire.unchanged(name):
        path = f"/studies/{name}/import"
        wire.refused("POST", path, 413, "too-large", content=chunks())


# A study with a configuration and no ask yet


def test_importing_creates_the_study_of_a_configuration(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    assert import_(wire, name, *({"params": {"x": n}, "value": n} for n in (3, 1, 2))) == 3
    study = wire.study(name)
    assert (study["trials"]["complete"], study["best"]["number"]) == (3, 1)
    assert (study["state"], study["finished_reason"]) == ("finished", "max_trials")


def test_a_refused_import_creates_nothing(wire: Wire) -> None:
    name = wire.configure(CONFIGURED)
    path = f"/studies/{name}/import"
    for item in ({"params": {"x": 11}, "value": 1}, {"params": {"y": 1}, "value": 1}):
        with wire.unchanged():
            body = {"items": [{"params": {}, "value": 1}, item]}
            wire.refused("POST", path, 422, "value-invalid", json=body)


def test_who_may_not_is_refused(wire: Wire, refused: Refused) -> None:
    body = {"items": [{"params": {}, "value": 1}]}
    headers = {"Sec-Fetch-Site": "cross-site"}
    refused("POST", "/studies/{s}/import", 403, "cross-site", json=body, headers=headers)
    wire.refused("POST", "/studies/never/import", 404, "study-not-found", json=body)
    wire.refused("POST", "/studies/.bad/import", 422, "name-invalid", json=body)


def test_every_step_that_can_be_reported_can_be_imported(wire: Wire) -> None:
    name = wire.put()
    steps = {"2147483648": 0.5, str(2**63 - 1): 0.25}
    item = {"params": {"x": 0}, "value": 1, "intermediate_values": steps}
    wire.ok("POST", f"/studies/{name}/import", json={"items": [item]})
    assert wire.trial(name, 0)["intermediate_values"] == steps
