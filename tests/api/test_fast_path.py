"""The fast path answers like FastAPI's routes, which serve every unusual request."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import Message

from optunapi.api.http.routes import HotRoute, Routes
from optunapi.api.serving.access import Public
from optunapi.api.serving.fast_path import FastPath
from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import serving_app
from tests.support import write_config

CONFIG = "sampler: {name: random, seed: 1}\nparameters:\n  x: {type: float, low: 0, high: 1}\n"
TRIALS = "/optunapi/v1/studies/m/trials"
CHANCE = {
    "id",
    "uid",
    "study_uid",
    "expires_at",
    "created_at",
    "started_at",
    "finished_at",
    "request_id",
}

Reply = tuple[int, dict[str, str], Any]


def app_at(home: Path) -> FastAPI:
    (home / "config").mkdir(parents=True)
    write_config(home / "config" / "m.yaml", CONFIG)
    return create_app(Settings(home=home, max_body=2000))


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return app_at(tmp_path)


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with serving_app(app) as client:
        yield client


def conversation(client: httpx.Client) -> Iterator[Reply]:
    """A server's replies to a trainer's requests, valid and invalid ones."""

    def send(method: str, path: str, **options: Any) -> Reply:
        reply = client.request(method, path, **options)
        own = ("date", "x-request-id", "x-optunapi-server")  # differ with each reply or server
        headers = {name: value for name, value in reply.headers.items() if name not in own}
        content = json.loads(reply.text, object_hook=without_chance) if reply.text else None
        return reply.status_code, headers, content

    foreign = {"Sec-Fetch-Site": "cross-site"}
    yield send("GET", "/optunapi/ping")
    for prefix in ("optunapi", "optuna"):
        yield send("GET", f"/{prefix}/hparams/m")
        yield send("GET", f"/{prefix}/score/m?trial_id=0&score=0.5")
        yield send("GET", f"/{prefix}/hparams/nobody")
        yield send("GET", f"/{prefix}/hparams/m", headers=foreign)
        yield send("GET", f"/{prefix}/score/m?score=0.5")
        yield send("GET", f"/{prefix}/score/m?trial_id=99&score=0.5")
        yield send("GET", f"/{prefix}/score/a%20name?trial_id=9&score=0.5")
        yield send("POST", f"/{prefix}/hparams/m")
        yield send("HEAD", f"/{prefix}/hparams/m")
        yield send("GET", f"/{prefix}/hparams/m/")
    for study in ("m", "nobody", "-"):
        place = f"/optunapi/v1/studies/{study}/trials"
        for body in ({}, {"worker": "w"}, {"worker": 1}, {"resume": True}, {"params": {"y": 1}}):
            yield send("POST", place, json=body)
            yield send("POST", f"{place}?wait=x", json=body)
            yield send("POST", place, json=body, headers=foreign)
        for key in ("", "k", "k", "k" * 256):
            yield send("POST", place, headers={"Idempotency-Key": key})
        yield send("POST", place, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
        yield send("POST", place, content=b"{")
        yield send("POST", f"{place}/")
        yield send("PUT", place)
    asked = client.post(TRIALS, json={"lease_seconds": 60}).json()
    here, lease = f"{TRIALS}/{asked['number']}", asked["lease"]["id"]
    for verb, right in (
        ("report", {"step": 1, "value": 0.5, "lease": lease}),
        ("renew", {"lease": lease}),
        ("tell", {"value": 0.5, "lease": lease}),
    ):
        for path in (
            here,
            f"{TRIALS}/99",
            f"{TRIALS}/{10**15}",
            f"{TRIALS}/{2**53}",
            f"{TRIALS}/07",
        ):
            yield send("POST", f"{path}/{verb}", json={**right, "more": 1})
            yield send("POST", f"{path}/{verb}", content=b"{")
            yield send("POST", f"{path}/{verb}", content=b" " * 3000)
            yield send("POST", f"{path}/{verb}", json=right, headers=foreign)
            yield send("POST", f"{path}/{verb}", json={**right, "lease": "another"})
            yield send("POST", f"{path}/{verb}?a=1&a=2", json=right)
            yield send("POST", f"{path}/{verb}", json=right)
            yield send("POST", f"{path}/{verb}?a=1", json=right)
        yield send("POST", f"{here}/{verb}")
        yield send("GET", f"{here}/{verb}")
        yield send("POST", f"/optunapi/v1/studies/nobody/trials/0/{verb}", json=right)
        yield send("POST", f"/optunapi/v1/studies/-/trials/0/{verb}", json=right)


def without_chance(found: dict[str, Any]) -> dict[str, Any]:
    return {key: type(value).__name__ if key in CHANCE else value for key, value in found.items()}


def test_both_ways_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_app(app_at(tmp_path / "direct")) as client:
        directly = list(conversation(client))
    monkeypatch.setattr(FastPath, "find", lambda *_: None)
    with serving_app(app_at(tmp_path / "fastapi")) as client:
        on_fastapis_way = list(conversation(client))
    assert directly == on_fastapis_way
    assert {status for status, _, _ in directly} == {200, 201, 400, 403, 404, 405, 409, 413, 422}


def test_what_the_fast_path_answers_needs_no_route_of_fastapis(
    client: httpx.Client, app: FastAPI
) -> None:
    number = client.get("/optunapi/hparams/m").json()["trial_id"]
    app.router.routes.clear()
    here = f"{TRIALS}/{number}"
    assert client.get("/optunapi/ping").status_code == 200
    assert client.get("/optunapi/hparams/m").status_code == 200
    assert client.post(TRIALS, headers={"Idempotency-Key": "k"}).status_code == 201
    assert client.post(f"{here}/report", json={"step": 1, "value": 1.0}).status_code == 200
    assert client.post(f"{here}/renew", json={"lease": "another"}).status_code == 409
    assert client.post(f"{here}/tell", json={"value": 1.0}).status_code == 200
    assert client.get(f"/optunapi/score/m?trial_id={number}&score=1").status_code == 200
    assert client.get(here).status_code == 404


async def unreached(*_: Any) -> None:
    raise AssertionError("not called")


async def read_body(_: Public, request: Request) -> Response:
    await request.body()
    raise AssertionError("its body did not end")


def test_behind_a_prefix_the_fast_path_answers_nothing() -> None:
    fast_path = FastPath(unreached, [HotRoute(method="GET", path="/a", handler=read_body)])
    scope = {"type": "http", "method": "GET", "path": "/a", "query_string": b""}
    assert fast_path.find({**scope, "root_path": ""}) is not None
    assert fast_path.find({**scope, "root_path": "/prefix"}) is None


def test_a_hot_route_whose_parameter_the_fast_path_cannot_read_is_refused_at_the_start() -> None:
    async def handler(_: Public, number: int) -> Response:
        raise AssertionError(number)

    with pytest.raises(TypeError, match="number"):
        FastPath(unreached, [HotRoute(method="GET", path="/a", handler=handler)])


def test_a_route_without_an_access_is_refused_at_the_start() -> None:
    async def handler(request: Request) -> Response:
        raise AssertionError(request)

    with pytest.raises(TypeError, match="access"):
        Routes("tag").add("GET", "/a", None, "It is not there")(handler)


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    fast_path = FastPath(unreached, [HotRoute(method="POST", path="/a", handler=read_body)])
    app = FastAPI()
    app.state.dispatch = None
    scope = {"type": "http", "method": "POST", "path": "/a", "query_string": b"", "headers": []}
    asyncio.run(fast_path({**scope, "app": app}, leave, send))
    assert sent[0]["status"] == 400


def test_a_fault_is_logged_and_told_as_everywhere(
    client: httpx.Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    client.get("/optunapi/hparams/m").raise_for_status()
    monkeypatch.setattr(type(app.state.catalog), "served", broken)
    reply = client.get("/optunapi/score/m?trial_id=0&score=1")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
