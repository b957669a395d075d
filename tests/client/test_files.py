"""Files of the client: exported trials, imported ones, and specifications; and what is set by hand."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from optunapi import Client, Study
from optunapi.errors import (
    BadRequest,
    OptunAPIError,
    ServerUnavailable,
    SpecConflict,
    StudyNotFound,
    UnexpectedReply,
    ValueInvalid,
)
from tests.client.conftest import XY, MakeStudy
from tests.client.proxy import Proxy
from tests.support import write_config


@pytest.fixture
def full(study: Study) -> Study:
    """A study with a complete, a failed, a running and a waiting trial."""
    first = study.ask(user_attrs={"host": "gpu-03"})
    first.report(0.5, 1)
    first.tell(float(first.number))
    study.ask().fail("said no")
    study.ask(lease_seconds=None)
    study.enqueue({"x": 1.5})
    return study


def lines(path: Path) -> list[dict[str, Any]]:
    """The trials of a file, without what differs from study to study."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in each.items() if not k.startswith("study")} for each in found]


def test_an_exported_file_is_imported_into_another_study_trial_by_trial(
    full: Study, make_study: MakeStudy, tmp_path: Path
) -> None:
    full.export(tmp_path / "here.jsonl")
    copy = make_study(full.spec)
    assert copy.import_trials(tmp_path / "here.jsonl") == 4
    copy.export(str(tmp_path / "there.jsonl"))
    assert lines(tmp_path / "there.jsonl") == lines(tmp_path / "here.jsonl")
    items = map(json.loads, (tmp_path / "here.jsonl").read_text().splitlines())
    assert make_study().import_trials(items) == 4
    assert make_study().import_trials(str(tmp_path / "here.jsonl")) == 4


def test_a_study_without_trials_is_exported_and_imported(
    study: Study, make_study: MakeStudy, tmp_path: Path
) -> None:
    study.export(tmp_path / "none.jsonl")
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert make_study().import_trials(tmp_path / "none.jsonl") == 0


def test_the_format_is_the_end_of_the_path_unless_it_is_given(full: Study, tmp_path: Path) -> None:
    full.export(tmp_path / "table.CSV")
    full.export(tmp_path / "table.txt", "csv")
    full.export(tmp_path / "trials.csv", format="jsonl")
    for name in ("table.CSV", "table.txt"):
        with (tmp_path / name).open(newline="") as file:
            assert [row["number"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]
    assert len(lines(tmp_path / "trials.csv")) == 4


@pytest.mark.parametrize(("name", "chosen"), [("a", None), ("a.txt", None), ("a.jsonl", "xml")])
def test_another_format_is_refused_and_writes_nothing(
    study: Study, tmp_path: Path, name: str, chosen: str | None
) -> None:
    with pytest.raises(ValueError, match="format"):
        study.export(tmp_path / name, chosen)
    assert not (tmp_path / name).exists()


def test_an_export_replaces_a_file_and_takes_the_usual_permissions(
    full: Study, tmp_path: Path
) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text("old")
    full.export(path)
    assert len(lines(path)) == 4
    (tmp_path / "new").touch()
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
    with pytest.raises(FileNotFoundError, match=r"no-such-folder/trials\.jsonl"):
        full.export(tmp_path / "no-such-folder" / "trials.jsonl")


def test_an_export_that_is_cut_off_or_refused_is_tried_again(
    full: Study, disturbed: Client, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.disturb("/export", "truncate", "reset", "bad-gateway", "lose-reply")
    disturbed.study(full.name).export(tmp_path / "trials.jsonl")
    assert len(lines(tmp_path / "trials.jsonl")) == 4
    assert not list(tmp_path.glob(".optunapi-*"))


LOGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nlogin"


@pytest.mark.parametrize(
    ("fault", "error"), [("truncate", ServerUnavailable), (LOGIN, UnexpectedReply)]
)
def test_an_export_that_does_not_arrive_leaves_the_file_that_was_there(
    full: Study, proxy: Proxy, tmp_path: Path, fault: Any, error: type[OptunAPIError]
) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text("old")
    study = Client(proxy.url, retry_for=0).study(full.name)
    proxy.disturb("/export", fault)
    with pytest.raises(error):
        study.export(path)
    assert path.read_text() == "old"
    assert [each for each in tmp_path.iterdir() if each.is_file()] == [path]


def test_an_export_of_a_deleted_study_is_refused(study: Study, tmp_path: Path) -> None:
    study.connection.call("DELETE", "studies", study.slug)
    with pytest.raises(StudyNotFound):
        study.export(tmp_path / "trials.jsonl")
    assert not (tmp_path / "trials.jsonl").exists()


def test_an_import_whose_reply_is_lost_is_made_once(
    full: Study, make_study: MakeStudy, disturbed: Client, proxy: Proxy, tmp_path: Path
) -> None:
    full.export(tmp_path / "trials.jsonl")
    copy = make_study()
    proxy.disturb("/import", "lose-reply", "repeat")
    assert disturbed.study(copy.name).import_trials(tmp_path / "trials.jsonl") == 4
    assert sum(copy.document()["trials"].values()) == 4


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"params": {"x": 99, "n": 1}, "value": 1}\n', ValueInvalid),
        ("number,state\r\n0,complete\r\n", BadRequest),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(
    study: Study, tmp_path: Path, content: str, error: type[OptunAPIError]
) -> None:
    (tmp_path / "trials.jsonl").write_text(content)
    with pytest.raises(error):
        study.import_trials(tmp_path / "trials.jsonl")
    assert sum(study.document()["trials"].values()) == 0
    with pytest.raises(FileNotFoundError):
        study.import_trials(tmp_path / "missing.jsonl")


# Specifications, limits and descriptions


@pytest.mark.parametrize("as_file", [False, True])
def test_a_specification_is_changed_while_the_study_lives_and_changed_back(
    study: Study, tmp_path: Path, as_file: bool
) -> None:
    study.ask().tell(1)
    former, version = study.spec, study.document()["spec_version"]
    assert former["parameters"]["x"]["high"] == 10
    other: dict[str, Any] = json.loads(json.dumps(XY))
    other["parameters"]["x"] |= {"low": 20, "high": 30}
    path = tmp_path / "spec.yaml"
    write_config(path, json.dumps(other))  # JSON is YAML
    study.set_spec(path if as_file else other)
    assert study.spec["parameters"]["x"]["high"] == 30
    assert study.ask().suggest_float("x", 20, 30) >= 20
    study.set_spec({"version": version})
    assert study.spec == former


def test_a_specification_that_the_trials_do_not_fit_is_refused(study: Study) -> None:
    study.ask().tell(1)
    before = study.spec
    with pytest.raises(SpecConflict):
        study.set_spec({**XY, "direction": "maximize"})
    assert study.spec == before


def test_limits_are_set_one_by_one_and_lifted(study: Study) -> None:
    assert set(study.limits.values()) == {None}
    study.set_limits(max_trials=500, target=0.1)
    study.set_limits(max_running=4)
    assert {name: value for name, value in study.limits.items() if value is not None} == {
        "max_trials": 500,
        "max_running": 4,
        "target": {"score": 0.1},
    }
    study.set_limits(max_trials=None)
    assert study.limits["max_trials"] is None
    assert study.document()["limits_source"]["max_running"] == "patch"
    with pytest.raises(BadRequest, match="max_trails"):
        study.set_limits(max_trails=5)


def test_a_description_is_shown_and_set(make_study: MakeStudy) -> None:
    study = make_study(description="which optimizer")
    assert study.description == "which optimizer"
    study.set_description("which optimizer, and why")
    assert study.description == "which optimizer, and why"
    study.set_description(None)
    assert study.description is None
