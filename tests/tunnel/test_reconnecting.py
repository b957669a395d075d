"""A tunnel outlives its SSH connection, on the same port, with the host key checked each time."""

import logging
import os
import random
import signal
import socket
import threading
from itertools import islice
from pathlib import Path

import pytest

from optunapi.errors import HostKeyChanged, HostKeyUnknown
from optunapi.tunnel import open_tunnel
from optunapi.tunnel.supervised import delays
from tests.support import scaled, until
from tests.tunnel.behind import exchange, is_echoed, read_all, serving, slow_way_to
from tests.tunnel.conftest import Opener
from tests.tunnel.sshd import Sshd, make_key, running


def test_after_a_killed_session_the_same_port_works_again(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway)
    port = tunnel.port
    for _ in range(scaled(2, 10)):
        sessions = gateway.sessions()
        gateway.signal_sessions()
        until(lambda: is_echoed(port), "the tunnel to come back")
        assert not set(sessions) & set(gateway.sessions())
    assert (tunnel.port, tunnel.error) == (port, None)


def test_while_sshd_is_away_connections_are_closed_at_once_and_then_it_comes_back(
    gateway: Sshd, opened: Opener
) -> None:
    tunnel = opened(gateway)
    gateway.stop()
    until(lambda: not tunnel.connected, "the loss to be noticed")
    with socket.create_connection(("127.0.0.1", tunnel.port), timeout=30) as client:
        client.settimeout(30)
        assert client.recv(1) == b""
    gateway.start()
    until(lambda: is_echoed(tunnel.port), "the tunnel to come back")


def test_a_session_that_hangs_is_noticed_and_replaced(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway, timeout=1.0, keepalive=0.2)
    (hung,) = gateway.sessions()
    gateway.signal_sessions(signal.SIGSTOP)
    try:
        until(lambda: set(gateway.sessions()) - {hung}, "another session")
        until(lambda: is_echoed(tunnel.port), "the tunnel to come back")
    finally:
        gateway.signal_sessions(signal.SIGCONT)


def test_an_idle_session_that_answers_is_kept(tmp_path: Path, opened: Opener) -> None:
    with running(Sshd(tmp_path / "gateway", "LogLevel DEBUG")) as sshd:
        tunnel = opened(sshd, keepalive=0.05)
        sessions = sshd.sessions()
        until(lambda: sshd.log.read_text().count("keepalive@openssh.com") > 5, "questions")
        assert sshd.sessions() == sessions
        assert tunnel.connected


def test_a_session_is_kept_whose_answer_waits_behind_a_large_upload(
    gateway: Sshd, behind: int, tmp_path: Path
) -> None:
    content = os.urandom(3_000_000)
    with serving(slow_way_to(gateway.port)) as slow:
        tunnel = open_tunnel(
            f"127.0.0.1:{slow}",
            f"127.0.0.1:{behind}",
            key=gateway.key,
            known_hosts=tmp_path / "known_hosts",
            accept_new=True,
            timeout=2.0,
            keepalive=0.1,
        )
        with tunnel:
            sessions = gateway.sessions()
            assert exchange(tunnel.port, content) == content
            assert gateway.sessions() == sessions


def test_an_answer_cut_off_by_a_lost_session_is_no_whole_one(gateway: Sshd, opened: Opener) -> None:
    halfway, over = threading.Event(), threading.Event()

    def half_an_answer(server: socket.socket) -> None:
        server.sendall(b"half")
        halfway.set()
        over.wait(30)

    with serving(half_an_answer) as port:
        tunnel = opened(gateway, f"127.0.0.1:{port}")
        with socket.create_connection(("127.0.0.1", tunnel.port), timeout=30) as client:
            assert client.recv(4) == b"half"
            gateway.signal_sessions()
            with pytest.raises(ConnectionResetError):
                read_all(client)
        over.set()


def test_another_host_key_at_a_reconnection_ends_the_tunnel(
    gateway: Sshd, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    tunnel = opened(gateway, accept_new=True)
    gateway.stop()
    gateway.change_host_key()
    gateway.start()
    with pytest.raises(HostKeyChanged, match="host key"):
        tunnel.wait(30)
    assert isinstance(tunnel.error, HostKeyChanged)
    assert not tunnel.connected
    assert "Accepted" not in gateway.log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tunnel.port), timeout=30)
    (ended,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "host key" in ended.getMessage()


def test_a_reconnection_accepts_no_new_host_key(gateway: Sshd, opened: Opener) -> None:
    tunnel = opened(gateway, accept_new=True)
    gateway.known_hosts.unlink()
    gateway.signal_sessions()
    with pytest.raises(HostKeyUnknown):
        tunnel.wait(30)
    assert not gateway.known_hosts.exists()


def test_a_login_refused_for_a_while_is_tried_again(
    gateway: Sshd, opened: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tunnel = opened(gateway)
    allowed = gateway.authorized.read_text()
    gateway.authorized.write_text(make_key(tmp_path / "another"))
    gateway.signal_sessions()
    until(lambda: "refuses the login" in caplog.text, "a refusal")
    gateway.authorized.write_text(allowed)
    until(lambda: is_echoed(tunnel.port), "the tunnel to come back")


def test_an_encrypted_key_is_not_asked_for_again(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    gateway.authorized.write_text(make_key(tmp_path / "key", "ed25519", "correct horse"))
    tunnel = opened(gateway, key=tmp_path / "key", passphrase="correct horse")
    (tmp_path / "key").unlink()
    gateway.signal_sessions()
    until(lambda: tunnel.connected and is_echoed(tunnel.port), "the tunnel to come back")


def test_a_tunnel_is_closed_at_once_while_it_tries_to_reconnect(
    gateway: Sshd, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    tunnel = opened(gateway)
    gateway.stop()
    until(lambda: "reconnecting failed" in caplog.text, "an attempt")
    tunnel.close()
    assert tunnel.wait(0)
    assert tunnel.error is None


def test_no_message_of_a_lost_session_is_a_traceback(
    gateway: Sshd, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    tunnel = opened(gateway)
    gateway.stop()
    until(lambda: "reconnecting failed" in caplog.text, "an attempt")
    tunnel.close()
    assert "Traceback" not in caplog.text
    assert {record.name for record in caplog.records} == {"optunapi.tunnel"}


def test_attempts_are_spread_and_never_more_than_half_a_minute_apart() -> None:
    series = [list(islice(delays(), 20)) for _ in range(50)]
    for number in range(20):
        longest = min(30.0, 0.5 * 2**number)
        waits = [waits[number] for waits in series]
        assert all(0 <= wait <= longest for wait in waits)
        assert max(waits) - min(waits) > longest / 4


def test_the_numbers_that_a_training_draws_are_its_own() -> None:
    random.seed(7)
    expected = random.getstate()
    assert len(list(islice(delays(), 5))) == 5
    assert random.getstate() == expected
