"""Rules for every route of v1: names, methods, other sites."""

import re
from typing import Any

import httpx
import pytest

from tests.api.conftest import Refused
from tests.api.wire import SPACE, V1, Wire, problem

ROUTES: list[tuple[str, str]] = [
    ("PUT", "/studies/{s}"),
    ("GET", "/studies/{s}"),
    ("PATCH", "/studies/{s}"),
    ("DELETE", "/studies/{s}"),
    ("GET", "/studies/{s}/best"),
    ("POST", "/studies/{s}/trials"),
    ("GET", "/studies/{s}/trials"),
    ("DELETE", "/studies/{s}/trials?state=running"),
    ("GET", "/studies/{s}/trials/1"),
    ("PATCH", "/studies/{s}/trials/1"),
    ("POST", "/studies/{s}/trials/1/tell"),
    ("POST", "/studies/{s}/trials/1/report"),
    ("POST", "/studies/{s}/trials/1/renew"),
    ("POST", "/studies/{s}/trials/1/release"),
    ("POST", "/studies/{s}/trials/1/stop"),
]
CHANGING = [(method, path) for method, path in ROUTES if method != "GET"]
BODIES: dict[str, Any] = {
    "/studies/{s}": {"state": "paused"},
    "/studies/{s}/trials/1": {"user_attrs": {"a": 1}},
    "/studies/{s}/trials/1/tell": {"value": 1},
    "/studies/{s}/trials/1/report": {"step": 1, "value": 1},
    "/studies/{s}/trials/1/renew": {"lease": "l"},
}


def body_of(method: str, path: str) -> Any:
    return SPACE if method == "PUT" else BODIES.get(path) if method in {"POST", "PATCH"} else None


# Names

ILLEGAL = {
    "a space": "a%20b",
    "a leading dot": ".hidden",
    "a leading hyphen": "-rf",
    "a leading underscore": "_a",
    "two dots": "%2e%2e",
    "a newline": "a%0a",
    "a NUL": "a%00",
    "a letter with an accent": "%C3%A9",
    "bytes that are not UTF-8": "%ff%fe",
    "129 characters": "a" * 129,
    "a colon": "a:b",
    "a percent sign": "a%25b",
    "a backslash": "a%5Cb",
    "a full-width digit": "%EF%BC%91",
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", ["a%20b", "%2e%2e"])
def test_every_route_refuses_a_name_that_no_study_can_have(
    wire: Wire, method: str, path: str, name: str
) -> None:
    with wire.unchanged():
        body = body_of(method, path)
        wire.refused(method, path.format(s=name), 422, "name-invalid", json=body)


@pytest.mark.parametrize("name", ILLEGAL.values(), ids=ILLEGAL)
def test_an_illegal_name_touches_no_file(wire: Wire, name: str) -> None:
    with wire.unchanged():
        wire.refused("GET", f"/studies/{name}", 422, "name-invalid")
        wire.refused("PUT", f"/studies/{name}", 422, "name-invalid", json=SPACE)
        wire.refused("DELETE", f"/studies/{name}", 422, "name-invalid")


@pytest.mark.parametrize("name", ["a", "0", "A.b-c_d", "x" * 128, "m.yaml", "m.db", "CON", "a..b"])
def test_a_legal_name_names_a_study(wire: Wire, name: str) -> None:
    put = wire.request("PUT", f"/studies/{name}", json=SPACE)
    assert put.status_code == 201, put.text
    assert (put.json()["name"], put.json()["slug"]) == (name, name)
    assert wire.ask(name)["study"] == name
    assert wire.study(name)["trials"]["running"] == 1
    assert wire.request("DELETE", f"/studies/{name}?force=true").status_code == 204


def test_names_differ_by_case_and_by_ending(wire: Wire) -> None:
    names = ["case", "Case", "case.db", "case.yaml", "case."]
    for number, name in enumerate(names):
        wire.request("PUT", f"/studies/{name}", json={**SPACE, "max_trials": number + 1})
    limits = [wire.study(name)["limits"]["max_trials"] for name in names]
    assert limits == [1, 2, 3, 4, 5]


# Numbers of trials


@pytest.mark.parametrize("number", ["-1", "+1", "01", "1.0", "1e0", "1_0", "%201", "x", "٣", "0x1"])
def test_a_trials_number_is_written_in_digits_alone(refused: Refused, number: str) -> None:
    refused("GET", f"/studies/{{s}}/trials/{number}", 422, "request-invalid")
    told = {"value": 1}
    refused("POST", f"/studies/{{s}}/trials/{number}/tell", 422, "request-invalid", json=told)


# Methods and paths

PATHS = {
    "/studies": {"GET"},
    "/studies/{s}": {"GET", "PUT", "PATCH", "DELETE"},
    "/studies/{s}/best": {"GET"},
    "/studies/{s}/trials": {"GET", "POST", "DELETE"},
    "/studies/{s}/trials/1": {"GET", "PATCH", "DELETE"},
    "/studies/{s}/trials/1/tell": {"POST"},
    "/studies/{s}/trials/1/report": {"POST"},
    "/studies/{s}/trials/1/renew": {"POST"},
    "/studies/{s}/trials/1/release": {"POST"},
    "/studies/{s}/trials/1/stop": {"POST"},
    "/studies/{s}/trials/1/retry": {"POST"},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "SEARCH")


@pytest.mark.parametrize("path", PATHS)
def test_another_method_is_405_with_all_that_are_allowed(wire: Wire, study: str, path: str) -> None:
    with wire.unchanged(study):
        for method in METHODS:
            if method in PATHS[path]:
                continue
            response = wire.request(method, path.format(s=study))
            assert response.status_code == 405
            assert PATHS[path] <= set(re.split(", *", response.headers["Allow"]))
            assert method not in response.headers["Allow"].split(", ")
            problem(response, 405, "method-not-allowed")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nothing",
        "/studies/",
        "/studies/{s}/",
        "/studies/{s}/trials/",
        "/studies/{s}/trials/1/",
        "/studies/{s}/trials/1/unknown",
        "/studies//trials",
        "/studies/a%2Fb",
        "/STUDIES",
    ],
)
def test_an_unknown_path_is_404_and_no_redirect(refused: Refused, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        refused(method, path, 404, "route-not-found")


def test_a_path_that_looks_upward_is_not_followed(wire: Wire) -> None:
    response = wire.client.get(f"{V1}/studies/..%2f..%2fetc%2fpasswd")
    problem(response, 404, "route-not-found")


# Other sites

CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "http://evil.example/page"},
    {"Sec-Purpose": "prefetch"},
]


@pytest.mark.parametrize(("method", "path"), CHANGING)
@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_another_site_changes_nothing(
    refused: Refused, method: str, path: str, headers: dict[str, str]
) -> None:
    refused(method, path, 403, "cross-site", headers=headers, json=body_of(method, path))


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_that_a_request_is_of_another_site_is_said_before_anything_else(
    refused: Refused, method: str, path: str
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    refused(method, path, 403, "cross-site", headers=headers, content=b"not json")


def test_a_page_of_our_own_may_change_things(wire: Wire) -> None:
    name = wire.put()
    origin = str(wire.client.base_url).rstrip("/")
    headers = {"Origin": origin, "Referer": f"{origin}/optunapi/", "Sec-Fetch-Site": "same-origin"}
    assert wire.request("POST", f"/studies/{name}/trials", headers=headers).status_code == 201


def test_reading_is_not_refused_to_a_link_on_another_site(wire: Wire, study: str) -> None:
    headers = {"Referer": "http://evil.example/page"}
    assert wire.request("GET", f"/studies/{study}", headers=headers).status_code == 200


# Caches and connections


def test_every_reply_that_shows_a_trial_or_study_is_kept_by_no_cache(
    wire: Wire, study: str
) -> None:
    for method, path in ROUTES:
        if method == "GET":
            wire.ok(method, path.format(s=study))


def test_requests_on_one_connection_are_answered_in_turn_after_a_refusal(
    wire: Wire, study: str
) -> None:
    with httpx.Client(base_url=wire.client.base_url) as client:
        for _ in range(3):
            assert (
                client.post(f"{V1}/studies/{study}/trials/1/tell", content=b"{").status_code == 400
            )
            assert client.get(f"{V1}/studies/{study}").status_code == 200
