"""A server for one test, `client`, and a shared one, `wire`, where each test makes its own studies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from optunapi.app import create_app
from optunapi.settings import Settings
from tests.api.server import dump, serving_app
from tests.api.wire import Wire, wire_of
from tests.support import write_config

PARABOLOID = """
x: {type: float, low: -10, high: 10}
y: {type: float, low: -10, high: 10}
"""

Snapshot = Callable[[], dict[str, list[str]]]
Refused = Callable[..., dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one configuration, `m`."""
    (tmp_path / "config").mkdir()
    write_config(tmp_path / "config" / "m.yaml", PARABOLOID)
    return tmp_path


@pytest.fixture
def app(home: Path) -> FastAPI:
    return create_app(Settings(home=home))


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    with serving_app(app) as client:
        yield client


@pytest.fixture
def snapshot(home: Path) -> Snapshot:
    """A function that returns everything on disk that a request could change."""

    def take() -> dict[str, list[str]]:
        databases = sorted((home / "db").glob("*.db"))
        configs = sorted((home / "config").iterdir())
        return {path.name: dump(path) for path in databases} | {
            path.name: [path.read_bytes().hex()] for path in configs
        }

    return take


@pytest.fixture(scope="session")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The server that tests share."""
    with wire_of(tmp_path_factory.mktemp("wire")) as wire:
        yield wire


@pytest.fixture(scope="session")
def study(wire: Wire) -> str:
    """A study for read-only tests: trial 0 complete, 1 running, 2 waiting, 3 leased."""
    name = wire.put(enqueue=[{"n": 1}, {"n": 2}, {"n": 3}])
    wire.ask(name, worker="first")
    wire.tell(name, 0, value=1.5)
    wire.ask(name, worker="second")
    lease = wire.ask(name, params={"n": 4}, lease_seconds=86400)
    assert lease["number"] == 3
    return name


@pytest.fixture
def refused(wire: Wire, study: str) -> Refused:
    """A refusal of a request to the shared study, which changes nothing."""

    def check(method: str, path: str, status: int, code: str, **options: Any) -> dict[str, Any]:
        with wire.unchanged(study):
            return wire.refused(method, path.format(s=study), status, code, **options)

    return check
