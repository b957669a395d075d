"""Another process opens and closes the file of a running server, which is then killed: nothing is lost.

SQLite removes the log of a database when its last user closes it. Whether others use it, it learns from
locks, and Linux drops all locks of a process on a file when the process closes any descriptor of it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.support import (
    STUDY,
    Asked,
    Client,
    Ledger,
    assert_kept,
    client,
    database,
    kill,
)
from tests.support import running_server, scaled

OPEN_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM trials").fetchone()
connection.close()
"""
CHANGE_MODE = """
import sqlite3, sys
print(sqlite3.connect(sys.argv[1], timeout=0).execute("PRAGMA journal_mode=DELETE").fetchone())
"""
OPTUNA = """
import sys, optuna
print(len(optuna.load_study(study_name=sys.argv[2], storage=f"sqlite:///{sys.argv[1]}").trials))
"""


def outside(program: str, path: Path) -> None:
    """Run a program in another process, on the file."""
    command = [sys.executable, "-c", program, str(path), STUDY]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def look(connection: Client) -> None:
    """Have the server look at every file that it has."""
    for path in ("studies", f"studies/{STUDY}", "studies/absent", "studies/link", "trials"):
        connection.get(f"/optunapi/v1/{path}")


def odd_names(home: Path) -> None:
    """Give the study's file further names, where files are looked at."""
    path = database(home)
    os.link(path, path.with_name("also.db"))
    path.with_name("link.db").symlink_to(path)
    for number, target in enumerate((path, Path(f"{path}-wal"), Path(f"{path}-shm"))):
        (home / "config" / f"c{number}.yaml").symlink_to(target)


@pytest.mark.parametrize("program", [OPEN_AND_CLOSE, OPTUNA], ids=["SQLite", "Optuna"])
def test_an_outside_process_that_reads_the_file_between_asks_costs_no_acknowledged_trial(
    home: Path, program: str
) -> None:
    path, asked = database(home), []
    for life in range(scaled(1, 5)):
        with running_server(home) as server, client(server) as connection:
            for number in range(scaled(2, 20)):
                key = f"{life}-{number}"
                body = connection.ask(key).body
                asked.append(Asked(key=key, number=body["trial_id"], params=body["params"]))
                if not path.with_name("also.db").exists():
                    odd_names(home)
                look(connection)
                outside(program, path)
                connection.close()  # the server closes one that is idle for some seconds
            kill(server)
        assert len(asked) == asked[-1].number + 1
    path.with_name("also.db").unlink()
    keys = frozenset(each.key for each in asked)
    ledger = Ledger(asked=tuple(asked), told=(), keys=keys, scores={}, interrupted=frozenset())
    assert len(assert_kept(path, ledger)) == len(asked)


def test_another_process_sees_that_a_server_uses_the_file_after_every_kind_of_look(
    home: Path,
) -> None:
    path = database(home)
    with running_server(home) as server, client(server) as connection:
        connection.ask("a")
        odd_names(home)
        look(connection)
        with pytest.raises(subprocess.CalledProcessError) as refusal:
            outside(CHANGE_MODE, path)
        assert b"database is locked" in refusal.value.stderr
