"""Trials over v1: every route's fields, statuses and codes; a refusal changes nothing."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire, problem, wire_of

TRIAL_FIELDS = {
    "study",
    "study_uid",
    "number",
    "state",
    "params",
    "distributions",
    "values",
    "intermediate_values",
    "constraints",
    "user_attrs",
    "worker",
    "attempt",
    "lease",
    "stop_requested",
    "fail_reason",
    "retry_of",
    "spec_version",
    "created_at",
    "started_at",
    "finished_at",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def at(text: str) -> datetime:
    assert TIME.fullmatch(text)
    return datetime.fromisoformat(text)


# Ask


def test_an_asked_trial_has_every_field(wire: Wire) -> None:
    name = wire.put()
    before = datetime.now(UTC).replace(microsecond=0)
    trial = wire.ask(name)
    assert set(trial) == TRIAL_FIELDS
    assert set(trial["params"]) == {"x", "n"}
    assert type(trial["params"]["x"]) is float
    assert type(trial["params"]["n"]) is int
    assert trial["created_at"] == trial["started_at"]
    assert before <= at(trial["started_at"]) <= datetime.now(UTC)
    fixed = {key: trial[key] for key in TRIAL_FIELDS - {"params", "created_at", "started_at"}}
    assert fixed == {
        "study": name,
        "study_uid": wire.study(name)["uid"],
        "number": 0,
        "state": "running",
        "distributions": {},
        "values": None,
        "intermediate_values": {},
        "constraints": {},
        "user_attrs": {},
        "worker": None,
        "attempt": 1,
        "lease": None,
        "stop_requested": False,
        "fail_reason": None,
        "retry_of": None,
        "spec_version": wire.study(name)["spec_version"],
        "finished_at": None,
    }
    assert wire.trial(name, 0) == trial


def test_an_ask_may_say_more(wire: Wire) -> None:
    name = wire.put()
    trial = wire.ask(
        name,
        worker="gpu-03-4711",
        lease_seconds=90.5,
        params={"x": 1, "n": 2.0},
        user_attrs={"host": "gpu-03", "list": [1, {"a": None}]},
    )
    assert trial["worker"] == "gpu-03-4711"
    assert trial["params"] == {"x": 1.0, "n": 2}
    assert (type(trial["params"]["x"]), type(trial["params"]["n"])) == (float, int)
    assert trial["user_attrs"] == {"host": "gpu-03", "list": [1, {"a": None}]}
    assert set(trial["lease"]) == {"id", "expires_at"}
    held = (at(trial["lease"]["expires_at"]) - at(trial["started_at"])).total_seconds()
    assert abs(held - 90.5) < 0.1
    assert wire.trial(name, 0) == trial


def test_null_stands_for_an_absent_optional_field(wire: Wire) -> None:
    name = wire.put(SPACE, lease=60)
    assert wire.ask(name, worker=None, lease_seconds=None)["lease"] is not None
    told = wire.tell(name, 0, value=1, values=None, reason=None, lease=None)
    assert told["values"] == [1.0]


def test_part_of_the_parameters_may_be_fixed(wire: Wire) -> None:
    name = wire.put()
    trial = wire.ask(name, params={"n": 5})
    assert trial["params"]["n"] == 5
    assert -10 <= trial["params"]["x"] <= 10


@pytest.mark.parametrize(
    "params", [{"n": 0}, {"n": 10}, {"n": 1.5}, {"n": "5"}, {"n": True}, {"x": None}, {"z": 1}]
)
def test_a_parameter_outside_the_study_is_refused(refused: Refused, params: Any) -> None:
    refused("POST", "/studies/{s}/trials", 422, "value-invalid", json={"params": params})


def test_with_an_empty_space_any_name_is_kept(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    trial = wire.ask(name, params={"anything": "at all"})
    assert trial["params"] == {}
    assert trial["state"] == "running"


def test_resume_gives_a_worker_its_own_trial_back(wire: Wire) -> None:
    name = wire.put()
    first = wire.ask(name, worker="w", lease_seconds=600)
    wire.ask(name, worker="other", lease_seconds=600)
    report = {"step": 3, "value": 0.5, "lease": first["lease"]["id"]}
    wire.ok("POST", f"/studies/{name}/trials/0/report", json=report)
    again = wire.ask(name, worker="w", resume=True, lease_seconds=600)
    assert (again["number"], again["attempt"], again["params"]) == (0, 2, first["params"])
    assert again["intermediate_values"] == {"3": 0.5}
    assert again["lease"]["id"] != first["lease"]["id"]


def test_the_same_key_gives_the_same_trial_and_another_body_under_it_is_refused(
    wire: Wire,
) -> None:
    name = wire.put()
    path, headers = f"/studies/{name}/trials", {"Idempotency-Key": "k-1"}
    body = {"worker": "w", "params": {"n": 1}}
    first = wire.request("POST", path, json=body, headers=headers)
    with wire.unchanged(name):
        again = wire.request("POST", path, json=body, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        for other in ({}, {"worker": "w", "params": {"n": 2}}, {**body, "lease_seconds": 1}):
            wire.refused("POST", path, 422, "key-reused", json=other, headers=headers)
    wire.tell(name, 0, value=1)
    assert wire.ok("POST", path, json=body, headers=headers)["state"] == "complete"
    assert wire.ok("POST", path, json=body, headers={"Idempotency-Key": "k-2"})["number"] == 1


def test_a_key_is_of_one_study(wire: Wire) -> None:
    headers = {"Idempotency-Key": "shared"}
    for name in (wire.put(), wire.put()):
        trial = wire.ok("POST", f"/studies/{name}/trials", json={"worker": name}, headers=headers)
        assert (trial["study"], trial["number"]) == (name, 0)


def test_a_key_of_a_trial_that_was_handed_on_is_a_lost_lease(wire: Wire) -> None:
    name = wire.put()
    path, headers = f"/studies/{name}/trials", {"Idempotency-Key": "k"}
    trial = wire.ok("POST", path, json={"lease_seconds": 600}, headers=headers)
    wire.ok("POST", f"{path}/0/release", json={"lease": trial["lease"]["id"]})
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("POST", path, 409, "lease-lost", json={"lease_seconds": 600}, headers=headers)


def test_a_full_study_says_when_to_ask_again_and_then_that_it_is_finished(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=1)
    path = f"/studies/{name}/trials"
    lease = wire.ask(name, lease_seconds=600)["lease"]["id"]
    with wire.unchanged(name):
        wire.refused("POST", path, 429, "no-slot")
        assert wire.study(name)["state"] == "open"
    wire.tell(name, 0, value=1, lease=lease)
    with wire.unchanged(name):
        document = wire.refused("POST", path, 409, "study-finished")
    assert document["finished_reason"] == "max_trials"
    assert wire.study(name)["finished_reason"] == "max_trials"


def test_a_full_house_says_when_to_ask_again(wire: Wire) -> None:
    name = wire.put(SPACE, max_running=1)
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("POST", f"/studies/{name}/trials", 429, "no-slot")
    wire.tell(name, 0, value=1)
    assert wire.ask(name)["number"] == 1


# Tell


def test_a_told_trial_shows_its_result(wire: Wire) -> None:
    name = wire.put()
    asked = wire.ask(name, user_attrs={"a": 1})
    told = wire.tell(
        name, 0, value=0.25, constraints={"mem": -1}, user_attrs={"b": 2}, reason="ignored"
    )
    assert set(told) == TRIAL_FIELDS
    assert (told["state"], told["values"], told["constraints"]) == (
        "complete",
        [0.25],
        {"mem": -1.0},
    )
    assert told["user_attrs"] == {"a": 1, "b": 2}
    assert told["params"] == asked["params"]
    assert (told["lease"], told["stop_requested"], told["fail_reason"]) == (None, False, None)
    assert at(told["finished_at"]) >= at(told["started_at"])
    assert wire.trial(name, 0) == told


def test_value_is_short_for_values_of_one(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    told = wire.tell(name, 0, values=[1.5])
    with wire.unchanged(name):
        assert wire.tell(name, 0, value=1.5) == told


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": None},
        {"values": []},
        {"values": [1, 2]},
        {"state": "pruned", "values": [1, 2]},
        {"state": "fail", "value": 1},
    ],
)
def test_values_that_do_not_fit_leave_the_trial_open(refused: Refused, body: Any) -> None:
    refused("POST", "/studies/{s}/trials/1/tell", 422, "value-invalid", json=body)


def test_a_failure_keeps_its_reason(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.ask(name)
    told = wire.tell(name, 0, state="fail", reason="CUDA out of memory\n  at line 3")
    assert (told["state"], told["values"]) == ("fail", None)
    assert told["fail_reason"] == "CUDA out of memory\n  at line 3"
    assert wire.tell(name, 1, state="fail")["fail_reason"] is None


def test_pruned_takes_its_value_or_the_last_report_or_none(wire: Wire) -> None:
    name = wire.put()
    for _ in range(3):
        wire.ask(name)
    for step, value in [(5, 0.5), (1, 0.1)]:
        report = {"step": step, "value": value}
        wire.ok("POST", f"/studies/{name}/trials/0/report", json=report)
    assert wire.tell(name, 0, state="pruned")["values"] == [0.5]
    assert wire.tell(name, 1, state="pruned", value=0.7)["values"] == [0.7]
    assert wire.tell(name, 2, state="pruned")["values"] is None


SAME: list[Mapping[str, Any]] = [
    {"value": 1.0},
    {"state": "complete", "values": [1]},
    {"state": "pruned", "value": 2.0},
    {"state": "fail", "reason": "r"},
]


@pytest.mark.parametrize("body", SAME, ids=str)
def test_the_same_result_twice_is_200_and_another_409_with_the_stored_trial(
    wire: Wire, body: Mapping[str, Any]
) -> None:
    name = wire.put()
    wire.ask(name)
    told = wire.tell(name, 0, **body)
    with wire.unchanged(name):
        assert wire.tell(name, 0, **body) == told
        for other in (
            {"value": 9.0},
            {"state": "pruned", "value": 9.0},
            {"state": "fail"} if body.get("state") != "fail" else {"state": "pruned"},
        ):
            path = f"/studies/{name}/trials/0/tell"
            assert wire.refused("POST", path, 409, "trial-finished", json=other)["trial"] == told


def test_a_result_nothing_like_finite_reaches_no_trial(refused: Refused) -> None:
    path = "/studies/{s}/trials/1/tell"
    for text in (b"NaN", b"Infinity", b"-Infinity", b"1e309", b"-1e400"):
        refused("POST", path, 400, "json-invalid", content=b'{"value": ' + text + b"}")


# Trials that a caller cannot change

OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("tell", {"state": "fail"}),
    ("tell", {"state": "pruned", "value": 1}),
    ("report", {"step": 1, "value": 1}),
    ("renew", {"lease": "another"}),
    ("release", {}),
]


@pytest.mark.parametrize(("route", "body"), OTHERS)
@pytest.mark.parametrize("lease", [None, "another"])
def test_only_its_holder_may_change_a_leased_trial(
    refused: Refused, route: str, body: dict[str, Any], lease: str | None
) -> None:
    body = body if lease is None else {**body, "lease": lease}
    refused("POST", f"/studies/{{s}}/trials/3/{route}", 409, "lease-lost", json=body)


WITHOUT_LEASE = [(route, body) for route, body in OTHERS if "lease" not in body]


@pytest.mark.parametrize("trial", [0, 2, 3], ids=["finished", "queued", "leased"])
@pytest.mark.parametrize(("route", "body"), [*OTHERS, ("tell", {"value": 99})])
def test_a_lease_that_a_trial_never_had_is_lost_in_every_state(
    refused: Refused, route: str, body: dict[str, Any], trial: int
) -> None:
    foreign = {**body, "lease": "another"}
    refused("POST", f"/studies/{{s}}/trials/{trial}/{route}", 409, "lease-lost", json=foreign)


@pytest.mark.parametrize(("route", "body"), [*WITHOUT_LEASE, ("stop", {}), ("tell", {"value": 1})])
def test_a_trial_that_was_never_handed_out_takes_nothing(
    refused: Refused, route: str, body: dict[str, Any]
) -> None:
    refused("POST", f"/studies/{{s}}/trials/2/{route}", 409, "trial-waiting", json=body)


@pytest.mark.parametrize(("route", "body"), [*WITHOUT_LEASE, ("stop", {}), ("tell", {"value": 99})])
def test_a_finished_trial_takes_nothing(refused: Refused, route: str, body: dict[str, Any]) -> None:
    document = refused("POST", f"/studies/{{s}}/trials/0/{route}", 409, "trial-finished", json=body)
    assert (document["trial"]["number"], document["trial"]["values"]) == (0, [1.5])
    assert set(document["trial"]) == TRIAL_FIELDS


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"user_attrs": {"a": 1}}),
        *[("POST", f"/{route}", body) for route, body in OTHERS],
        ("POST", "/stop", None),
        ("POST", "/retry", None),
        ("DELETE", "", None),
    ],
)
def test_what_does_not_exist_is_404(
    refused: Refused, wire: Wire, method: str, route: str, body: Any
) -> None:
    for number in (99, 2**53 - 1):
        refused(method, f"/studies/{{s}}/trials/{number}{route}", 404, "trial-not-found", json=body)
    with wire.unchanged():
        wire.refused(method, f"/studies/absent/trials/0{route}", 404, "study-not-found", json=body)


# Report, renew, release, stop


def test_a_report_answers_whether_to_go_on_and_renews_the_lease(wire: Wire) -> None:
    name = wire.put()
    lease = wire.ask(name, lease_seconds=600)["lease"]
    path = f"/studies/{name}/trials/0"
    report = {"step": 1, "value": 0.41, "lease": lease["id"]}
    answer = wire.ok("POST", f"{path}/report", json=report)
    assert set(answer) == {"should_prune", "stop_requested", "lease"}
    assert (answer["should_prune"], answer["stop_requested"]) == (False, False)
    assert answer["lease"]["id"] == lease["id"]
    assert at(answer["lease"]["expires_at"]) >= at(lease["expires_at"])
    wire.ok("POST", f"{path}/stop")
    again = wire.ok("POST", f"{path}/report", json={**report, "value": 9.9})
    assert again["stop_requested"] is True
    assert wire.trial(name, 0)["intermediate_values"] == {"1": 0.41}


def test_reports_come_back_in_the_order_of_their_steps(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    for step in (10, 2, 0, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1):
        body = {"step": step, "value": -step}
        answer = wire.ok("POST", f"/studies/{name}/trials/0/report", json=body)
        assert answer["lease"] is None
    reports = wire.trial(name, 0)["intermediate_values"]
    assert list(reports.items()) == [
        ("0", 0.0),
        ("2", -2.0),
        ("10", -10.0),
        ("2147483647", -2147483647.0),
        ("2147483648", -2147483648.0),
        (str(2**53 + 1), -float(2**53)),
        (str(2**63 - 1), -float(2**63)),
    ]


def test_the_pruner_is_asked(wire: Wire) -> None:
    name = wire.put(SPACE, pruner={"name": "threshold", "upper": 1.0})
    wire.ask(name)
    path = f"/studies/{name}/trials/0/report"
    assert wire.ok("POST", path, json={"step": 0, "value": 0.5})["should_prune"] is False
    assert wire.ok("POST", path, json={"step": 1, "value": 1.5})["should_prune"] is True


def test_a_renewal_gives_another_term(wire: Wire) -> None:
    name = wire.put()
    lease = wire.ask(name, lease_seconds=60)["lease"]
    path = f"/studies/{name}/trials/0"
    answer = wire.ok("POST", f"{path}/renew", json={"lease": lease["id"], "lease_seconds": 600})
    assert set(answer) == {"stop_requested", "lease"}
    assert answer["stop_requested"] is False
    longer = at(answer["lease"]["expires_at"]) - at(lease["expires_at"])
    assert 500 < longer.total_seconds() < 600
    assert wire.trial(name, 0)["lease"] == answer["lease"]


def test_a_released_trial_waits_and_is_handed_out_again(wire: Wire) -> None:
    name = wire.put()
    first = wire.ask(name, worker="w", lease_seconds=600)
    path = f"/studies/{name}/trials/0"
    released = wire.ok("POST", f"{path}/release", json={"lease": first["lease"]["id"]})
    assert set(released) == TRIAL_FIELDS
    assert (released["state"], released["lease"], released["worker"]) == ("waiting", None, None)
    assert released["params"] == first["params"]
    again = wire.ask(name, worker="v")
    assert (again["number"], again["attempt"], again["worker"]) == (0, 2, "v")
    assert again["params"] == first["params"]


def test_a_released_trial_still_takes_its_result(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.ok("POST", f"/studies/{name}/trials/0/release")
    assert wire.tell(name, 0, value=1)["state"] == "complete"


def test_a_worker_told_to_stop_learns_it_and_fails_as_stopped(wire: Wire) -> None:
    name = wire.put(SPACE, max_failed_trials=1)
    lease = wire.ask(name, lease_seconds=600)["lease"]["id"]
    path = f"/studies/{name}/trials/0"
    stopped = wire.ok("POST", f"{path}/stop")
    assert (stopped["state"], stopped["stop_requested"]) == ("running", True)
    with wire.unchanged(name):
        assert wire.ok("POST", f"{path}/stop") == stopped
    assert wire.ok("POST", f"{path}/renew", json={"lease": lease})["stop_requested"] is True
    told = wire.tell(name, 0, state="fail", reason="stopped", lease=lease)
    assert told["fail_reason"] == "stopped"
    assert wire.study(name)["state"] == "open"  # it does not count as a failure


# Attributes, cancel


def test_attributes_are_merged(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name, user_attrs={"a": 1, "b": 1})
    path = f"/studies/{name}/trials/0"
    patched = wire.ok("PATCH", path, json={"user_attrs": {"b": [2, None], "ü": {"c": True}}})
    assert patched["user_attrs"] == {"a": 1, "b": [2, None], "ü": {"c": True}}
    assert patched == wire.trial(name, 0)


def test_attributes_take_every_json_value_as_it_is(wire: Wire) -> None:
    name = wire.put()
    attrs: dict[str, Any] = {
        "big": 2**80,
        "whole": 1,
        "float": 1.0,
        "true": True,
        "none": None,
        "text": "1e5",
        "small": 5e-324,
        "exact": 0.1 + 0.2,
        "deep": {"a": [{"b": []}]},
    }
    wire.ask(name)
    wire.ok("PATCH", f"/studies/{name}/trials/0", json={"user_attrs": attrs})
    found = wire.trial(name, 0)["user_attrs"]
    assert found == attrs
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in attrs.items()
    }


def test_cancelling_fails_every_running_trial(wire: Wire) -> None:
    name = wire.put(SPACE, enqueue=[{"n": 1}, {"n": 2}], max_failed_trials=1)
    wire.ask(name)
    wire.ask(name, params={"n": 5})
    wire.ask(name, params={"n": 6})
    wire.tell(name, 2, value=1)
    path = f"/studies/{name}/trials?state=running"
    assert wire.ok("DELETE", path) == {"cancelled": 2}
    states = [t["state"] for t in wire.ok("GET", f"/studies/{name}/trials")["items"]]
    assert states == ["fail", "waiting", "complete", "fail"]
    assert wire.trial(name, 3)["fail_reason"] == "cancelled"
    assert wire.study(name)["state"] == "open"  # cancelling does not count as a failure
    with wire.unchanged(name):
        assert wire.ok("DELETE", path) == {"cancelled": 0}
        told = {"value": 1}
        wire.refused("POST", f"/studies/{name}/trials/3/tell", 409, "trial-finished", json=told)


@pytest.mark.parametrize("query", ["", "?state=complete", "?state=", "?state=running&state=fail"])
def test_what_to_cancel_must_be_said(refused: Refused, query: str) -> None:
    refused("DELETE", f"/studies/{{s}}/trials{query}", 422, "request-invalid")


# Listing


@pytest.fixture(scope="module")
def many(wire: Wire) -> str:
    """A study with 12 trials: 0 to 5 complete with the values 5 to 0, 6 pruned, 7 failed, 8 on running."""
    name = wire.put()
    for number in range(12):
        wire.ask(name, worker=f"w{number % 2}")
        if number < 6:
            wire.tell(name, number, value=5 - number)
    wire.tell(name, 6, state="pruned")
    wire.tell(name, 7, state="fail")
    return name


def numbers(wire: Wire, name: str, **query: Any) -> list[int]:
    found: list[int] = []
    page: dict[str, Any] = {}
    while page.get("next", "") is not None:
        token = {"page": page["next"]} if page else {}
        page = wire.ok("GET", f"/studies/{name}/trials", params={**query, **token})
        assert set(page) == {"items", "next"}
        assert len(page["items"]) <= query.get("limit", 100)
        found += [trial["number"] for trial in page["items"]]
    return found


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 13, 1000])
def test_every_order_and_filter_pages_without_gap_or_repetition(
    wire: Wire, many: str, limit: int
) -> None:
    every = list(range(12))
    assert numbers(wire, many, limit=limit) == every
    assert numbers(wire, many, limit=limit, order="-number") == every[::-1]
    by_value = numbers(wire, many, limit=limit, order="value")
    assert by_value[:6] == [5, 4, 3, 2, 1, 0]
    assert sorted(by_value) == every
    descending = numbers(wire, many, limit=limit, order="-value")
    assert descending[:6] == [0, 1, 2, 3, 4, 5]
    assert numbers(wire, many, limit=limit, state="running") == [8, 9, 10, 11]
    assert numbers(wire, many, limit=limit, state="pruned") == [6]
    assert numbers(wire, many, limit=limit, state="fail") == [7]
    assert numbers(wire, many, limit=limit, state="waiting") == []
    assert numbers(wire, many, limit=limit, worker="w1", state="complete") == [1, 3, 5]
    assert numbers(wire, many, limit=limit, worker="w1", order="-value", state="complete") == [
        1,
        3,
        5,
    ]


def test_a_listed_trial_is_the_trial(wire: Wire, many: str) -> None:
    page = wire.ok("GET", f"/studies/{many}/trials")
    assert page["next"] is None
    assert page["items"] == [wire.trial(many, number) for number in range(12)]


def test_paging_is_stable_while_trials_are_added(wire: Wire) -> None:
    name = wire.put()
    for value in (3, 1, 2):
        wire.tell(name, wire.ask(name)["number"], value=value)
    path = f"/studies/{name}/trials"
    pages = {
        order: wire.ok("GET", path, params={"order": order, "limit": 1, "state": "complete"})
        for order in ("number", "-number", "value", "-value")
    }
    for later in (0, 1.5, 4):
        wire.tell(name, wire.ask(name)["number"], value=later)
    for order, page in pages.items():
        found = [page["items"][0]["number"]]
        while page["next"]:
            query = {"order": order, "limit": 1, "state": "complete", "page": page["next"]}
            page = wire.ok("GET", path, params=query)
            found.append(page["items"][0]["number"])
        assert len(found) == len(set(found))
        assert {0, 1, 2} <= set(found)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.0",
        "limit=1e2",
        "limit=1_0",
        "limit=",
        "limit=all",
        "limit=" + "9" * 5000,
        "state=RUNNING",
        "state=",
        "order=values",
        "order=+number",
        "worker=" + "w" * 256,
        "limit=5&limit=6",
    ],
)
def test_a_query_that_is_off_is_refused(refused: Refused, query: str) -> None:
    refused("GET", f"/studies/{{s}}/trials?{query}", 422, "request-invalid")


def test_a_page_token_is_of_one_listing_alone(wire: Wire, many: str, study: str) -> None:
    token = wire.ok("GET", f"/studies/{many}/trials?limit=2")["next"]
    other = wire.ok("GET", "/studies?limit=1")["next"]
    for path in (
        f"/studies/{study}/trials?page={token}",
        f"/studies/{many}/trials?page={token}&order=value",
        f"/studies/{many}/trials?page={token}&state=running",
        f"/studies/{many}/trials?page={token}&worker=w1",
        f"/studies?page={token}",
        f"/studies/{many}/trials?page={other}",
        f"/studies?page={other}&state=open",
    ):
        wire.refused("GET", path, 422, "request-invalid")
    assert wire.ok("GET", f"/studies/{many}/trials?limit=1&page={token}")["items"]


@pytest.mark.parametrize(
    "token", ["", "0", "abc", "MTA", "WzFd", "%00", "é", "W10", "e30", "A" * 1001, "bnVsbA"]
)
def test_a_page_token_that_no_page_gave_is_refused(refused: Refused, token: str) -> None:
    refused("GET", f"/studies/{{s}}/trials?page={token}", 422, "request-invalid")
    refused("GET", f"/studies?page={token}", 422, "request-invalid")


# Over a restart


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Any) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put(SPACE, max_trials=9)
        headers = {"Idempotency-Key": "k"}
        asked = wire.ok("POST", f"/studies/{name}/trials", json={"worker": "w"}, headers=headers)
        wire.ask(name, lease_seconds=600)
        wire.ok("POST", f"/studies/{name}/trials/0/report", json={"step": 1, "value": 1})
        wire.ok("PATCH", f"/studies/{name}", json={"state": "paused", "user_attrs": {"a": 1}})
        token = wire.ok("GET", f"/studies/{name}/trials?limit=1")["next"]
        study, trials = wire.study(name), [wire.trial(name, number) for number in range(2)]
    with wire_of(tmp_path) as wire:
        assert wire.study(name) == {
            **study,
            "last_activity_at": wire.study(name)["last_activity_at"],
        }
        assert wire.trial(name, 0) == trials[0]
        lease = trials[1].pop("lease")
        again = wire.trial(name, 1)
        assert again.pop("lease")["id"] == lease["id"]
        assert again == trials[1]
        replay = wire.ok("POST", f"/studies/{name}/trials", json={"worker": "w"}, headers=headers)
        assert replay["params"] == asked["params"]
        page = wire.ok("GET", f"/studies/{name}/trials?page={token}")
        assert [trial["number"] for trial in page["items"]] == [1]


def test_every_number_in_a_reply_is_finite(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.tell(name, 0, value=1.7976931348623157e308)
    assert math.isfinite(wire.study(name)["best"]["values"][0])


def test_a_problem_is_never_kept_by_a_cache(wire: Wire) -> None:
    problem(wire.request("GET", "/studies/absent"), 404, "study-not-found")
