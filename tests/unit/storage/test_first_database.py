"""A server without databases does the slow part of creating the first one at its start."""

from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from optunapi.storage.stores import StudyFiles
from optunapi.storage.tables import schema


@pytest.fixture
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without a cached copy of Optuna's schema."""
    schema._script.cache_clear()
    monkeypatch.setattr(schema, "_statements", {})


def refused(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("this takes a tenth of a second or more")


@pytest.mark.usefixtures("fresh_process")
def test_the_first_study_does_not_wait_for_optunas_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = StudyFiles(tmp_path)
    with closing(files):
        files.open()
        monkeypatch.setattr(schema, "RDBStorage", refused)
        monkeypatch.setattr(schema, "Statements", refused)
        assert files.for_new("a")[0].get_all_studies() == []
    assert [path.name for path in tmp_path.glob("*.db")] == ["a.db"]


@pytest.mark.usefixtures("fresh_process")
def test_a_server_that_has_databases_does_not_prepare_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(StudyFiles(tmp_path)) as files:
        files.open()
        files.for_new("a")
    monkeypatch.setattr(schema, "RDBStorage", refused)
    schema._script.cache_clear()
    with closing(StudyFiles(tmp_path)) as files:
        files.open()
        assert files.of_file_named("a") is None  # the file holds no study
