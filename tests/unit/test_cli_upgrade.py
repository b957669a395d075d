"""`optunapi upgrade`: old databases are upgraded in a copy, and kept."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from optunapi.storage import upgrade as module
from optunapi.storage.tables.ownership import Ownership


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTUNAPI_HOME", str(tmp_path))
    (tmp_path / "db").mkdir()
    return tmp_path / "db"


def old_database(path: Path) -> Path:
    """A database as Optuna 3.0 made it: without the index that 3.2 has."""
    study = optuna.create_study(study_name=path.stem, storage=f"sqlite:///{path}")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    study.add_trial(optuna.create_trial(value=float("inf")))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP INDEX ix_trials_study_id")
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["upgrade", *arguments])


@pytest.mark.parametrize("arguments", [(), ("old.db",)])
def test_an_old_database_is_upgraded_and_kept(folder: Path, arguments: tuple[str, ...]) -> None:
    path = old_database(folder / "old.db")
    before = path.read_bytes()
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert (folder / "old.db.before-upgrade-of-v3.0.0.d").read_bytes() == before
    assert len(optuna.load_study(study_name="old", storage=f"sqlite:///{path}").trials) == 5
    upgraded = path.read_bytes()
    assert "nothing to do" in run(*arguments).output
    assert path.read_bytes() == upgraded
    assert sorted(os.listdir(folder)) == ["old.db", "old.db.before-upgrade-of-v3.0.0.d"]


def test_a_kept_file_is_never_overwritten(folder: Path) -> None:
    old_database(folder / "old.db")
    taken = folder / "old.db.before-upgrade-of-v3.0.0.d"
    taken.write_text("mine")
    document = json.loads(run("--json").stdout)
    assert document["files"][0]["kept"] == f"{taken}-2"
    assert taken.read_text() == "mine"


def test_a_served_folder_is_refused(folder: Path) -> None:
    path = old_database(folder / "old.db")
    before = path.read_bytes()
    ownership = Ownership(folder / "server", "the folder db/")
    result = run()
    ownership.release()
    assert result.exit_code == 1
    assert "in use by process" in result.output
    assert path.read_bytes() == before


@pytest.mark.parametrize("step", ["_migrate", "_trials", "_keep", "_sync"])
def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = old_database(folder / "old.db")
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, step, fail)
    result = run()
    assert result.exit_code == 1
    assert path.read_bytes() == before
    assert os.listdir(folder) == ["old.db"]
    monkeypatch.undo()
    monkeypatch.setenv("OPTUNAPI_HOME", str(folder.parent))
    assert run().exit_code == 0
