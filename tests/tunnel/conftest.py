"""What tests of the tunnel share: a gateway, a server behind it, and a check for left-over threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from optunapi.tunnel import open_tunnel
from optunapi.tunnel.supervised import Tunnel
from tests.support import until
from tests.tunnel.behind import echo, serving
from tests.tunnel.sshd import Sshd, running

Opener = Callable[..., Tunnel]


@pytest.fixture(autouse=True)
def _every_thread_ends() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # Shorter than a handshake's time-out, whose timer would end by itself.
    until(lambda: set(threading.enumerate()) <= before, f"{threading.enumerate()} to end", 10.0)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without keys, agent and configuration."""
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Sshd]:
    """A running SSH server whose host key is known."""
    with running(Sshd(tmp_path / "gateway")) as sshd:
        yield sshd


@pytest.fixture
def behind() -> Iterator[int]:
    """The port of a server that sends back what it receives."""
    with serving(echo) as port:
        yield port


@pytest.fixture
def opened(behind: int) -> Iterator[Opener]:
    """Opens tunnels through an Sshd, by default to `behind`, and closes them at the end."""
    with ExitStack() as tunnels:

        def open_one(sshd: Sshd, remote: str = f"127.0.0.1:{behind}", **options: Any) -> Tunnel:
            usual: dict[str, Any] = {"key": sshd.key, "known_hosts": sshd.known_hosts}
            tunnel = open_tunnel(sshd.address, remote, **(usual | {"keepalive": 1.0} | options))
            tunnels.callback(tunnel.close)
            return tunnel

        yield open_one
