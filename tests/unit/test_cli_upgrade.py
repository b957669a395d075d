"""`optunapi upgrade`: old databases are upgraded in a copy, and kept."""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from click.testing import CliRunner, Result

from optunapi.cli import main
from optunapi.storage import upgrade as module
from optunapi.storage.tables.ownership import Ownership
from tests.support import clean_environment


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


@pytest.mark.parametrize("step", ["_migrate", "contents", "_keep", "_sync"])
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


def test_an_upgrade_writes_nothing_but_its_results(folder: Path) -> None:
    old_database(folder / "old.db")
    command = [sys.executable, "-W", "default", "-m", "optunapi", "upgrade"]
    environment = clean_environment(OPTUNAPI_HOME=str(folder.parent))
    ran = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert ran.stderr == ""
    assert ran.stdout == (
        f"{folder}/old.db: upgraded; the old file is {folder}/old.db.before-upgrade-of-v3.0.0.d\n"
    )


CHANGES = {
    "studies": "UPDATE studies SET study_name = 'x'",
    "directions": "UPDATE study_directions SET direction = 'MAXIMIZE'",
    "trials": "UPDATE trials SET datetime_complete = datetime_start WHERE trial_id = 2",
    "values": "UPDATE trial_values SET value = value + 1 WHERE trial_id = 2",
    "intermediate values": "DELETE FROM trial_intermediate_values WHERE trial_id = 1",
    "parameters": "UPDATE trial_params SET param_value = 0.5 WHERE trial_id = 1",
    "distributions": "UPDATE trial_params SET distribution_json = replace(distribution_json, '1.0', '2.0')",
    "user attributes of studys": "INSERT INTO study_user_attributes VALUES (9, 1, 'k', '1')",
    "system attributes of trials": "DELETE FROM trial_system_attributes",
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_copy_that_differs_in_anything_does_not_take_the_files_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = folder / "old.db"
    study = optuna.create_study(study_name="old", storage=f"sqlite:///{path}")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(math.nan, 0)
    study.tell(trial, 0.5)
    trial = study.ask()
    trial.storage.set_trial_system_attr(trial._trial_id, "lease", {"id": 7})
    study.tell(trial, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP INDEX ix_trials_study_id")
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    before = path.read_bytes()
    migrate = module._migrate

    def migrate_and_change(url: str) -> None:
        migrate(url)
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute(CHANGES[what])

    monkeypatch.setattr(module, "_migrate", migrate_and_change)
    result = run()
    assert result.exit_code == 1
    assert what in result.output
    assert path.read_bytes() == before
    monkeypatch.setattr(module, "_migrate", migrate)
    assert run().exit_code == 0


def test_where_files_cannot_be_linked_the_old_one_is_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_database(folder / "old.db")
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert run().exit_code == 0
    assert (folder / "old.db.before-upgrade-of-v3.0.0.d").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["old.db", "old.db.before-upgrade-of-v3.0.0.d"]


@pytest.mark.parametrize("has_links", [True, False])
def test_nobody_can_write_to_the_old_file_until_the_new_one_is_in_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    path = old_database(folder / "old.db")
    # As an upgrade leaves it that was interrupted just before its end: it is compared with the file.
    shutil.copy(path, folder / "old.db.before-upgrade-of-v3.0.0.d")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE studies SET study_name = 'Old'")
    write = (
        "import sqlite3, sys\n"
        "sqlite3.connect(sys.argv[1], timeout=0).execute('UPDATE studies SET study_name = 1')"
    )
    refusals = []
    replace = os.replace

    def write_first(source: Path, target: Path) -> None:
        command = [sys.executable, "-c", write, str(target)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        refusals.append(ran.stderr)
        replace(source, target)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "replace", write_first)
    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    assert run().exit_code == 0
    assert len(refusals) == 1
    assert "database is locked" in refusals[0]


def test_a_link_to_the_old_file_is_not_taken_for_its_kept_copy(folder: Path) -> None:
    path = old_database(folder / "old.db")
    before = path.read_bytes()
    (folder / "old.db.before-upgrade-of-v3.0.0.d").symlink_to(path)
    document = json.loads(run("--json").stdout)
    assert Path(document["files"][0]["kept"]).read_bytes() == before
    assert not Path(document["files"][0]["kept"]).is_symlink()


def test_an_upgrade_that_is_killed_at_any_step_leaves_a_usable_file_and_can_be_repeated(
    folder: Path,
) -> None:
    path = old_database(folder / "old.db")
    program = Path(__file__).with_name("killed_upgrade.py")
    ran = subprocess.run(
        [sys.executable, program, path], capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= 12  # steps
