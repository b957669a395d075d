"""A client of a server under test, with shorthands for what most tests send and expect."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from optunapi.app import create_app
from optunapi.settings import Settings
from optunapi.telemetry.events import RequestFailed
from tests.api.server import dump, serving_app
from tests.support import write_config

V1 = "/optunapi/v1"
SPACE: Mapping[str, Any] = {
    "parameters": {
        "x": {"type": "float", "low": -10, "high": 10},
        "n": {"type": "int", "low": 1, "high": 9},
    }
}


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A client of the server, and the folder the server keeps its files in."""

    client: httpx.Client
    home: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, V1 + path, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        """The reply's content, which must be a success that no cache keeps."""
        response = self.request(method, path, **options)
        assert response.is_success, response.text
        assert response.headers["Cache-Control"] == "no-store"
        return response.json() if response.content else None

    def refused(
        self, method: str, path: str, status: int, code: str, **options: Any
    ) -> dict[str, Any]:
        """The problem document of a refusal."""
        return problem(self.request(method, path, **options), status, code)

    def new_name(self) -> str:
        return f"s{next(self._numbers)}"

    def put(self, spec: Mapping[str, Any] = SPACE, **settings: Any) -> str:
        """The name of a new study."""
        name = self.new_name()
        response = self.request("PUT", f"/studies/{name}", json={**spec, **settings})
        assert response.status_code == 201, response.text
        return name

    def configure(self, text: str) -> str:
        """The name of a study with a new configuration file."""
        name = self.new_name()
        write_config(self.home / "config" / f"{name}.yaml", text)
        return name

    def ask(self, name: str, **body: Any) -> Any:
        response = self.request("POST", f"/studies/{name}/trials", json=body)
        assert response.status_code == 201, response.text
        return response.json()

    def tell(self, name: str, number: int, **body: Any) -> Any:
        return self.ok("POST", f"/studies/{name}/trials/{number}/tell", json=body)

    def trial(self, name: str, number: int) -> Any:
        return self.ok("GET", f"/studies/{name}/trials/{number}")

    def study(self, name: str) -> Any:
        return self.ok("GET", f"/studies/{name}")

    @contextmanager
    def unchanged(self, *names: str) -> Iterator[None]:
        """Check that the block changes neither these studies nor the set of files."""
        before = self._files(names)
        yield
        assert self._files(names) == before

    def _files(self, names: tuple[str, ...]) -> Any:
        configs, databases = self.home / "config", self.home / "db"
        return (
            sorted(path.name for path in databases.glob("*.db")),
            {path.name: path.read_bytes() for path in configs.iterdir()},
            {name: dump(databases / f"{name}.db") for name in names},
        )


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, checked for this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:optunapi:error:{code}"
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"]
    if code == "request-invalid":
        assert all(set(error) == {"location", "reason"} for error in document["errors"])
        assert document["errors"]
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    return document


@contextmanager
def wire_of(home: Path, **settings: Any) -> Iterator[Wire]:
    """A server of this home folder until the block ends."""
    (home / "config").mkdir(exist_ok=True)
    with serving_app(create_app(Settings(home=home, **settings))) as client:
        yield Wire(client=client, home=home)


def ids_of_failures(caplog: pytest.LogCaptureFixture) -> list[str | None]:
    """Return the request ids of the requests that failed by a fault of the server, as logged."""
    events = [vars(record).get("event") for record in caplog.records]
    return [event.request_id for event in events if isinstance(event, RequestFailed)]
