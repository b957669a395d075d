"""The keys that are offered to a gateway, and the message when it refuses them."""

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optunapi.errors import LoginRefused
from tests.support import missing
from tests.tunnel.behind import is_echoed
from tests.tunnel.conftest import Opener
from tests.tunnel.sshd import Sshd, fingerprint, make_key, running

PASSPHRASE = "correct horse"


@contextmanager
def agent_with(monkeypatch: pytest.MonkeyPatch, folder: Path, *keys: Path) -> Iterator[None]:
    """A running ssh-agent with these keys."""
    if not shutil.which("ssh-agent"):
        missing("there is no ssh-agent (apt-get install openssh-client)")
    socket = folder / "agent.sock"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()  # it prints its address once it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", *map(str, keys)], check=True)
        yield
    finally:
        agent.terminate()
        agent.communicate()
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("pem", [False, True])
def test_a_key_of_each_type_and_format_logs_in(
    gateway: Sshd, opened: Opener, tmp_path: Path, kind: str, pem: bool
) -> None:
    if pem and kind == "ed25519":
        kind = "ecdsa"  # PEM has no ed25519
    options = ("-m", "PEM") if pem else ()
    gateway.authorized.write_text(make_key(tmp_path / "key", kind, "", *options))
    assert is_echoed(opened(gateway, key=tmp_path / "key").port)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_encrypted_key_is_opened_with_its_passphrase(
    gateway: Sshd, opened: Opener, tmp_path: Path, kind: str
) -> None:
    gateway.authorized.write_text(make_key(tmp_path / "key", kind, PASSPHRASE))
    assert is_echoed(opened(gateway, key=tmp_path / "key", passphrase=PASSPHRASE).port)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the key is encrypted: pass passphrase="),
        ("wrong-one", "the passphrase of the key is wrong"),
    ],
)
def test_an_encrypted_key_without_its_passphrase_is_refused_and_no_secret_is_shown(
    gateway: Sshd, opened: Opener, tmp_path: Path, given: str | None, said: str
) -> None:
    gateway.authorized.write_text(make_key(tmp_path / "key", "ed25519", PASSPHRASE))
    with pytest.raises(LoginRefused) as refused:
        opened(gateway, key=tmp_path / "key", passphrase=given)
    assert said in refused.value.detail
    assert PASSPHRASE not in refused.value.detail
    assert "wrong-one" not in refused.value.detail


def test_a_terminal_is_asked_for_the_passphrase(gateway: Sshd, behind: int, tmp_path: Path) -> None:
    gateway.authorized.write_text(make_key(tmp_path / "key", "ed25519", PASSPHRASE))
    program = (
        "import sys; from optunapi.tunnel import open_tunnel\n"
        "with open_tunnel(sys.argv[1], sys.argv[2], key=sys.argv[3], known_hosts=sys.argv[4]):\n"
        "    print('it is open')\n"
    )
    words: list[str | Path]
    words = [gateway.address, f"127.0.0.1:{behind}", tmp_path / "key", gateway.known_hosts]
    terminal, inside = pty.openpty()
    with os.fdopen(inside):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,  # detached from our own terminal
        )
    said = b""
    try:
        while b"Passphrase of" not in said:
            said += os.read(terminal, 1024)
        os.write(terminal, f"{PASSPHRASE}\n".encode())
        with contextlib.suppress(OSError):  # raised at the end of a terminal
            while part := os.read(terminal, 1024):
                said += part
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert b"it is open" in said
    assert PASSPHRASE.encode() not in said


def test_a_key_in_the_agent_logs_in(
    gateway: Sshd, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent_with(monkeypatch, tmp_path, gateway.key):
        assert is_echoed(opened(gateway, key=None).port)


def test_an_encrypted_key_that_the_agent_holds_needs_no_passphrase(
    gateway: Sshd, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent_with(monkeypatch, tmp_path, gateway.key):
        encrypt = ["ssh-keygen", "-q", "-p", "-N", PASSPHRASE, "-f", str(gateway.key)]
        subprocess.run(encrypt, check=True)
        assert is_echoed(opened(gateway, key=gateway.key).port)


def test_a_key_that_is_named_is_the_only_one_that_is_tried(
    gateway: Sshd, opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "another")
    with (
        agent_with(monkeypatch, tmp_path, gateway.key),
        pytest.raises(LoginRefused) as refused,
    ):
        opened(gateway, key=tmp_path / "another")
    assert refused.value.extra["tried"] == [fingerprint(tmp_path / "another")]


def test_without_a_name_the_users_own_keys_are_tried(gateway: Sshd, opened: Opener) -> None:
    folder = Path(os.environ["HOME"]) / ".ssh"
    folder.mkdir()
    make_key(folder / "id_ed25519")
    gateway.authorized.write_text(make_key(folder / "id_rsa", "rsa"))
    assert is_echoed(opened(gateway, key=None).port)


def test_a_refused_login_names_the_keys_that_were_tried(
    gateway: Sshd, opened: Opener, tmp_path: Path
) -> None:
    make_key(tmp_path / "key")
    with pytest.raises(LoginRefused) as refused:
        opened(gateway, key=tmp_path / "key")
    assert f"{fingerprint(tmp_path / 'key')} ({tmp_path / 'key'})" in refused.value.detail
    assert "authorized_keys" in refused.value.detail
    assert "PRIVATE" not in refused.value.detail


def test_having_no_key_at_all_is_said(gateway: Sshd, opened: Opener) -> None:
    with pytest.raises(LoginRefused, match="Keys tried: none"):
        opened(gateway, key=None)


@pytest.mark.parametrize("content", ["", "no key at all\n"])
def test_a_file_that_is_no_key_is_said(
    gateway: Sshd, opened: Opener, tmp_path: Path, content: str
) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(LoginRefused, match="not a private key"):
        opened(gateway, key=tmp_path / "key")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("AuthenticationMethods publickey,keyboard-interactive", "also requires"),
        ("PubkeyAuthentication no\nKbdInteractiveAuthentication yes", "It accepts no keys, only"),
        ("MaxAuthTries 1", "Keys tried: SHA256"),
    ],
)
def test_a_gateway_that_wants_something_else_is_understood(
    tmp_path: Path, opened: Opener, option: str, said: str
) -> None:
    with running(Sshd(tmp_path / "gateway", option)) as sshd:
        make_key(tmp_path / "key")
        key = sshd.key if "publickey," in option else tmp_path / "key"
        with pytest.raises(LoginRefused, match=re.escape(said)):
            opened(sshd, key=key)
