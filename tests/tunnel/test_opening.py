"""The messages of a tunnel that cannot be opened: the reason, and what to do."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optunapi.errors import (
    ForwardingRefused,
    GatewayTooOld,
    GatewayUnreachable,
    RemoteUnreachable,
    TunnelFailed,
)
from optunapi.tunnel import open_tunnel
from tests.support import ROOT, free_port
from tests.tunnel.behind import Habit, serving
from tests.tunnel.conftest import Opener
from tests.tunnel.sshd import Sshd, running


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(GatewayUnreachable, match=r"gateway\.invalid does not resolve"):
        open_tunnel("user@gateway.invalid", "server:8000")


def test_a_port_where_nobody_listens() -> None:
    with pytest.raises(GatewayUnreachable, match="refuses connections"):
        open_tunnel(f"user@127.0.0.1:{free_port()}", "server:8000")


def test_a_gateway_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:  # fill the backlog; the next connection gets no answer
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            with pytest.raises(GatewayUnreachable, match=r"not answer within 0\.5 s"):
                open_tunnel(f"user@127.0.0.1:{port}", "server:8000", timeout=0.5)
        finally:
            for one in waiting:
                one.close()


def silent(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.recv(1 << 16)


def web_server(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        (silent, "sends nothing within 1 s"),
        (web_server, "ends the connection"),
        (hang_up, "ends the connection"),
    ],
)
def test_a_port_of_something_else(habit: Habit, said: str) -> None:
    with serving(habit) as port, pytest.raises(GatewayUnreachable, match=said):
        open_tunnel(f"user@127.0.0.1:{port}", "server:8000", timeout=1)


@pytest.mark.parametrize(
    ("kinds", "option"),
    [
        (["rsa"], "HostKeyAlgorithms ssh-rsa"),
        (["ed25519"], "KexAlgorithms diffie-hellman-group14-sha1"),
    ],
)
def test_an_old_gateway_that_knows_sha1_only(
    tmp_path: Path, opened: Opener, kinds: list[str], option: str
) -> None:
    with (
        running(Sshd(tmp_path / "gateway", option, kinds=kinds)) as sshd,
        pytest.raises(GatewayTooOld, match="SHA-1") as refused,
    ):
        opened(sshd)
    assert "ed25519" in refused.value.detail


@pytest.mark.parametrize("option", ["AllowTcpForwarding no", "PermitOpen 127.0.0.1:1"])
def test_a_gateway_that_forwards_nothing(tmp_path: Path, opened: Opener, option: str) -> None:
    with (
        running(Sshd(tmp_path / "gateway", option)) as sshd,
        pytest.raises(ForwardingRefused, match="AllowTcpForwarding"),
    ):
        opened(sshd)


@pytest.mark.parametrize("host", ["127.0.0.1", "server.invalid"])
def test_nothing_answers_behind_the_gateway(gateway: Sshd, opened: Opener, host: str) -> None:
    remote = f"{host}:{free_port()}"
    with pytest.raises(RemoteUnreachable) as refused:
        opened(gateway, remote)
    assert f"nothing answers at {remote}" in refused.value.detail


def test_a_local_port_that_is_taken(gateway: Sshd, opened: Opener) -> None:
    first = opened(gateway)
    with pytest.raises(TunnelFailed, match=f"Local port {first.port} cannot be used"):
        opened(gateway, port=first.port)


def test_a_local_port_that_is_free_is_the_tunnels(gateway: Sshd, opened: Opener) -> None:
    port = free_port()
    tunnel = opened(gateway, port=port)
    assert (tunnel.port, tunnel.url) == (port, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("gateway", "remote"),
    [
        ("user@", "server:8000"),
        ("", "server:8000"),
        ("user@host:ssh", "server:8000"),
        ("user@host:0", "server:8000"),
        ("user@host", "server:70000"),
        ("user@host", "http://server:8000"),
        ("user@host", ""),
    ],
)
def test_an_address_that_is_none(gateway: str, remote: str) -> None:
    with pytest.raises(TunnelFailed, match="is not an address"):
        open_tunnel(gateway, remote)


def test_without_paramiko_the_error_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['paramiko'] = None\n"
        "from optunapi.errors import TunnelFailed\n"
        "from optunapi.tunnel import open_tunnel\n"
        "try: open_tunnel('user@gateway', 'server')\n"
        "except TunnelFailed as error: print(error.detail)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "pip install 'optunapi[tunnel]'" in finished.stdout


@contextmanager
def descriptors_kept() -> Iterator[None]:
    def now() -> list[str]:
        return sorted(path.name for path in Path("/proc/self/fd").iterdir())

    before = now()
    yield
    assert now() == before


def test_a_tunnel_that_cannot_be_opened_leaves_nothing_behind(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    with descriptors_kept():
        for options in (
            {"remote": f"127.0.0.1:{free_port()}"},
            {"key": tmp_path / "missing"},
            {"known_hosts": tmp_path / "missing"},
        ):
            with pytest.raises(TunnelFailed):
                opened(gateway, **options)
