"""Whatever a shell, a service manager or a full disk leaves of a process's surroundings: it works."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support import clean_environment, free_port, scaled, wait_until_serving, write_config

STREAMS = ("", "0<&-", "1>&-", "2>&-", "1>/dev/full", "2>/dev/full", "0<&- 1>&- 2>&-")
SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "as it is": {},
    "without docstrings and asserts": {"PYTHONOPTIMIZE": "2"},
    "without a home": {"HOME": None, "USER": None, "LOGNAME": None},
    "in ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "without a temporary folder": {"TMPDIR": "/proc"},
    "without buffers": {"PYTHONUNBUFFERED": "1"},
}
ALL = list(itertools.product(STREAMS, SURROUNDINGS))
# Each kind of streams once, and each kind of surroundings once.
SOME = [*((each, "as it is") for each in STREAMS[1:]), *(("", each) for each in SURROUNDINGS)]
CASES = ALL[: scaled(0, len(ALL))] or SOME


def environment(home: Path, surroundings: str) -> dict[str, str]:
    changed = clean_environment(OPTUNAPI_HOME=str(home))
    changed.pop("PYTHONUNBUFFERED", None)
    for name, value in SURROUNDINGS[surroundings].items():
        changed.pop(name, None)
        if value is not None:
            changed[name] = value
    return changed


def run(home: Path, arguments: str, streams: str, surroundings: str) -> tuple[int, str]:
    """The exit code of a command, and what it printed where the streams let it."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m optunapi {arguments} {streams}', sys.executable],
        env=environment(home, surroundings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@contextmanager
def served(home: Path, streams: str, surroundings: str) -> Iterator[tuple[str, int]]:
    """The URL of a server, and its process's number."""
    port = free_port()
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" -m optunapi serve --port {port} {streams}', sys.executable],
            env=environment(home, surroundings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_serving(url, process, log)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    write_config(tmp_path / "config" / "m.yaml", "x: {type: float, low: 0, high: 1}\n")
    write_config(tmp_path / "config" / "wrong.yaml", "x: {type: flöat}\n")
    return tmp_path


@pytest.mark.parametrize(("streams", "surroundings"), CASES)
def test_the_server_serves(home: Path, streams: str, surroundings: str) -> None:
    with served(home, streams, surroundings) as (url, process):
        trial = httpx.get(f"{url}/optunapi/hparams/m").raise_for_status().json()
        query = {"trial_id": trial["trial_id"], "score": 0.5}
        httpx.get(f"{url}/optunapi/score/m", params=query).raise_for_status()
        if sys.platform == "linux":
            # What a library prints must not land in a database or in a client's connection.
            opened = [os.readlink(f"/proc/{process}/fd/{number}") for number in range(3)]
            assert all(place.startswith("/") for place in opened), opened
            assert not [place for place in opened if ".db" in place]


@pytest.mark.parametrize(("streams", "surroundings"), CASES)
def test_commands_keep_their_exit_codes_and_show_no_traceback(
    home: Path, streams: str, surroundings: str
) -> None:
    nowhere = f"--url http://127.0.0.1:{free_port()} fork a b"
    for arguments, code in {"check": 1, "frobnicate": 2, nowhere: 3, "import s -": 3}.items():
        if "/dev/full" in streams and arguments == "check":
            continue
        found, printed = run(home, arguments, streams, surroundings)
        assert (found, "Traceback" in printed) == (code, False), (arguments, printed)


def test_output_that_cannot_be_written_is_an_error_of_one_line(home: Path) -> None:
    (home / "config" / "wrong.yaml").unlink()
    for arguments in ("check", "--help", "--version", "check --help", "check --json"):
        for surroundings in ("as it is", "without buffers"):
            code, printed = run(home, arguments, ">/dev/full", surroundings)
            assert (code, printed) == (1, "Error: No space left on device\n")


def test_a_name_that_the_terminal_cannot_show_is_escaped(home: Path) -> None:
    code, printed = run(home, "check ü.yaml", "", "in ASCII")
    assert (code, printed.isascii()) == (1, True)
    assert "cannot be read" in printed
