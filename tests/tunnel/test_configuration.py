"""A tunnel reads `~/.ssh/config` and known_hosts as ssh does."""

import getpass
import os
import socket
from pathlib import Path

import pytest

from optunapi.errors import (
    GatewayUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    RemoteUnreachable,
    TunnelFailed,
)
from optunapi.tunnel import open_tunnel
from optunapi.tunnel.gateways import Gateway, Sources, find_gateway, host_and_port
from optunapi.tunnel.known_hosts import HostKey, host_name, known_host
from tests.support import free_port, until
from tests.tunnel.behind import is_echoed
from tests.tunnel.sshd import Sshd, running


def configure(text: str, name: str = "config") -> Path:
    path = Path(os.environ["HOME"]) / ".ssh" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def found(text: str, config: str) -> Gateway:
    return find_gateway(text, Sources(config=configure(config), known_hosts=None))


def test_an_alias_is_all_a_tunnel_needs_to_be_told(gateway: Sshd, behind: int) -> None:
    configure(
        f"Host lab\n  HostName 127.0.0.1\n  Port {gateway.port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {gateway.key}\n  UserKnownHostsFile {gateway.known_hosts}\n"
    )
    with open_tunnel("lab", f"127.0.0.1:{behind}") as url:
        assert is_echoed(int(url.rpartition(":")[2]))


def test_a_host_key_may_be_known_under_an_alias(gateway: Sshd, behind: int) -> None:
    gateway.known_hosts.write_text(f"the-lab {gateway.host_keys['ed25519']}\n")
    configure("Host 127.0.0.1\n  HostKeyAlias the-lab\n")
    with open_tunnel(
        gateway.address,
        f"127.0.0.1:{behind}",
        key=gateway.key,
        known_hosts=gateway.known_hosts,
    ) as url:
        assert is_echoed(int(url.rpartition(":")[2]))


def test_a_tunnel_goes_through_a_jump_host_whose_host_key_is_checked_too(
    gateway: Sshd, behind: int, tmp_path: Path
) -> None:
    with running(Sshd(tmp_path / "jump")) as jump:
        known_hosts = tmp_path / "both"
        known_hosts.write_text(jump.known_hosts.read_text() + gateway.known_hosts.read_text())
        configure(
            f"Host inner\n  HostName 127.0.0.1\n  Port {gateway.port}\n  ProxyJump outer\n"
            f"  IdentityFile {gateway.key}\n"
            f"Host outer\n  HostName 127.0.0.1\n  Port {jump.port}\n  IdentityFile {jump.key}\n"
        )
        remote = f"127.0.0.1:{behind}"
        tunnel = open_tunnel("inner", remote, known_hosts=known_hosts, keepalive=1)
        with tunnel:
            assert is_echoed(tunnel.port)
            assert len(jump.sessions()) == len(gateway.sessions()) == 1
            jump.signal_sessions()
            until(lambda: is_echoed(tunnel.port), "the tunnel to come back")
        until(lambda: not jump.sessions() and not gateway.sessions(), "both sessions to end")
        with pytest.raises(HostKeyUnknown) as refused:
            open_tunnel("inner", remote, known_hosts=gateway.known_hosts)
        assert jump.name in refused.value.detail
        with pytest.raises(HostKeyUnknown) as refused:
            open_tunnel("inner", remote, known_hosts=jump.known_hosts)
        assert gateway.name in refused.value.detail
        gateway.stop()
        with pytest.raises(RemoteUnreachable, match=f"nothing answers at 127.0.0.1:{gateway.port}"):
            open_tunnel("inner", remote, known_hosts=known_hosts)


def test_a_tunnel_goes_through_a_proxy_command_and_ends_it(gateway: Sshd, behind: int) -> None:
    configure(
        f"Host lab\n  HostName 127.0.0.1\n  Port {gateway.port}\n  IdentityFile {gateway.key}\n"
        f"  UserKnownHostsFile {gateway.known_hosts}\n"
        "  ProxyCommand python3 -c 'import socket, sys, threading, os; "
        's = socket.create_connection(("%h", %p)); '
        "t = threading.Thread(target=lambda: [os.write(1, d) "
        'for d in iter(lambda: s.recv(65536), b"")], daemon=True); t.start(); '
        '[s.sendall(d) for d in iter(lambda: os.read(0, 65536), b"")]\'\n'
    )
    tunnel = open_tunnel("lab", f"127.0.0.1:{behind}", keepalive=1)
    with tunnel:
        assert is_echoed(tunnel.port, b"x" * 1_000_000)
        gateway.signal_sessions()
        until(lambda: is_echoed(tunnel.port), "the tunnel to come back")
    until(lambda: not gateway.sessions(), "the session to end")


def test_a_proxy_command_that_fails_is_an_unreachable_gateway(gateway: Sshd) -> None:
    configure("Host *\n  ProxyCommand false\n")
    with pytest.raises(GatewayUnreachable, match="ends the connection"):
        open_tunnel(gateway.address, "server", known_hosts=gateway.known_hosts)


def test_no_configuration_is_read_when_none_is_wanted(gateway: Sshd, behind: int) -> None:
    configure("Host *\n  ProxyCommand false\n")
    with open_tunnel(
        gateway.address,
        f"127.0.0.1:{behind}",
        key=gateway.key,
        known_hosts=gateway.known_hosts,
        ssh_config=None,
    ) as url:
        assert is_echoed(int(url.rpartition(":")[2]))


def test_what_the_caller_says_comes_before_the_configuration() -> None:
    config = "Host lab\n  HostName host.example\n  Port 2200\n  User them\n"
    assert str(found("lab", config)) == "them@host.example:2200"
    assert str(found("me@lab:22", config)) == "me@host.example:22"


def test_files_that_the_configuration_includes_are_followed() -> None:
    configure("Host lab\n  Port 2200\n", "one.conf")
    configure("Host other\n  Port 2222\n", "two.conf")
    config = "Include ~/.ssh/one.conf two.*\nUser everywhere\nHost lab\n  HostName host.example\n"
    assert str(found("lab", config)) == "everywhere@host.example:2200"
    assert str(found("third", config)) == "everywhere@third:22"


def test_files_that_include_each_other_are_an_error() -> None:
    with pytest.raises(TunnelFailed, match="include each other"):
        found("lab", "Include config\n")


@pytest.mark.parametrize(
    ("config", "jumps"),
    [
        ("Host lab\n  ProxyJump a,me@b:2200", ["me@b:2200", "a:22"]),
        ("ProxyJump none\nHost lab\n  ProxyCommand x", []),
        ("ProxyCommand none\nHost lab\n  ProxyJump a", []),
        ("Host *\n  ProxyJump lab", []),
        ("Host lab\n  ProxyJump b\nHost b\n  ProxyJump a", ["b:22", "a:22"]),
    ],
)
def test_jump_hosts_are_passed_in_turn(config: str, jumps: list[str]) -> None:
    gateway: Gateway | None = found("lab", config)
    passed = []
    while gateway := gateway.jump if gateway else None:
        passed.append(str(gateway).removeprefix(f"{getpass.getuser()}@"))
    assert passed == jumps


def test_jump_hosts_in_a_circle_are_an_error() -> None:
    with pytest.raises(TunnelFailed, match="circle: lab → b → lab"):
        found("lab", "Host lab\n  ProxyJump b\nHost b\n  ProxyJump lab")


@pytest.mark.parametrize("config", ["nonsense", "Port ssh", 'Host "x'])
def test_a_configuration_that_cannot_be_followed_is_an_error(config: str) -> None:
    with pytest.raises(TunnelFailed):
        found("lab", f"{config}\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("host", ("host", None)),
        ("host:22", ("host", 22)),
        ("[::1]:22", ("::1", 22)),
        ("[::1]", ("::1", None)),
        ("fe80::1", ("fe80::1", None)),
    ],
)
def test_addresses_are_read(text: str, parts: tuple[str, int | None]) -> None:
    assert host_and_port(text) == parts


KEY = HostKey(kind="ssh-ed25519", blob=b"key")


@pytest.mark.parametrize(
    ("patterns", "host", "port", "is_known"),
    [
        ("host", "host", 22, True),
        ("host", "HOST", 22, True),
        ("other,host", "host", 22, True),
        ("*.example", "host.example", 22, True),
        ("h?st", "host", 22, True),
        ("*,!host", "host", 22, False),
        ("!host,*", "host", 22, False),
        ("host", "host", 2200, False),
        ("[host]:2200", "host", 2200, True),
        ("[*]:2200", "host", 2200, True),
        ("[host]:2200", "host", 22, False),
        ("::1", "::1", 22, True),
        ("hos", "host", 22, False),
        ("|1|AAAA|AAAA", "host", 22, False),
        ("|1|nonsense", "host", 22, False),
    ],
)
def test_a_line_of_known_hosts_is_about_the_hosts_it_matches(
    tmp_path: Path, patterns: str, host: str, port: int, is_known: bool
) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"# {patterns}\n\nbroken\n{patterns} ssh-rsa !!!\n{patterns} {KEY} comment\n")
    found = known_host(host_name(host, port), [str(tmp_path / "missing"), str(file)])
    assert found.keys == ({KEY} if is_known else set())
    assert found.file == tmp_path / "missing"


def test_a_gateway_that_is_another_one_by_name_is_not_confused_by_case(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"Host {KEY}\n")
    found = known_host(host_name("hOst", 22), [str(file)])
    found.check(KEY)
    with pytest.raises(HostKeyChanged):
        found.check(HostKey(kind="ssh-ed25519", blob=b"another"))


def test_nobody_listens_at_a_free_port() -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port()))
