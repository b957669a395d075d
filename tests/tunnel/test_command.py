"""`optunapi tunnel`, as a process."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import clean_environment, free_port, until
from tests.tunnel.behind import is_echoed
from tests.tunnel.sshd import Sshd

PROGRAM = "from optunapi.cli import main; main()"


@contextmanager
def command(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Run `optunapi tunnel` until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, "tunnel", *map(str, words)],
        env=clean_environment(HOME=os.environ["HOME"]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def options(sshd: Sshd) -> list[object]:
    return ["--key", sshd.key, "--known-hosts", sshd.known_hosts]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_the_url_and_keeps_the_tunnel_until_it_is_told_to_end(
    gateway: Sshd, behind: int, number: signal.Signals
) -> None:
    with command(gateway.address, f"127.0.0.1:{behind}", *options(gateway)) as process:
        assert process.stdout is not None
        url = process.stdout.readline()
        shown = re.fullmatch(r"http://127\.0\.0\.1:(\d+)\n", url)
        assert shown
        assert is_echoed(int(shown[1]))
        gateway.signal_sessions()
        until(lambda: is_echoed(int(shown[1])), "the tunnel to come back")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, "")
        assert "the SSH connection is restored" in errors
        assert "Traceback" not in errors
        assert not is_echoed(int(shown[1]))


def test_json_is_one_document(gateway: Sshd, behind: int) -> None:
    port = free_port()
    words = [gateway.address, f"127.0.0.1:{behind}", "--port", port, "--json"]
    with command(*words, *options(gateway)) as process:
        until(lambda: is_echoed(port), "the tunnel")
        process.terminate()
        shown, errors = process.communicate(timeout=30)
    assert json.loads(shown) == {"url": f"http://127.0.0.1:{port}", "port": port}
    assert errors == ""


def test_an_unknown_gateway_is_refused_unless_it_is_to_be_learnt(
    gateway: Sshd, behind: int, tmp_path: Path
) -> None:
    words = [gateway.address, f"127.0.0.1:{behind}", "--key", gateway.key]
    words += ["--known-hosts", tmp_path / "known_hosts"]
    with command(*words) as process:
        shown, errors = process.communicate(timeout=30)
        assert (process.returncode, shown) == (3, "")
        assert errors.startswith("Error: host-key-unknown: ")
        assert errors.splitlines()[-1] == f"{gateway.name} {gateway.host_keys['ed25519']}"
    with command(*words, "--accept-new") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")


def test_a_host_key_that_changes_ends_the_command(gateway: Sshd, behind: int) -> None:
    with command(gateway.address, f"127.0.0.1:{behind}", *options(gateway)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        gateway.stop()
        gateway.change_host_key()
        gateway.start()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 3
        assert "Error: host-key-changed: " in errors


@pytest.mark.parametrize(
    ("gateway_words", "exit_code", "code"),
    [
        (["user@gateway.invalid", "server"], 3, "gateway-unreachable"),
        (["user@", "server"], 1, "tunnel-failed"),
        (
            ["{address}", "server", "--key", "missing", "--known-hosts", "{known}"],
            4,
            "login-refused",
        ),
    ],
)
def test_each_failure_has_its_exit_code(
    gateway: Sshd, gateway_words: list[str], exit_code: int, code: str
) -> None:
    words = [w.format(address=gateway.address, known=gateway.known_hosts) for w in gateway_words]
    with command(*words) as process:
        shown, errors = process.communicate(timeout=30)
        assert (process.returncode, shown) == (exit_code, "")
        assert errors.startswith(f"Error: {code}: ")


def test_a_port_alone_is_one_of_the_gateway_itself(gateway: Sshd, behind: int) -> None:
    with command(gateway.address, behind, *options(gateway)) as process:
        assert process.stdout is not None
        url = process.stdout.readline()
        assert is_echoed(int(url.strip().rsplit(":", 1)[1]))
