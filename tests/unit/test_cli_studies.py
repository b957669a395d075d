"""`optunapi fork` and `optunapi artifacts prune`, on the server's folders and through a server."""

import json
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from tests.api.wire import Wire, wire_of
from tests.support import free_port, write_config

LINE = "x: {type: float, low: 0, high: 1}"

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose study `old` has two complete trials, each with a file."""
    (tmp_path / "config").mkdir()
    write_config(tmp_path / "config" / "old.yaml", LINE)
    with wire_of(tmp_path) as wire:
        for number in range(2):
            wire.ask("old")
            wire.ok("PUT", f"/studies/old/trials/{number}/artifacts/model.pt", content=b"hello")
            wire.tell("old", number, value=number)
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in that home."""
    for name in ("CONFIG_DIR", "DB_DIR", "ARTIFACTS_DIR", "STORAGE"):
        monkeypatch.delenv(f"OPTUNAPI_{name}", raising=False)
    monkeypatch.setenv("OPTUNAPI_HOME", str(home))

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, words)

    return invoke


def url_of(wire: Wire) -> str:
    return str(wire.client.base_url)


def kept(wire: Wire) -> list[int]:
    """Return the number of files of each trial of `old`."""
    path = "/studies/old/trials/{}/artifacts"
    return [len(wire.ok("GET", path.format(n))["items"]) for n in range(2)]


PRUNE = ("artifacts", "prune", "old", "--older-than", "0s", "--keep-best", "1")


def test_a_study_is_forked_while_no_server_runs(run: Run, home: Path) -> None:
    result = run("fork", "old", "new")
    assert (result.exit_code, result.stdout) == (
        0,
        "new was created from old: 2 complete\n",
    )
    with wire_of(home) as wire:
        assert wire.study("new")["trials"]["complete"] == 2


def test_a_study_is_forked_through_a_server(run: Run, home: Path) -> None:
    with wire_of(home) as wire:
        result = run("fork", "old", "new", "--url", url_of(wire), "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout) == wire.study("new")


def test_files_are_pruned_while_no_server_runs(run: Run, home: Path) -> None:
    result = run(*PRUNE)
    assert (result.exit_code, result.stdout) == (0, "1 file(s) deleted, 5 bytes\n")
    assert len([p for p in (home / "db" / "artifacts").iterdir() if p.is_file()]) == 1
    with wire_of(home) as wire:
        assert kept(wire) == [1, 0]


def test_files_are_pruned_through_a_server(run: Run, home: Path) -> None:
    with wire_of(home) as wire:
        result = run("--json", *PRUNE, "--url", f"{url_of(wire)}/")
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"deleted": 1, "size": 5})
        assert kept(wire) == [1, 0]


def test_young_files_stay(run: Run, home: Path) -> None:
    assert run("artifacts", "prune", "old", "--older-than", "30d").exit_code == 0
    with wire_of(home) as wire:
        assert kept(wire) == [1, 1]


def test_a_study_never_asked_from_has_nothing_to_prune(run: Run, home: Path) -> None:
    write_config(home / "config" / "fresh.yaml", LINE)
    result = run("artifacts", "prune", "fresh", "--older-than", "1d", "--json")
    assert json.loads(result.stdout) == {"deleted": 0, "size": 0}


@pytest.mark.parametrize("words", [("fork", "old", "new"), PRUNE])
def test_beside_a_running_server_a_command_says_how_to_go_through_it(
    run: Run, home: Path, words: tuple[str, ...]
) -> None:
    with wire_of(home) as wire:
        before = kept(wire)
        result = run(*words)
        assert result.exit_code == 1
        assert "is in use by process" in result.stderr
        assert "--url http" in result.stderr
        assert result.stdout == ""
        assert kept(wire) == before
        wire.refused("GET", "/studies/new", 404, "study-not-found")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("fork", "nobody", "new"), "study-not-found"),
        (("fork", "old", "old"), "spec-conflict"),
        (("fork", "old", "-"), "name-invalid"),
        (("artifacts", "prune", "nobody", "--older-than", "1d"), "study-not-found"),
    ],
)
def test_a_refusal_is_one_line_with_its_code_here_and_there(
    run: Run, home: Path, words: tuple[str, ...], code: str
) -> None:
    here = run(*words)
    with wire_of(home) as wire:
        there = run(*words, "--url", url_of(wire))
    for result in (here, there):
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {code}: ")
        assert len(result.stderr.splitlines()) == 1


def test_an_address_where_no_server_answers_is_unreachable(run: Run) -> None:
    result = run("fork", "old", "new", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 3
    assert "was not reached" in result.stderr


def test_a_server_of_another_program_is_recognised(run: Run) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        result = run("fork", "old", "new", "--url", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
        thread.join()
    assert result.exit_code == 1
    assert "is not the reply of an OptunAPI server" in result.stderr


@pytest.mark.parametrize("age", ["", "30", "1.5h", "2d"])
def test_ages_are_durations(run: Run, age: str) -> None:
    result = run("artifacts", "prune", "old", "--older-than", age or "soon")
    assert result.exit_code == (0 if age else 2)


@pytest.mark.parametrize("words", [("--older-than", "-1d"), ("--older-than", "9999999d"), ()])
def test_an_age_must_be_given_and_make_sense(run: Run, words: tuple[str, ...]) -> None:
    assert run("artifacts", "prune", "old", *words).exit_code == 2


FORK = ("fork", "old", "new", "--json")


@pytest.mark.parametrize("words", [FORK, ("--json", *PRUNE)])
def test_a_command_goes_to_the_server_of_the_environment_or_a_profile(
    run: Run, home: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    profiles = home / "optunapi" / "profiles.toml"
    profiles.parent.mkdir()
    with wire_of(home) as wire:
        url, nowhere = url_of(wire), f"http://127.0.0.1:{free_port()}"
        ways: list[tuple[dict[str, str], str, tuple[str, ...], tuple[str, ...]]] = [
            ({"OPTUNAPI_URL": url}, "", (), ()),
            ({}, f'[default]\nurl = "{url}"', (), ()),
            ({"OPTUNAPI_PROFILE": "lab"}, f'[lab]\nurl = "{url}"', (), ()),
            ({"OPTUNAPI_URL": nowhere}, f'[lab]\nurl = "{url}"', (), ("--profile", "lab")),
            ({"OPTUNAPI_URL": url}, f'[default]\nurl = "{nowhere}"', (), ()),
            ({"OPTUNAPI_URL": nowhere}, f'[default]\nurl = "{nowhere}"', ("--url", url), ()),
            ({"OPTUNAPI_URL": nowhere}, "", (), ("--url", url)),
        ]
        for environment, content, before, after in ways:
            profiles.write_text(content)
            for name in ("OPTUNAPI_URL", "OPTUNAPI_PROFILE"):
                monkeypatch.delenv(name, raising=False)
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            result = run(*before, *words, *after)
            assert result.exit_code == 0, (environment, content, before, after, result.stderr)
            assert json.loads(result.stdout)
            if "new" in words:
                wire.client.delete("/optunapi/v1/studies/new").raise_for_status()


def test_a_profile_that_is_missing_is_wrong_usage(run: Run) -> None:
    result = run("--profile", "nowhere", "fork", "old", "new")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no profile [nowhere]" in result.stderr
