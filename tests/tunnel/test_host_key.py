"""The tunnel logs in only at a gateway whose host key is known."""

import base64
import os
import stat
import subprocess
from pathlib import Path

import pytest

from optunapi.errors import (
    HostKeyChanged,
    HostKeyRefused,
    HostKeyRevoked,
    HostKeyUnknown,
    LoginRefused,
    OptunAPIError,
    TunnelFailed,
)
from tests.tunnel.behind import is_echoed
from tests.tunnel.conftest import Opener
from tests.tunnel.sshd import Sshd, fingerprint, running


def assert_nobody_logged_in(sshd: Sshd) -> None:
    log = sshd.log.read_text()
    assert "Accepted" not in log
    assert "Failed publickey" not in log


def test_a_known_host_key_lets_the_tunnel_open(gateway: Sshd, opened: Opener) -> None:
    with opened(gateway) as url:
        assert url.startswith("http://127.0.0.1:")
        assert is_echoed(int(url.rpartition(":")[2]))


def test_an_unknown_host_key_is_refused_with_the_line_that_makes_it_known(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    gateway.known_hosts.unlink()
    with pytest.raises(HostKeyUnknown) as refused:
        opened(gateway)
    line = f"{gateway.name} {gateway.host_keys['ed25519']}"
    assert "host key" in refused.value.detail
    assert "accept_new=True" in refused.value.detail
    assert fingerprint(tmp_path / "gateway" / "host_ed25519") in refused.value.detail
    assert refused.value.detail.splitlines()[-1] == line == refused.value.extra["line"]
    assert not gateway.known_hosts.exists()
    assert_nobody_logged_in(gateway)
    gateway.known_hosts.write_text(f"{line}\n")
    assert is_echoed(opened(gateway).port)


def test_accept_new_adds_the_host_key_for_good(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh" / "known_hosts"
    opened(gateway, known_hosts=fresh, accept_new=True)
    assert fresh.read_text() == f"{gateway.name} {gateway.host_keys['ed25519']}\n"
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600
    assert stat.S_IMODE(fresh.parent.stat().st_mode) == 0o700
    opened(gateway, known_hosts=fresh)


def test_accept_new_without_a_file_named_writes_where_ssh_does(
    gateway: Sshd, opened: Opener
) -> None:
    opened(gateway, known_hosts=None, accept_new=True)
    home = Path(os.environ["HOME"])
    assert gateway.host_keys["ed25519"] in (home / ".ssh" / "known_hosts").read_text()


def test_accept_new_keeps_what_is_there_even_an_unfinished_last_line(
    gateway: Sshd, opened: Opener
) -> None:
    gateway.known_hosts.write_text("other ssh-ed25519 AAAA")
    opened(gateway, accept_new=True)
    first, second = gateway.known_hosts.read_text().splitlines()
    assert first == "other ssh-ed25519 AAAA"
    assert second == f"{gateway.name} {gateway.host_keys['ed25519']}"


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_changed_host_key_is_refused_whatever_the_caller_says(
    gateway: Sshd, opened: Opener, accept_new: bool
) -> None:
    gateway.stop()
    gateway.change_host_key()
    gateway.start()
    before = gateway.known_hosts.read_text()
    with pytest.raises(HostKeyChanged) as refused:
        opened(gateway, accept_new=accept_new)
    assert "host key" in refused.value.detail
    assert "ssh-keygen" in refused.value.detail
    assert gateway.known_hosts.read_text() == before
    assert_nobody_logged_in(gateway)


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_key_of_another_type_than_the_known_one_counts_as_changed(
    tmp_path: Path, opened: Opener, accept_new: bool
) -> None:
    with running(Sshd(tmp_path / "gateway", kinds=["ecdsa"])) as sshd:
        sshd.host_keys["ed25519"] = "ssh-ed25519 " + base64.b64encode(b"another").decode()
        sshd.know("ed25519")
        with pytest.raises(HostKeyChanged):
            opened(sshd, accept_new=accept_new)
        assert_nobody_logged_in(sshd)


@pytest.mark.parametrize("known", ["ed25519", "ecdsa", "rsa"])
def test_of_several_host_keys_the_one_that_is_known_is_asked_for(
    tmp_path: Path, opened: Opener, known: str
) -> None:
    with running(Sshd(tmp_path / "gateway", kinds=["rsa", "ecdsa", "ed25519"])) as sshd:
        sshd.know(known)
        assert is_echoed(opened(sshd).port)


def test_a_hashed_name_is_recognised(gateway: Sshd, opened: Opener) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", gateway.known_hosts], check=True)
    assert "127.0.0.1" not in gateway.known_hosts.read_text()
    assert is_echoed(opened(gateway).port)


@pytest.mark.parametrize(
    "others", ["", "{name} {key}\n"], ids=["alone", "although it is known as well"]
)
def test_a_revoked_host_key_is_refused(gateway: Sshd, opened: Opener, others: str) -> None:
    key = gateway.host_keys["ed25519"]
    others = others.format(name=gateway.name, key=key)
    gateway.known_hosts.write_text(f"@revoked * {key}\n{others}")
    with pytest.raises(HostKeyRevoked, match="host key"):
        opened(gateway, accept_new=True)
    assert_nobody_logged_in(gateway)


def test_the_key_of_a_certificate_authority_is_not_taken_for_a_host_key(
    gateway: Sshd, opened: Opener
) -> None:
    line = f"@cert-authority {gateway.name} {gateway.host_keys['ed25519']}\n"
    gateway.known_hosts.write_text(line)
    with pytest.raises(HostKeyUnknown, match="does not check certificates"):
        opened(gateway)


def test_a_line_for_the_same_host_on_another_port_says_nothing(
    gateway: Sshd, opened: Opener
) -> None:
    text = gateway.known_hosts.read_text()
    gateway.known_hosts.write_text(text.replace(str(gateway.port), str(gateway.port - 1)))
    with pytest.raises(HostKeyUnknown):
        opened(gateway)


def test_known_hosts_that_cannot_be_read_or_written_are_an_error_not_a_yes(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    with pytest.raises(TunnelFailed, match="cannot be read"):
        opened(gateway, known_hosts=tmp_path)
    dangling = tmp_path / "known_hosts"
    dangling.symlink_to(tmp_path / "missing" / "known_hosts")
    with pytest.raises(TunnelFailed, match="cannot be saved"):
        opened(gateway, known_hosts=dangling, accept_new=True)
    assert_nobody_logged_in(gateway)


def test_the_host_key_is_checked_before_the_login_key(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    gateway.known_hosts.unlink()
    with pytest.raises(HostKeyUnknown):
        opened(gateway, key=tmp_path / "missing")


def test_every_refusal_is_one_of_ours() -> None:
    assert issubclass(HostKeyRefused, TunnelFailed)
    assert issubclass(LoginRefused, TunnelFailed)
    assert issubclass(TunnelFailed, OptunAPIError)
