"""One server for all tests of the client, and a separate spool for each test."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optunapi import Client, Study
from tests.client.proxy import Proxy, proxy_before
from tests.support import Server, running_server

XY = {
    "parameters": {
        "x": {"type": "float", "low": -10, "high": 10},
        "n": {"type": "int", "low": 1, "high": 9},
    },
    "sampler": {"name": "random", "seed": 1},
}
_numbers = itertools.count()

MakeStudy = Callable[..., Study]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("client")
    (home / "config").mkdir()
    with running_server(home) as server:
        yield server


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where this test's results are kept."""
    for name in [name for name in os.environ if name.startswith("OPTUNAPI_")]:
        if name not in ("OPTUNAPI_SOAK", "OPTUNAPI_REQUIRE_ALL"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("OPTUNAPI_SPOOL", str(tmp_path / "spool"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return tmp_path / "spool"


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server.url)


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with proxy_before(server.url) as proxy:
        yield proxy


@pytest.fixture
def disturbed(proxy: Proxy) -> Client:
    """A client whose requests go through the proxy."""
    return Client(proxy.url, timeout=5, retry_for=20)


@pytest.fixture
def make_study(client: Client) -> MakeStudy:
    def make(spec: dict[str, Any] | None = None, **settings: Any) -> Study:
        return client.create_study(
            f"s{next(_numbers)}", {**(XY if spec is None else spec), **settings}
        )

    return make


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    """A study that minimises over x and n with random sampling."""
    return make_study()
