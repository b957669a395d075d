"""What all tests share: a real server in its own process, on a free loopback port."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent
SOAK = bool(os.environ.get("OPTUNAPI_SOAK"))


def scaled(usual: int, soak: int) -> int:
    """Return a test's size: `usual` in `make test`, `soak` in `make soak`."""
    return soak if SOAK else usual


@contextmanager
def in_zone(zone: str) -> Iterator[None]:
    """Run the block with the local time of another zone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        try:
            yield
        finally:
            patch.undo()
            time.tzset()


def missing(reason: str) -> NoReturn:
    """Skip a test that needs a component that is missing; fail it with OPTUNAPI_REQUIRE_ALL=1."""
    if os.environ.get("OPTUNAPI_REQUIRE_ALL") == "1":
        pytest.fail(f"OPTUNAPI_REQUIRE_ALL=1, and {reason}")
    pytest.skip(reason)


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without OPTUNAPI_ variables, plus `changes`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPTUNAPI_")}
    return kept | changes


def write_config(path: Path, content: str | bytes) -> None:
    """Write a configuration file as it is a while later: it counts at once."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    written_at = time.time() - 2
    os.utime(path, (written_at, written_at))


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server: its base URL, its process and its log file."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


def until(condition: Callable[[], object], what: str = "", patience: float = 30.0) -> None:
    """Return when a condition holds for which another process or thread sends no event."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what or condition}"
        time.sleep(0.01)


def wait_until_serving(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers; raise with its log if it ends or takes over 60 s."""

    def is_serving() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"server ended with {process.returncode}:\n{log.read_text()}")
        try:
            httpx.get(f"{url}/optunapi/ping", timeout=5)
        except httpx.TransportError:
            return False
        return True

    until(is_serving, "the server to answer", 60)


def free_port() -> int:
    """Return a loopback port that is free now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_server(
    home: Path,
    *,
    cwd: Path = ROOT,
    target: str = "optunapi.server:optunapi",
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Server]:
    """Run `uvicorn target` in `cwd` with `home` as OPTUNAPI_HOME until the block ends."""
    port = port or free_port()
    log = home / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", target, "--port", str(port), *options],
            cwd=cwd,
            env=clean_environment(OPTUNAPI_HOME=str(home)) | dict(environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_serving(url, process, log)
        yield Server(url=url, process=process, log=log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
