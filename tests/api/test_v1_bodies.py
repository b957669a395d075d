"""What v1 takes for a body: strict JSON, exact types, no field it does not know; and refusals that
change nothing.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Refused
from tests.api.wire import Wire

TRIAL = "/studies/{s}/trials/1"
# Every route that takes a JSON body, with a valid body.
ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "put": ("PUT", "/studies/never", {"parameters": {"x": {"type": "int", "low": 0, "high": 1}}}),
    "patch study": ("PATCH", "/studies/{s}", {"state": "paused"}),
    "ask": ("POST", "/studies/{s}/trials", {"worker": "w"}),
    "tell": ("POST", f"{TRIAL}/tell", {"value": 1.0}),
    "report": ("POST", f"{TRIAL}/report", {"step": 1, "value": 0.5}),
    "renew": ("POST", "/studies/{s}/trials/3/renew", {"lease": "unknown"}),
    "release": ("POST", f"{TRIAL}/release", {}),
    "stop": ("POST", f"{TRIAL}/stop", {}),
    "patch trial": ("PATCH", TRIAL, {"user_attrs": {"a": 1}}),
}
every_route = pytest.mark.parametrize("route", ROUTES)

NOT_JSON = {
    "nothing that is JSON": b"value=1",
    "an unfinished object": b'{"value": 1',
    "a comma too many": b'{"value": 1,}',
    "single quotes": b"{'value': 1}",
    "two values": b"{} {}",
    "NaN": b'{"value": NaN}',
    "Infinity": b'{"value": Infinity}',
    "-Infinity": b'{"value": -Infinity}',
    "a number beyond floats": b'{"value": 1e999}',
    "a negative number beyond floats": b'{"user_attrs": {"a": [-1e999]}}',
    "an integer of 5000 digits": b'{"value": ' + b"9" * 5000 + b"}",
    "a repeated name": b'{"value": 1, "value": 2}',
    "a repeated name below": b'{"user_attrs": {"a": 1, "a": 1}}',
    "half of a surrogate pair": rb'{"user_attrs": {"a": "\ud800"}}',
    "half of a surrogate pair in a name": rb'{"user_attrs": {"\udfff": 1}}',
    "Latin-1": '{"worker": "é"}'.encode("latin-1"),
    "UTF-16": '{"worker": "e"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "deep lists": b'{"user_attrs": {"a": ' + b"[" * 100 + b"]" * 100 + b"}}",
    "very deep lists": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"a":' * 300 + b"1" + b"}" * 300,
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strict_json_is_refused(refused: Refused, content: bytes) -> None:
    refused("POST", f"{TRIAL}/tell", 400, "json-invalid", content=content)


@every_route
def test_every_route_reads_strict_json(refused: Refused, route: str) -> None:
    method, path, _ = ROUTES[route]
    refused(method, path, 400, "json-invalid", content=b'{"a": NaN}')
    refused(method, path, 400, "json-invalid", content=b'{"a": 1, "a": 1}')


@every_route
@pytest.mark.parametrize("content", [b"null", b"3", b'"text"', b"true", b"[1]"])
def test_a_body_that_is_no_object_is_refused(refused: Refused, route: str, content: bytes) -> None:
    method, path, _ = ROUTES[route]
    code = "config-invalid" if route == "put" and content == b"[1]" else "request-invalid"
    refused(method, path, 422, code, content=content)


@every_route
def test_a_field_that_is_not_listed_is_refused_by_name(refused: Refused, route: str) -> None:
    method, path, body = ROUTES[route]
    code = "config-invalid" if route == "put" else "request-invalid"
    document = refused(method, path, 422, code, json={**body, "unlisted": 1})
    assert "unlisted" in json.dumps(document["errors"])


@every_route
def test_a_body_over_a_mebibyte_is_refused(refused: Refused, route: str) -> None:
    method, path, _ = ROUTES[route]
    refused(method, path, 413, "too-large", content=b'{"a": "' + b"x" * 2**20 + b'"}')


@pytest.mark.parametrize("size", [2**20 + 1, 8 * 2**20])
def test_a_chunked_body_over_a_mebibyte_is_refused_without_its_length(
    refused: Refused, size: int
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"{"
        for _ in range(size // 2**10):
            yield b" " * 2**10
        yield b"}"

    refused("POST", "/studies/{s}/trials", 413, "too-large", content=chunks())


def test_a_body_that_is_too_large_is_told_its_size_the_limit_and_the_setting(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    content = json.dumps({"user_attrs": {"a": "x" * 2**20}}).encode()
    for sent, size in ((content, f"{len(content)} bytes"), (iter([content]), "more than 1048576")):
        path = f"/studies/{name}/trials/0"
        detail = wire.refused("PATCH", path, 413, "too-large", content=sent)["detail"]
        assert size in detail
        assert "1048576" in detail
        assert "OPTUNAPI_MAX_BODY" in detail
    import_ = f"/studies/{name}/import"
    large = b" " * (64 * 2**20 + 1)
    detail = wire.refused("POST", import_, 413, "too-large", content=large)["detail"]
    assert "67108865 bytes, and 67108864 are allowed" in detail
    assert "OPTUNAPI_MAX_BODY" in detail


def test_a_body_of_a_mebibyte_is_taken(wire: Wire) -> None:
    name = wire.put()
    start = b'{"user_attrs": {"a": "'
    content = start + b"x" * (2**20 - len(start) - 3) + b'"}}'
    assert len(content) == 2**20
    trial = wire.ok("POST", f"/studies/{name}/trials", content=content)
    assert wire.trial(name, 0)["user_attrs"] == trial["user_attrs"]


@pytest.mark.parametrize("route", ["put", "report", "renew", "patch trial"])
def test_a_body_that_is_needed_may_not_be_absent(refused: Refused, route: str) -> None:
    method, path, _ = ROUTES[route]
    refused(method, path, 400, "json-invalid")


def test_the_nearest_field_to_a_misspelt_one_is_named(refused: Refused) -> None:
    problem = refused(
        "POST", "/studies/{s}/trials", 422, "request-invalid", json={"lease_second": 5}
    )
    (error,) = problem["errors"]
    assert error["location"] == ["body", "lease_second"]
    assert error["reason"].startswith(
        'there is no such field; did you mean "lease_seconds"? Allowed: '
    )


def test_a_body_whose_every_field_is_optional_may_be_absent(wire: Wire) -> None:
    name = wire.put(pruner={"name": "median"})
    trial = f"/studies/{name}/trials/0"
    assert wire.ok("POST", f"/studies/{name}/trials")["number"] == 0
    assert wire.ok("PATCH", f"/studies/{name}")["state"] == "open"
    assert wire.ok("POST", f"{trial}/stop")["stop_requested"] is True
    assert wire.ok("POST", f"{trial}/release")["state"] == "waiting"
    assert wire.ok("POST", f"/studies/{name}/trials")["number"] == 0
    # A tell may have no body; it is then refused for the missing value.
    wire.refused("POST", f"{trial}/tell", 422, "value-invalid")


WRONG = [
    ("ask", {"worker": 3}),
    ("ask", {"worker": ""}),
    ("ask", {"worker": "w" * 256}),
    ("ask", {"resume": 1, "worker": "w"}),
    ("ask", {"resume": "true", "worker": "w"}),
    ("ask", {"resume": True}),
    ("ask", {"lease_seconds": "60"}),
    ("ask", {"lease_seconds": True}),
    ("ask", {"lease_seconds": 0}),
    ("ask", {"lease_seconds": -1}),
    ("ask", {"lease_seconds": 31_536_001}),
    ("ask", {"lease_seconds": 10**400}),
    ("ask", {"params": []}),
    ("ask", {"params": {"x": [1]}}),
    ("ask", {"params": {"x": {"a": 1}}}),
    ("ask", {"params": None}),
    ("ask", {"user_attrs": [1]}),
    ("ask", {"user_attrs": {"a" * 513: 1}}),
    ("ask", {"user_attrs": {"a\0b": 1}}),
    ("tell", {"value": "3"}),
    ("tell", {"value": True}),
    ("tell", {"value": [1]}),
    ("tell", {"value": 10**400}),
    ("tell", {"values": 1}),
    ("tell", {"values": ["1"]}),
    ("tell", {"values": [True]}),
    ("tell", {"values": [None]}),
    ("tell", {"value": 1, "values": [1]}),
    ("tell", {"value": 1, "state": "COMPLETE"}),
    ("tell", {"value": 1, "state": "running"}),
    ("tell", {"value": 1, "state": None}),
    ("tell", {"state": "fail", "reason": 3}),
    ("tell", {"value": 1, "constraints": {"c": "0"}}),
    ("tell", {"value": 1, "constraints": {"c": None}}),
    ("tell", {"value": 1, "constraints": [1]}),
    ("tell", {"value": 1, "constraints": {"c" * 501: 1}}),
    ("tell", {"value": 1, "user_attrs": {"a\0": 1}}),
    ("tell", {"value": 1, "lease": 7}),
    ("report", {"value": 1}),
    ("report", {"step": 1}),
    ("report", {"step": 1.5, "value": 1}),
    ("report", {"step": "1", "value": 1}),
    ("report", {"step": True, "value": 1}),
    ("report", {"step": -1, "value": 1}),
    ("report", {"step": 2**63, "value": 1}),
    ("report", {"step": 1, "value": "1"}),
    ("report", {"step": 1, "value": False}),
    ("renew", {}),
    ("renew", {"lease": None}),
    ("renew", {"lease": "l", "lease_seconds": 0}),
    ("renew", {"lease": "l", "lease_seconds": "1"}),
    ("release", {"lease": 3}),
    ("stop", {"reason": "enough"}),
    ("patch trial", {}),
    ("patch trial", {"user_attrs": None}),
    ("patch trial", {"user_attrs": {"": 1, "k" * 513: 1}}),
    ("patch trial", {"user_attrs": {"a": 1}, "state": "fail"}),
    ("patch study", {"state": "stopped"}),
    ("patch study", {"state": True}),
    ("patch study", {"name": "other"}),
    ("patch study", {"limits": []}),
    ("patch study", {"limits": {"max_trails": 3}}),
    ("patch study", {"limits": {"max_trials": "3"}}),
    ("patch study", {"limits": {"max_trials": 3.5}}),
    ("patch study", {"limits": {"max_trials": True}}),
    ("patch study", {"limits": {"max_trials": 0}}),
    ("patch study", {"limits": {"max_running": -1}}),
    ("patch study", {"limits": {"max_duration": 0}}),
    ("patch study", {"limits": {"max_duration": "1h"}}),
    ("patch study", {"limits": {"max_cost": -0.5}}),
    ("patch study", {"limits": {"trial_timeout": 0}}),
    ("patch study", {"limits": {"target": "0.5"}}),
    ("patch study", {"limits": {"target": {}}}),
    ("patch study", {"limits": {"target": {"accuracy": 1}}}),
    ("patch study", {"limits": {"target": {"score": True}}}),
    ("patch study", {"lease_seconds": 0}),
    ("patch study", {"lease_seconds": 31_536_001}),
    ("patch study", {"user_attrs": None}),
    ("patch study", {"user_attrs": {"a\0": 1}}),
    ("patch study", {"state": "paused", "user_attrs": {"k" * 513: 1}}),
]


@pytest.mark.parametrize(("route", "body"), WRONG, ids=[f"{r} {str(b)[:60]}" for r, b in WRONG])
def test_types_are_exact_and_bounds_are_kept(
    refused: Refused, route: str, body: dict[str, Any]
) -> None:
    method, path, _ = ROUTES[route]
    refused(method, path, 422, "request-invalid", json=body)


def test_an_error_says_where_it_is(refused: Refused) -> None:
    body = {"worker": 3, "resume": 1, "lease": "l"}
    document = refused("POST", "/studies/{s}/trials", 422, "request-invalid", json=body)
    assert [error["location"] for error in document["errors"]] == [
        ["body", "worker"],
        ["body", "resume"],
        ["body", "lease"],
    ]


@pytest.mark.parametrize(
    ("distribution", "place", "reason"),
    [
        ({"type": "int", "low": 1.5, "high": 3}, ["low"], "it should be a valid integer, not 1.5"),
        ({"type": "int", "low": 1}, ["high"], "it is missing"),
        (
            {"type": "categorical", "choices": ["a", [1]]},
            ["choices", 1],
            "a parameter's value is a text, a number, a boolean or null: [1]",
        ),
        (
            {"type": "nope"},
            ["type"],
            "it should be one of 'float', 'int', 'categorical', not \"nope\"",
        ),
        ({"low": 1, "high": 2}, ["type"], "it is missing"),
        ({"type": "float", "low": 0, "high": 1, "lo": 1}, ["lo"], None),
        ([], [], None),
    ],
)
def test_an_error_in_one_of_several_forms_is_where_the_body_has_it(
    refused: Refused, distribution: Any, place: list[Any], reason: str | None
) -> None:
    body = {"name": "p", "distribution": distribution}
    document = refused("POST", f"{TRIAL}/suggest", 422, "request-invalid", json=body)
    (error,) = document["errors"]
    assert error["location"] == ["body", "distribution", *place]
    assert reason in (None, error["reason"])


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PATCH", "/studies/{s}", {"limits": {"target": [None, None]}}, ["limits", "target"]),
        ("POST", "/studies/{s}/import", {"items": [[1]]}, ["items", 0]),
        ("POST", "/studies/{s}/import", {"items": [None]}, ["items", 0]),
        ("POST", "/studies/{s}/import", {"items": [{"values": {"0": 1}}]}, ["items", 0, "values"]),
        ("POST", f"{TRIAL}/suggest", {"name": "p", "distribution": [1]}, ["distribution"]),
    ],
)
def test_a_list_where_an_object_is_meant_is_refused_where_it_is(
    refused: Refused, method: str, path: str, body: dict[str, Any], place: list[Any]
) -> None:
    document = refused(method, path, 422, "request-invalid", json=body)
    assert any(error["location"][1:][: len(place)] == place for error in document["errors"])


def test_many_errors_do_not_make_a_reply_larger_than_the_request(wire: Wire, study: str) -> None:
    content = json.dumps({"values": ["1"] * 200_000}).encode()
    response = wire.request("POST", f"/studies/{study}/trials/1/tell", content=content)
    assert response.status_code == 422
    assert len(response.content) < len(content) / 10


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_has_1_to_255_characters(refused: Refused, key: str) -> None:
    headers = {"Idempotency-Key": key}
    refused("POST", "/studies/{s}/trials", 422, "request-invalid", headers=headers)


def test_numbers_may_be_written_as_whole_numbers_where_floats_are_meant(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name, lease_seconds=60)
    assert wire.tell(name, 0, value=3)["values"] == [3.0]
    wire.ok("PATCH", f"/studies/{name}", json={"limits": {"max_duration": 60, "target": 1}})
    assert wire.study(name)["limits"]["target"] == {"score": 1.0}


def test_a_whole_number_may_be_written_with_a_point(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    report = b'{"step": 3.0, "value": 1}'
    wire.ok("POST", f"/studies/{name}/trials/0/report", content=report)
    assert wire.trial(name, 0)["intermediate_values"] == {"3": 1.0}
    study = wire.ok("PATCH", f"/studies/{name}", content=b'{"limits": {"max_trials": 1e1}}')
    assert (study["limits"]["max_trials"], type(study["limits"]["max_trials"])) == (10, int)


def test_text_of_every_script_comes_back_as_it_was_sent(wire: Wire) -> None:
    name = wire.put()
    attrs = {"π": "\N{GRINNING FACE} ñ 中文 \u202e", "a\u0000"[:1]: "nul \u0000 in a value", "": []}
    wire.ask(name, worker="бот-7", user_attrs=attrs)
    trial = wire.trial(name, 0)
    assert (trial["worker"], trial["user_attrs"]) == ("бот-7", attrs)
    found = wire.ok("GET", f"/studies/{name}/trials", params={"worker": "бот-7"})
    assert [trial["number"] for trial in found["items"]] == [0]


def test_the_type_of_a_body_is_not_asked_for(wire: Wire) -> None:
    name = wire.put()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # the default of curl -d
    wire.ok("POST", f"/studies/{name}/trials", content=b'{"worker": "w"}', headers=headers)
