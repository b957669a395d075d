"""A server with few file descriptors answers, and says what it lacks once."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import (
    clean_environment,
    free_port,
    scaled,
    until,
    wait_until_serving,
    write_config,
)

LOOPS = ("asyncio", "uvloop")


@contextmanager
def served(home: Path, loop: str, limit: str) -> Iterator[tuple[str, Path]]:
    """The URL of a server under a limit of descriptors, and its log."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    (home / "config").mkdir()
    write_config(home / "config" / "m.yaml", "x: {type: float, low: 0, high: 1}\n")
    port, log = free_port(), home / "log"
    command = f"{limit}; exec {sys.executable} -m uvicorn optunapi.server:optunapi"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f"{command} --port {port} --loop {loop}"],
            env=clean_environment(OPTUNAPI_HOME=str(home)),
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_serving(url, process, log)
        yield url, log
    finally:
        process.terminate()
        process.wait(30)


def ask(url: str) -> httpx.Response:
    return httpx.get(f"{url}/optunapi/hparams/m", timeout=30)


@pytest.mark.parametrize("loop", LOOPS)
def test_event_streams_leave_descriptors_for_asks(tmp_path: Path, loop: str) -> None:
    with served(tmp_path, loop, "ulimit -n 128") as (url, log), ExitStack() as streams:
        refused = []
        for _ in range(140):
            client = streams.enter_context(httpx.Client(timeout=30))
            opened = client.stream("GET", f"{url}/optunapi/v1/studies/m/events")
            reply = streams.enter_context(opened)
            if reply.status_code != 200:
                reply.read()
                refused.append(reply)
        assert 0 < len(refused) < 140
        for reply in refused:
            assert (reply.status_code, reply.json()["code"]) == (503, "storage-unavailable")
            assert int(reply.headers["Retry-After"]) >= 1
        assert ask(url).status_code == 200
        assert log.read_text().count("too few file descriptors") in (1, 2)  # streams, connections


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_connections_fill_neither_the_server_nor_its_log(tmp_path: Path, loop: str) -> None:
    with served(tmp_path, loop, "ulimit -n 128") as (url, log), ExitStack() as idle:
        host, port = url.removeprefix("http://").split(":")
        for _ in range(scaled(300, 3000)):
            connection = idle.enter_context(socket.socket())
            connection.setblocking(False)
            connection.connect_ex((host, int(port)))

        def answers() -> bool:
            try:
                return ask(url).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, "an ask to be answered beside the idle connections")
        assert len(log.read_text().splitlines()) < 50


def test_the_limit_of_descriptors_is_raised_at_the_start(tmp_path: Path) -> None:
    limits = "ulimit -Hn 1000 && ulimit -Sn 100"
    with served(tmp_path, "asyncio", limits) as (url, log), ExitStack() as streams:
        for _ in range(150):
            client = streams.enter_context(httpx.Client(timeout=30))
            opened = client.stream("GET", f"{url}/optunapi/v1/studies/m/events")
            assert streams.enter_context(opened).status_code == 200
        assert "file descriptors" not in log.read_text()
