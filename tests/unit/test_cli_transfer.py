"""`optunapi export` and `optunapi import`, from one server to another."""

import json
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from tests.api.wire import SPACE, Wire, wire_of
from tests.support import free_port


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with wire_of(tmp_path_factory.mktemp("one")) as wire:
        yield wire


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Another server."""
    with wire_of(tmp_path_factory.mktemp("other")) as wire:
        yield wire


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile and no kept results but this test's."""
    monkeypatch.delenv("OPTUNAPI_URL", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    monkeypatch.setenv("OPTUNAPI_SPOOL", str(tmp_path / "spool"))


@pytest.fixture(scope="module")
def name(wire: Wire) -> str:
    """A study with trials in every state."""
    name = wire.put({**SPACE, "enqueue": [{"n": 1}]})
    wire.ask(name, user_attrs={"note": "=1+1\u2028ü"})
    wire.tell(name, 0, value=1.5, constraints={"memory": -1})
    for state in ("fail", "pruned"):
        wire.tell(name, wire.ask(name)["number"], state=state)
    wire.ask(name, lease_seconds=3600)
    wire.ok("POST", f"/studies/{name}/queue", json={"params": {"n": 7}})
    return name


def run(wire: Wire, *words: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["--url", str(wire.client.base_url), *words], input=given)


def lines(content: bytes) -> list[dict[str, Any]]:
    """The trials of an export, without what differs from study to study."""
    found = [json.loads(line) for line in content.split(b"\n") if line]
    return [{k: v for k, v in each.items() if not k.startswith("study")} for each in found]


def test_an_export_is_imported_at_another_server_line_by_line(
    wire: Wire, other: Wire, name: str, tmp_path: Path
) -> None:
    exported = run(wire, "export", name)
    assert (exported.exit_code, exported.stderr) == (0, "")
    file = tmp_path / "trials.jsonl"
    saved = run(wire, "export", name, "-o", str(file))
    assert (saved.exit_code, saved.stdout) == (0, f"{name} was exported to {file}\n")
    assert file.read_bytes() == exported.stdout_bytes
    for words, given in (((str(file),), None), (("-",), exported.stdout_bytes)):
        copy = other.put(SPACE)
        imported = run(other, "import", copy, *words, given=given)
        assert imported.exit_code == 0, imported.stderr
        assert imported.stdout == f"5 trial(s) were imported into {copy}\n"
        again = run(other, "export", copy, "--format", "jsonl")
        assert lines(again.stdout_bytes) == lines(exported.stdout_bytes)
    assert [line["state"] for line in lines(file.read_bytes())] == [
        *("complete", "fail", "pruned", "running", "waiting")
    ]


def test_a_study_without_trials_is_exported_and_imported(wire: Wire, other: Wire) -> None:
    name, copy = wire.put(), other.put()
    exported = run(wire, "export", name)
    assert (exported.exit_code, exported.stdout) == (0, "")
    imported = run(other, "import", copy, "-", "--json", given=exported.stdout_bytes)
    assert (imported.exit_code, json.loads(imported.stdout)) == (0, {"imported": 0})
    assert json.loads(run(wire, "export", name, "--json").stdout) == {"items": []}


def test_a_table_is_what_the_server_sends(wire: Wire, name: str, tmp_path: Path) -> None:
    table = wire.request("GET", f"/studies/{name}/export?format=csv").content
    assert run(wire, "export", name, "--format", "csv").stdout_bytes == table
    for words in (("t.csv",), ("t.txt", "--format", "csv")):
        file = tmp_path / words[0]
        result = run(wire, "export", name, "--json", "-o", str(file), *words[1:])
        assert json.loads(result.stdout) == {"study": name, "format": "csv", "file": str(file)}
        assert file.read_bytes() == table


def test_json_is_one_document_which_import_takes_over_http(
    wire: Wire, other: Wire, name: str
) -> None:
    document = json.loads(run(wire, "--json", "export", name).stdout)
    assert document["items"] == [
        json.loads(line) for line in run(wire, "export", name).stdout_bytes.splitlines()
    ]
    other.ok("POST", f"/studies/{other.put()}/import", json=document)
    refused = run(wire, "--json", "export", name, "--format", "csv")
    assert (refused.exit_code, refused.stdout) == (2, "")


@pytest.mark.parametrize(
    ("words", "content", "code"),
    [
        (("export", "nobody"), "", "study-not-found"),
        (("export", "no/name"), "", "name-invalid"),
        (("import", "nobody", "-"), "{}", "study-not-found"),
        (("import", "{}", "-"), '{"params": {"n": 99}, "value": 1}', "value-invalid"),
        (("import", "{}", "-"), "number,state", "json-invalid"),
    ],
)
def test_a_refusal_is_one_line_with_its_code_and_changes_nothing(
    wire: Wire, words: tuple[str, ...], content: str, code: str
) -> None:
    study = wire.put()
    command, name, *rest = words
    result = run(wire, command, name.replace("{}", study), *rest, given=content.encode())
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {code}: ")
    assert len(result.stderr.splitlines()) == 1
    assert sum(wire.study(study)["trials"].values()) == 0


@pytest.mark.parametrize(
    "words",
    [
        ("export",),
        ("export", "{}", "--format", "html"),
        ("export", "{}", "-o", "/no-such-folder/t.jsonl"),
        ("import", "{}"),
        ("import", "{}", "/no-such-file"),
    ],
)
def test_wrong_usage_exits_with_2(wire: Wire, name: str, words: tuple[str, ...]) -> None:
    result = run(wire, *(word.replace("{}", name) for word in words))
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("words", [("export", "s"), ("import", "s", "-")])
def test_a_server_that_is_not_reached_or_another_program_is_said_so(words: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(main, [*words, "--url", url], env={"OPTUNAPI_URL": None})
    assert (result.exit_code, result.stdout) == (3, "")
    assert "was not reached" in result.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as page:
        thread = Thread(target=page.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{page.server_port}"
        result = CliRunner().invoke(main, [*words, "--url", url])
        page.shutdown()
        thread.join()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is this the server's URL?" in result.stderr


def test_the_server_is_that_of_the_environment(
    wire: Wire, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTUNAPI_URL", str(wire.client.base_url))
    result = CliRunner().invoke(main, ["export", name])
    assert (result.exit_code, len(lines(result.stdout_bytes))) == (0, 5)
