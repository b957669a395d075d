"""`optunapi spool`: what is kept on this machine, and its delivery."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from optunapi import Client, Study
from optunapi.cli import main
from tests.client.proxy import Proxy
from tests.support import Server, free_port


@pytest.fixture
def kept(study: Study, proxy: Proxy, spool: Path) -> Path:
    """The file of a result for the server."""
    trial = Client(proxy.url, timeout=5, retry_for=0).study(study.name).ask()
    proxy.disturb("", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        trial.tell(0.5)
    (file,) = spool.glob("*/*.json")
    return file


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("words", [("spool",), ("spool", "list")])
def test_kept_results_are_listed(kept: Path, study: Study, words: tuple[str, ...]) -> None:
    said = run(*words)
    assert said.exit_code == 0
    assert str(kept) in said.stdout
    assert f"trial 0 of study {study.name}" in said.stdout
    assert "complete [0.5]" in said.stdout
    (item,) = json.loads(run(*words, "--json").stdout)["items"]
    assert item["file"] == str(kept)
    assert (item["state"], item["study"], item["number"]) == ("kept", study.name, 0)
    assert item["body"]["values"] == [0.5]
    assert item["kept_at"].endswith("Z")
    assert item["reason"] is None


def test_what_cannot_be_read_and_what_was_refused_is_listed_too(kept: Path) -> None:
    kept.rename(kept.with_suffix(".refused"))
    kept.write_text("{")
    items = json.loads(run("--json", "spool").stdout)["items"]
    assert [item["state"] for item in items] == ["kept", "refused"]
    assert "cannot be read" in items[0]["reason"]
    assert run("spool").exit_code == 0


def test_where_nothing_is_kept_the_folders_are_named(spool: Path) -> None:
    assert str(spool) in run("spool").stdout
    assert json.loads(run("spool", "--json").stdout) == {"items": []}


def test_kept_results_are_delivered(kept: Path, study: Study, server: Server) -> None:
    said = run("spool", "deliver", "--url", server.url, "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout) == {
        "items": [{"file": str(kept), "state": "delivered", "reason": None}]
    }
    assert study.trial(0).values == [0.5]
    assert not kept.exists()
    again = run("--url", server.url, "spool", "deliver")
    assert (again.exit_code, again.stdout) == (0, f"nothing is kept for {server.url}\n")


def test_a_result_that_is_not_delivered_is_told_with_its_reason(
    kept: Path, study: Study, server: Server
) -> None:
    study.tell(0, 0.25)
    said = run("spool", "deliver", "--url", server.url)
    assert said.exit_code == 1
    assert "refused" in said.stdout
    assert "trial-finished" in said.stdout
    assert kept.with_suffix(".refused").exists()


def test_without_a_server_nothing_changes(kept: Path) -> None:
    said = run("spool", "deliver", "--url", f"http://127.0.0.1:{free_port()}")
    assert said.exit_code == 3
    assert kept.exists()


def test_a_spool_that_is_no_folder_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTUNAPI_SPOOL", "s3://bucket/x")
    for words in (("spool",), ("spool", "deliver")):
        said = run(*words)
        assert said.exit_code == 2
        assert "OPTUNAPI_SPOOL" in said.stderr
