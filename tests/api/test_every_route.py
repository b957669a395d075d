"""What holds for every route: its query, HEAD, and a slash at the end of its path."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI

from optunapi.api import health, legacy, v1
from optunapi.api.http.replies import Ok
from optunapi.api.http.routes import V1, Routes
from optunapi.api.serving.access import Work
from optunapi.api.serving.fast_path import FastPath
from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import dump
from tests.api.wire import Wire, problem, wire_of
from tests.support import ROOT, scaled, write_config

CONFIG = "sampler: {name: random, seed: 1}\nparameters:\n  x: {type: float, low: 0, high: 1}\n"
RESOURCES = (legacy.routes, *v1.ROUTES, health.routes)
VALUES = {"state": "running", "older_than": "0", "trial_id": "0", "score": "0.5"}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A route with values in its path, the names its query may have, and those it must have."""

    method: str
    path: str
    names: tuple[str, ...]
    needed: tuple[str, ...]

    @property
    def is_v1(self) -> bool:
        return self.path.startswith(f"{V1}/")

    def url(self, *query: tuple[str, str]) -> str:
        pairs = [*((name, VALUES[name]) for name in self.needed), *query]
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
        return f"{self.path}?{text}" if text else self.path


def declared(app: FastAPI) -> Iterator[Declared]:
    """Every route in the OpenAPI document, and the paths that it does not have."""
    values = {"{name}": "m", "{model_name}": "m", "{n}": "0", "{filename}": "a.bin"}
    operations = [
        (method.upper(), path, operation.get("parameters", []))
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    for method, path, parameters in operations:
        here = path
        for part, value in values.items():
            here = here.replace(part, value)
        query = [each for each in parameters if each["in"] == "query"]
        yield Declared(
            method=method,
            path=here,
            names=tuple(each["name"] for each in query),
            needed=tuple(each["name"] for each in query if each["required"]),
        )


ALL = list(declared(create_app(Settings(home=ROOT))))
OF_V1 = [route for route in ALL if route.is_v1]
GETS = [route for route in ALL if route.method == "GET"]


def label(route: Declared) -> str:
    return f"{route.method} {route.path.removeprefix('/optunapi')}"


@pytest.fixture(scope="module", params=["fast path", "FastAPI"])
def both_ways(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    """A server with the study `m`: trial 0 complete, 1 and 2 running, 3 waiting, a file at trial 0."""
    home = tmp_path_factory.mktemp("routes")
    (home / "config").mkdir()
    write_config(home / "config" / "m.yaml", CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "FastAPI":
            patch.setattr(FastPath, "find", lambda *_: None)
        with wire_of(home) as wire:
            for worker in ("a", "a", "b"):
                wire.ask("m", worker=worker)
            wire.tell("m", 0, value=0.5)
            wire.ok("POST", "/studies/m/queue", json={"params": {"x": 0.5}})
            path = "/studies/m/trials/0/artifacts/a.bin"
            assert wire.request("PUT", path, content=b"abc").status_code == 201
            yield wire


def state_of(wire: Wire) -> Any:
    """Everything that a request could change."""
    files = [path for path in sorted(wire.home.rglob("*")) if path.is_file()]
    databases = {path.name: dump(path) for path in files if path.suffix == ".db"}
    others = {
        str(path): path.read_bytes()
        for path in files
        if ".db" not in path.name and path.suffix != ".lock"
    }
    return databases, others


def wrong_queries(route: Declared, rng: random.Random) -> Iterator[tuple[str, tuple[str, str]]]:
    """Pairs of a name and a value that make the route's query one it does not take."""
    for name in ("stat", "user_attr", "_", "", "a[]", "é", "\x00", "x" * 5000):
        yield name, (name, "1")
    for name in {*route.names, "state", "worker", "limit", "page", "force", "n", "wait"}:
        misspelt = {name.upper(), name[:-1], f"{name}s", f" {name}", f"{name} ", f"{name}[]"}
        misspelt |= {f"{name[:i]}{name[i + 1 :]}" for i in range(len(name))}
        misspelt |= {f"{name[:i]}{rng.choice('abcxyz_-')}{name[i:]}" for i in range(len(name))}
        if name not in route.names:
            misspelt.add(name)
        for each in sorted(misspelt - set(route.names)):
            yield each, (each, VALUES.get(name, "1"))


@pytest.mark.parametrize("route", OF_V1, ids=label)
def test_a_query_that_v1_does_not_declare_is_refused_and_changes_nothing(
    both_ways: Wire, route: Declared
) -> None:
    rng = random.Random(route.path)
    found = sorted(wrong_queries(route, rng))
    before = state_of(both_ways)
    for name, pair in rng.sample(found, min(len(found), scaled(12, 1000))):
        reply = both_ways.client.request(route.method, route.url(pair))
        document = problem(reply, 422, "request-invalid")
        assert ["query", name[:100]] in [error["location"] for error in document["errors"]]
        if route.method == "GET":
            assert both_ways.client.head(route.url(pair)).status_code == 422
    assert state_of(both_ways) == before


@pytest.mark.parametrize("route", [route for route in OF_V1 if route.names], ids=label)
def test_a_parameter_of_v1_is_given_once_and_not_empty(both_ways: Wire, route: Declared) -> None:
    before = state_of(both_ways)
    for name in route.names:
        once = (name, VALUES.get(name, "1"))
        pairs = [once] if name in route.needed else [once, once]
        problem(both_ways.client.request(route.method, route.url(*pairs)), 422, "request-invalid")
        given = [p for p in route.needed if p != name]
        for value in ("", "x" * 5000):
            query = "&".join([*(f"{each}={VALUES[each]}" for each in given), f"{name}={value}"])
            body = {"count": 1} if route.path.endswith("/batch") else None
            url = f"{route.path}?{query}"
            reply = both_ways.client.request(route.method, url, json=body)
            problem(reply, 422, "request-invalid")
    assert state_of(both_ways) == before


def test_a_misspelt_filter_cancels_nothing(wire: Wire) -> None:
    name = wire.put()
    for worker in "abc":
        wire.ask(name, worker=worker)
    with wire.unchanged(name):
        for query in ("stat=running", "state=running&wroker=a", "state=running&worker="):
            path = f"/studies/{name}/trials?{query}"
            wire.refused("DELETE", path, 422, "request-invalid")


BODIES: list[tuple[bytes, int, str]] = [
    (b'{"state": "running"}', 422, "request-invalid"),
    (b'{"worker": "a"}', 422, "request-invalid"),
    (b'{"study": "other"}', 422, "request-invalid"),
    (b'{"study_uid": 1}', 422, "request-invalid"),
    (b'{"force": true, "keep_best": 5}', 422, "request-invalid"),
    (b'["a"]', 422, "request-invalid"),
    (b"null", 422, "request-invalid"),
    (b"state=running&worker=a", 400, "json-invalid"),
    (b" " * (2**20 + 1), 413, "too-large"),
]


@pytest.mark.parametrize("route", [r for r in OF_V1 if r.method == "DELETE"], ids=label)
@pytest.mark.parametrize(("content", "status", "code"), BODIES)
def test_what_a_delete_says_in_its_body_is_never_ignored(
    both_ways: Wire, route: Declared, content: bytes, status: int, code: str
) -> None:
    before = state_of(both_ways)
    reply = both_ways.client.request("DELETE", route.url(), content=content)
    problem(reply, status, code)
    assert state_of(both_ways) == before


def test_a_delete_may_have_an_empty_object_for_a_body(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name, worker="a")
    path = f"/studies/{name}/trials?state=running"
    assert wire.ok("DELETE", path, content=b"{}") == {"cancelled": 1}


def test_only_the_trials_of_the_named_worker_are_cancelled(wire: Wire) -> None:
    name = wire.put()
    for worker in "abac":
        wire.ask(name, worker=worker)
    path = f"/studies/{name}/trials?state=running&worker="
    assert wire.ok("DELETE", path + "a") == {"cancelled": 2}
    assert wire.ok("DELETE", path + "nobody") == {"cancelled": 0}
    states = [wire.trial(name, number)["state"] for number in range(4)]
    assert states == ["fail", "running", "fail", "running"]


def test_an_objective_that_a_study_does_not_have_is_refused_before_the_first_trial_too(
    wire: Wire,
) -> None:
    for name in (wire.put(), wire.configure(CONFIG)):
        wire.refused("GET", f"/studies/{name}/importances?objective=b", 422, "request-invalid")


WORDS = ("", "0", "1", "-1", "x", "a", "b", "score", "running", "complete", "jsonl", "csv", "html")
ORDERS = ("number", "-number", "value", "-value", "values", "score")


@pytest.mark.parametrize("objectives", ["{score: minimize}", "{a: minimize, b: maximize}"])
def test_a_query_is_refused_before_the_first_ask_as_after_it(wire: Wire, objectives: str) -> None:
    name = wire.configure(f"objectives: {objectives}\n{CONFIG}")
    urls = [
        f"{route.path.replace('/m', f'/{name}', 1).removeprefix(V1)}?{query}={value}"
        for route in GETS
        if "/studies/m" in route.path
        and "/trials/0" not in route.path
        and "events" not in route.path
        for query in route.names
        for value in (*WORDS, *ORDERS)
    ]
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for seen in (before, after):
        for url in urls:
            response = wire.request("GET", url)
            seen[url] = response.json()["detail"] if response.is_error else response.status_code
        wire.ask(name)
    assert before == after
    assert {200} < set(before.values())


def test_a_page_of_a_study_that_was_deleted_is_refused_before_the_first_ask_too(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    path = f"/studies/{name}/trials"
    for number in range(2):
        wire.tell(name, wire.ask(name)["number"], value=number)
    page = wire.ok("GET", f"{path}?limit=1")["next"]
    assert wire.request("DELETE", f"/studies/{name}").status_code == 204
    refusal = wire.refused("GET", f"{path}?page={page}", 422, "request-invalid")
    assert "of another study" in refusal["detail"]


@pytest.mark.parametrize(
    "path",
    ["/optunapi/ping", "/optunapi/livez", "/optunapi/readyz", "/optunapi/hparams/m"],
)
def test_the_old_routes_and_those_of_health_ignore_parameters_that_they_do_not_know(
    both_ways: Wire, path: str
) -> None:
    assert both_ways.client.get(f"{path}?_=1&_=2&utm=x").status_code == 200


# HEAD


@pytest.mark.parametrize("route", GETS, ids=label)
@pytest.mark.parametrize("slash", ["", "/"])
def test_head_has_the_status_and_headers_of_get_without_a_body_and_changes_nothing(
    both_ways: Wire, route: Declared, slash: str
) -> None:
    url = route.url().replace(route.path, route.path + slash)
    before = state_of(both_ways)
    head = both_ways.client.head(url)
    assert state_of(both_ways) == before
    assert head.content == b""
    with both_ways.client.stream("GET", url) as get:
        assert head.status_code == get.status_code
        expected = {name for name in get.headers if name not in ("content-length", "date")}
        assert expected - {"transfer-encoding"} == set(head.headers) - {"content-length", "date"}
        for name in ("content-type", "cache-control", "content-disposition", "etag", "allow"):
            assert head.headers.get(name) == get.headers.get(name)
        if "content-length" in head.headers and "content-length" in get.headers:
            assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/docs/assets/redoc.standalone.js"]
)
def test_head_is_there_for_the_pages_too(both_ways: Wire, path: str) -> None:
    get, head = both_ways.client.get(path), both_ways.client.head(path)
    assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize("path", ["hparams/m", "score/m?trial_id=1&score=1"])
@pytest.mark.parametrize("prefix", ["optunapi", "optuna"])
def test_head_on_an_old_route_that_changes_something_changes_nothing(
    both_ways: Wire, prefix: str, path: str
) -> None:
    before = state_of(both_ways)
    assert both_ways.client.head(f"/{prefix}/{path}").status_code == 200
    assert state_of(both_ways) == before


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("hparams/nobody", {}, 404),
        ("score/nobody?trial_id=0&score=1", {}, 404),
        ("score/m?trial_id=99&score=1", {}, 404),
        ("score/m?trial_id=0", {}, 422),
        ("score/m?trial_id=0&score=good", {}, 422),
        ("hparams/m?key=a&key=b", {}, 422),
        ("hparams/m", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_head_on_an_old_route_is_refused_as_get_would_be(
    both_ways: Wire, path: str, headers: dict[str, str], status: int
) -> None:
    head = both_ways.client.head(f"/optunapi/{path}", headers=headers)
    assert (head.status_code, head.content) == (status, b"")
    assert head.headers["Content-Type"] == "application/problem+json"


def test_a_probe_of_a_study_that_was_never_asked_from_creates_nothing(both_ways: Wire) -> None:
    write_config(both_ways.home / "config" / "later.yaml", CONFIG)
    assert both_ways.client.head("/optunapi/hparams/later").status_code == 200
    assert not (both_ways.home / "db" / "later.db").exists()


def test_a_get_that_may_change_something_needs_a_handler_for_head() -> None:
    async def take(_: Work) -> Ok:
        raise AssertionError

    with pytest.raises(TypeError, match="head"):
        Routes("tag").add("GET", "/a", None, "Taken")(take)


# A slash at the end


@pytest.mark.parametrize("prefix", ["/optunapi", "/optuna"])
def test_the_old_routes_take_a_slash_before_the_query(both_ways: Wire, prefix: str) -> None:
    assert both_ways.client.get("/optunapi/ping/").json() == "The Optuna-server is alive!"
    asked = both_ways.client.get(f"{prefix}/hparams/m/?worker=c").json()
    path = f"{prefix}/score/m/?trial_id={asked['trial_id']}&score=0.25"
    told = both_ways.client.get(path).json()
    assert (told["trial_id"], told["score"], told["state"]) == (asked["trial_id"], 0.25, "complete")


@pytest.mark.parametrize("route", [route for route in OF_V1 if route.method != "PUT"], ids=label)
def test_a_route_of_v1_has_one_address(both_ways: Wire, route: Declared) -> None:
    before = state_of(both_ways)
    url = route.url().replace(route.path, f"{route.path}/")
    problem(both_ways.client.request(route.method, url), 404, "route-not-found")
    assert state_of(both_ways) == before


def test_every_route_is_declared_once_for_all_ways() -> None:
    """A hot route is the one that FastAPI has, so that no rule holds on one way alone."""
    for each in RESOURCES:
        for hot in each.hot:
            assert any(
                route.endpoint is hot.handler and hot.method in route.methods
                for route in each.router.routes
                if getattr(route, "path", None) == hot.path
            )
