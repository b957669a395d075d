"""Every command: what it prints and returns when something is wrong. New commands are found here."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from tests.acceptance.commands import OPTUNAPI
from tests.support import Server, clean_environment, free_port, running_server, write_config

# What a command needs to run at a server: `s` is a study there, and FILE a file for it.
WORDS: dict[str, list[str]] = {
    "fork": ["s", "new"],
    "export": ["s"],
    "import": ["s", "FILE"],
    "artifacts prune": ["s", "--older-than", "1d"],
}
# Commands that talk to no server, or whose own tests try what a server may do.
HERE: dict[str, list[str]] = {
    "serve": ["--port", "1", "--host", "203.0.113.1"],
    "check": ["FILE"],
    "demo": [],
    "upgrade": ["FILE"],
    "tunnel": ["user@127.0.0.1:1", "8000", "--known-hosts", "FILE"],
    "spool list": [],
    "spool deliver": [],
}


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name))


ALL = list(commands())


def test_every_command_is_tried() -> None:
    assert sorted(ALL) == sorted(WORDS | HERE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("commands")
    (home / "config").mkdir()
    write_config(home / "config" / "s.yaml", "x: {type: float, low: 0, high: 1}\n")
    with running_server(home) as server:
        yield server


def run(tmp_path: Path, command: str, words: list[str], *more: str) -> Result:
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True, exist_ok=True)
    (home / "db").mkdir(exist_ok=True)
    file = tmp_path / "FILE"
    if "FILE" in words:
        file.write_text('{"params": {"x": 0.5}, "values": [1.0], "state": "complete"}\n')
    given = [*command.split(), *(str(file) if word == "FILE" else word for word in words), *more]
    settings = {"OPTUNAPI_HOME": str(home), "XDG_CONFIG_HOME": str(tmp_path)}
    return CliRunner().invoke(main, given, env=settings)


def assert_one_error(ended: Result, code: int, *said: str) -> None:
    assert (ended.exit_code, ended.stdout) == (code, ""), ended.output
    assert isinstance(ended.exception, SystemExit)
    *usage, last = ended.stderr.splitlines()
    assert last.startswith("Error: "), ended.stderr
    assert not usage or (code == 2 and usage[0].startswith("Usage: ")), ended.stderr
    for word in said:
        assert word in last


@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.parametrize("command", WORDS)
def test_a_server_that_is_not_there_is_one_line_and_3(
    tmp_path: Path, command: str, json_too: bool
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ended = run(tmp_path, command, WORDS[command], "--url", url, *["--json"] * json_too)
    assert_one_error(ended, 3, url)


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "ftp://127.0.0.1", "http://[::1", "http://127.0.0.1:99999"]
)
def test_a_wrong_url_is_wrong_usage(tmp_path: Path, command: str, url: str) -> None:
    assert_one_error(run(tmp_path, command, WORDS[command], "--url", url), 2, url)


@pytest.mark.parametrize("command", WORDS)
def test_what_the_server_refuses_is_one_line_with_its_code_and_1(
    tmp_path: Path, server: Server, command: str
) -> None:
    missing = ["nobody" if word == "s" else word for word in WORDS[command]]
    ended = run(tmp_path, command, missing, "--url", server.url)
    assert_one_error(ended, 1, "study-not-found: ", "'nobody'")
    illegal = ["a b" if word == "s" else word for word in WORDS[command]]
    assert_one_error(run(tmp_path, command, illegal, "--url", server.url), 1)


@pytest.mark.parametrize("command", WORDS)
def test_a_server_that_is_no_optunapi_is_one_line(
    tmp_path: Path, server: Server, command: str
) -> None:
    ended = run(tmp_path, command, WORDS[command], "--url", f"{server.url}/elsewhere")
    assert_one_error(ended, 1, "route-not-found")


@pytest.mark.parametrize("command", WORDS)
def test_what_is_done_prints_one_json_document_alone(
    tmp_path: Path, server: Server, command: str
) -> None:
    words = [f"of-{command[:4].strip()}" if word == "new" else word for word in WORDS[command]]
    for words_of_json in (
        ["--json", *command.split(), *words],
        [*command.split(), *words, "--json"],
    ):
        ended = run(tmp_path, words_of_json[0], words_of_json[1:], "--url", server.url)
        if command == "fork" and ended.exit_code == 1:
            assert_one_error(ended, 1, "spec-conflict")  # the second time
            continue
        assert (ended.exit_code, ended.stderr) == (0, ""), ended
        json.loads(ended.stdout)


@pytest.mark.parametrize("make", ["missing", "folder", "binary"])
@pytest.mark.parametrize(
    "words", [["import", "s", "FILE"], ["export", "s", "-o", "FILE"], ["upgrade", "FILE"]]
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, server: Server, words: list[str], make: str
) -> None:
    file, more = tmp_path / "FILE", [] if words[0] == "upgrade" else ["--url", server.url]
    match make:
        case "missing":
            file = file / "absent"
        case "folder":
            file.mkdir()
        case "binary":
            file.write_bytes(b"\xff\xfe\x00")
    given = [str(file) if word == "FILE" else word for word in words[1:]]
    ended = run(tmp_path, words[0], given, *more)
    if (words[0], make) == ("export", "binary"):
        assert ended.exit_code == 0  # it is replaced
    elif words[0] == "upgrade":  # its results are a line for each file
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert len(ended.stderr.splitlines()) == 1
    else:
        assert_one_error(ended, ended.exit_code)
        assert ended.exit_code in (1, 2)


@pytest.mark.parametrize("command", ALL)
def test_an_unknown_option_or_word_is_wrong_usage(tmp_path: Path, command: str) -> None:
    words = WORDS.get(command) or HERE[command]
    assert_one_error(run(tmp_path, command, words, "--no-such-option"), 2, "--no-such-option")


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize("file", ["missing", "folder", "binary", "empty"])
def test_a_token_file_that_has_no_token_is_wrong_usage(
    tmp_path: Path, server: Server, command: str, file: str
) -> None:
    path = tmp_path / "token"
    if file == "folder":
        path.mkdir()
    elif file != "missing":
        path.write_bytes({"binary": b"\xff\xfe", "empty": b""}[file])
    more = ("--url", server.url, "--token-file", str(path))
    assert_one_error(run(tmp_path, command, WORDS[command], *more), 2, str(path))


@pytest.mark.parametrize("command", ["serve", "tunnel"])
def test_an_address_that_cannot_be_used_is_one_line(tmp_path: Path, command: str) -> None:
    ended = run(tmp_path, command, HERE[command])
    assert ended.exit_code in (1, 3)
    assert_one_error(ended, ended.exit_code)


@pytest.mark.parametrize("command", WORDS)
def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path, command: str) -> None:
    file = tmp_path / "FILE"
    file.write_text('{"params": {"x": 0.5}, "values": [1.0]}\n')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = [str(file) if word == "FILE" else word for word in WORDS[command]]
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [OPTUNAPI, *command.split(), *words, "--url", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(OPTUNAPI_HOME=str(tmp_path)),
        )
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
    assert stdout == ""
    assert "Traceback" not in stderr
    assert process.returncode == 130, stderr
