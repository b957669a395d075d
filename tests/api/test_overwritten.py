"""`cp` onto the file of an open study: it stops at once, and the file is left as it was copied."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from tests.api.server import dump
from tests.api.test_files import LINE, listed, stored
from tests.api.wire import Wire, wire_of
from tests.support import until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("config", "db"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config" / "a.yaml").write_text(LINE)
    stored(tmp_path, "b.db", "b")
    return tmp_path


def copy_onto(source: Path, target: Path) -> None:
    """Overwrite the file in its place."""
    inode = target.stat().st_ino
    shutil.copyfile(source, target)
    assert target.stat().st_ino == inode


def work(wire: Wire, n_trials: int) -> None:
    for _ in range(n_trials):
        wire.tell("b", wire.ask("b")["number"], value=1.0)


def assert_holds(path: Path, source: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert dump(path) == dump(source)


@pytest.mark.parametrize("n_trials", [1, 150])  # with more, some checkpoints were made
@pytest.mark.parametrize("source", ["backup", "another", "text"])
def test_a_study_whose_file_is_overwritten_stops_and_the_file_is_what_was_copied(
    home: Path, source: str, n_trials: int
) -> None:
    path, other = home / "db" / "b.db", home / "other.db"
    if source == "another":
        stored(home, "other.db", "b", n_trials=50).rename(other)
    else:
        shutil.copy(path, other)
    if source == "text":
        other.write_text("no database\n" * 5000)
    with wire_of(home) as wire:
        work(wire, n_trials)
        number = wire.ask("b")["number"]
        copy_onto(other, path)
        told = f"/studies/b/trials/{number}/tell"
        found = wire.refused("POST", told, 503, "storage-unavailable", json={"value": 1.0})
        assert found["detail"].startswith("b.db was overwritten while it was served")
        for method, place in (("GET", ""), ("POST", "/trials"), ("GET", "/trials")):
            again = wire.refused(method, f"/studies/b{place}", 503, "storage-unavailable")
            assert again["detail"] == found["detail"]
        assert listed(wire)["b"]["config_error"] == found["detail"]
        assert wire.client.get("/optunapi/readyz").status_code == 200
        wire.ask("a")
    if source == "text":
        assert path.read_bytes() == other.read_bytes()
        return
    assert_holds(path, other)
    with wire_of(home) as wire:
        n_stored = 50 if source == "another" else 3
        assert wire.ask("b")["number"] == n_stored


def test_an_overwritten_file_is_noticed_without_a_request(home: Path) -> None:
    path, other = home / "db" / "b.db", home / "other.db"
    shutil.copy(path, other)
    with wire_of(home) as wire:
        work(wire, 5)
        copy_onto(other, path)
        until(lambda: not (home / "db" / ".b.db.lock").exists())
        assert "overwritten" in listed(wire)["b"]["config_error"]
    assert_holds(path, other)


def test_checkpoints_of_this_and_of_other_processes_are_none_of_that(home: Path) -> None:
    path = home / "db" / "b.db"
    with wire_of(home) as wire:
        for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE", "PASSIVE"):
            work(wire, 30)
            before = path.stat().st_mtime_ns
            with closing(sqlite3.connect(path, timeout=30)) as outside:
                outside.execute(f"PRAGMA wal_checkpoint({kind})").fetchall()
            assert path.stat().st_mtime_ns > before
            work(wire, 2)
        study = optuna.load_study(study_name="b", storage=f"sqlite:///{path}")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=60)
        work(wire, 250)
        assert wire.study("b")["trials"]["complete"] == 3 + 160 + 60 + 250
