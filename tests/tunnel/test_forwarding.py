"""A tunnel forwards everything completely, in both directions, for many connections at once."""

import gc
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from optunapi.tunnel.forwarder import Forwarder
from optunapi.tunnel.supervised import Tunnel
from tests.support import scaled, until
from tests.tunnel.behind import digest_at_the_end, echo, exchange, is_echoed, read_all, serving
from tests.tunnel.conftest import Opener
from tests.tunnel.sshd import Sshd

LARGE = scaled(8, 100) * 1024 * 1024


def connection(tunnel: Tunnel) -> socket.socket:
    return socket.create_connection(("127.0.0.1", tunnel.port), timeout=60)


def test_a_hundred_connections_at_once(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway)
    together = threading.Barrier(100)

    def one(number: int) -> bool:
        content = f"{number} ".encode() * 10_000
        with connection(tunnel) as client:
            client.sendall(content[:10])
            together.wait(60)  # all are open now
            client.sendall(content[10:])
            client.shutdown(socket.SHUT_WR)
            return read_all(client) == content

    with ThreadPoolExecutor(100) as clients:
        assert all(clients.map(one, range(100)))


def test_large_bodies_pass_both_ways_unchanged(gateway: Sshd, opened: Opener) -> None:
    content = os.urandom(1024 * 1024) * (LARGE // (1024 * 1024))
    tunnel = opened(gateway)
    with connection(tunnel) as client:
        sender = threading.Thread(target=client.sendall, args=(content,))
        sender.start()
        received = hashlib.sha256()
        missing = len(content)
        while missing:
            part = client.recv(1 << 16)
            received.update(part)
            missing -= len(part)
        sender.join()
    assert received.digest() == hashlib.sha256(content).digest()


def test_a_client_that_has_sent_its_last_byte_still_gets_the_answer(
    gateway: Sshd, opened: Opener
) -> None:
    content = os.urandom(1 << 20)
    with serving(digest_at_the_end) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        answer = exchange(tunnel.port, content)
        tunnel.close()
    assert answer.decode() == hashlib.sha256(content).hexdigest()


def test_a_server_that_has_sent_its_last_byte_still_gets_the_rest(
    gateway: Sshd, opened: Opener
) -> None:
    got: list[bytes] = []

    def answer_first(server: socket.socket) -> None:
        server.sendall(b"enough")
        server.shutdown(socket.SHUT_WR)
        got.append(read_all(server))

    with serving(answer_first) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        got.clear()  # the tunnel itself connected once when it opened
        with connection(tunnel) as client:
            assert read_all(client) == b"enough"
            client.sendall(b"the rest")
        until(lambda: b"the rest" in got, "the rest to arrive")
        tunnel.close()


def test_a_client_that_goes_away_is_gone_for_the_server_too(gateway: Sshd, opened: Opener) -> None:
    ended = threading.Event()

    def send_for_ever(server: socket.socket) -> None:
        try:
            while True:
                server.sendall(b"x" * 65536)
        except OSError:
            ended.set()

    with serving(send_for_ever) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        assert ended.wait(30)  # the connection that the tunnel made when it opened
        ended.clear()
        with connection(tunnel) as client:
            client.recv(1)
        assert ended.wait(30)
        tunnel.close()


def test_closing_ends_clients_that_neither_read_nor_write(gateway: Sshd, opened: Opener) -> None:
    with serving(echo) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        with connection(tunnel) as idle, connection(tunnel) as stuck:
            for client in (idle, stuck):
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            stuck.settimeout(0.5)
            with pytest.raises(TimeoutError):
                stuck.sendall(b"x" * 100_000_000)  # more than all buffers hold
            tunnel.close()
            with pytest.raises(ConnectionResetError):
                idle.recv(1)


def test_a_port_that_closed_behind_the_gateway_closes_the_connection_not_the_tunnel(
    gateway: Sshd, opened: Opener
) -> None:
    with serving(echo) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        assert is_echoed(tunnel.port)
    assert not is_echoed(tunnel.port)
    assert tunnel.connected


def open_descriptors() -> Iterator[tuple[str, str]]:
    """The numbers of this process's descriptors, each with what it stands for."""
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since, as the one of this listing
            yield each.name, os.readlink(each)


def test_many_connections_and_tunnels_leave_no_thread_and_no_descriptor(
    gateway: Sshd, opened: Opener
) -> None:
    def held() -> set[object]:
        gc.collect()
        descriptors = {
            (each.name, os.readlink(each))
            for each in Path("/proc/self/fd").iterdir()
            if each.is_symlink()
        }
        return descriptors | set(threading.enumerate())

    def use() -> None:
        tunnel = opened(gateway)
        assert all(is_echoed(tunnel.port) for _ in range(scaled(20, 500)))
        tunnel.close()

    use()
    before = held()
    for _ in range(scaled(3, 50)):
        use()
    until(lambda: held() <= before, "all threads and descriptors to end")


def test_connections_that_ended_are_let_go_while_the_tunnel_stays(
    gateway: Sshd, opened: Opener
) -> None:
    tunnel = opened(gateway)
    assert is_echoed(tunnel.port)
    before = threading.active_count()
    assert all(is_echoed(tunnel.port) for _ in range(50))
    until(lambda: threading.active_count() <= before, "the threads of 50 connections to end")


class LostAtItsEnd:
    """A channel that has copied everything when the SSH connection is lost: paramiko raises EOFError."""

    eof_received = True

    def recv(self, _: int) -> bytes:
        return b""

    def shutdown_write(self) -> None:
        pass

    def close(self) -> None:
        raise EOFError


def test_a_channel_that_cannot_be_closed_any_more_still_lets_its_client_go() -> None:
    forwarder = Forwarder(0, lambda _: LostAtItsEnd())
    forwarder.start()
    with socket.create_connection(("127.0.0.1", forwarder.port), timeout=60) as client:
        assert client.recv(1) == b""
        (copying,) = (each for each in threading.enumerate() if each.name == "tunnel-down")
        client.shutdown(socket.SHUT_WR)
        copying.join(60)
        assert not copying.is_alive()
    forwarder.close()
    gc.collect()  # warns of a connection that was not closed


def test_closing_twice_is_closing_once(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway)
    tunnel.close()
    tunnel.close()
    assert tunnel.wait(0)
    assert not is_echoed(tunnel.port)


def test_a_fork_does_not_close_its_parents_tunnel(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway)
    child = os.fork()
    if child == 0:
        tunnel.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert is_echoed(tunnel.port)
