"""A server in its own process, on a free loopback port, while one command runs."""

import signal
import socket
import subprocess  # nosec B404
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO, NoReturn

from optunapi.cli.output import ServerUnreachable

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_serving(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the server answers; raise ServerUnreachable if it ends or takes too long."""
    import requests

    deadline = time.monotonic() + START_SECONDS
    with requests.Session() as session:
        session.trust_env = False  # a proxy cannot reach this machine's loopback
        while process.poll() is None and time.monotonic() < deadline:
            try:
                session.get(f"{url}/optunapi/ping", timeout=5).raise_for_status()
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return
    raise ServerUnreachable("The server did not start.")


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP raise SystemExit inside the block, so that its clean-up runs."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def local_server(log: BinaryIO) -> Iterator[str]:
    """Serve this machine's studies and yield the base URL; the server's log goes to `log`.

    The server stops at the end of the block. Raises ServerUnreachable if it cannot start.
    """
    port = free_port()
    with exit_on_signals():
        process = subprocess.Popen(  # nosec B603
            [sys.executable, "-m", "uvicorn", "optunapi.server:optunapi", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the command, which stops the server
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_serving(url, process)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
