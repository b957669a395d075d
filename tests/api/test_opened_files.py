"""Whatever is asked of a server, Python itself never opens a database, its log, or its shared memory.

On Linux a process that closes any descriptor of a file loses all its locks on it, those of SQLite too.
Only `main_file` opens one, which it closes after SQLite.
"""

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from optunapi.cli import main
from optunapi.storage.tables import main_file
from tests.api.test_every_route import ALL, CONFIG, Declared, label
from tests.api.test_files import set_version, stored
from tests.api.wire import Wire, wire_of
from tests.support import write_config

DATABASE = re.compile(r".*\.db(-wal|-shm|-journal)?", re.DOTALL)

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        is_watched = sys._getframe(1).f_code.co_filename == main_file.__file__
        if DATABASE.fullmatch(os.path.basename(path)) and not is_watched:
            _opened.append(path)


sys.addaudithook(_note)  # it cannot be removed


@contextmanager
def none_opened() -> Iterator[None]:
    """Check that nothing in this process opens a database but SQLite."""
    global _opened
    found: list[str] = []
    before, _opened = _opened, found
    try:
        yield
    finally:
        _opened = before
    assert found == []


def add_databases(home: Path) -> None:
    """A file of each kind, and a configuration that leads to each."""
    databases = home / "db"
    stored(home, "sound.db", "sound", "second")
    set_version(stored(home, "old.db", "old"), "v2.6.0.a")
    with closing(sqlite3.connect(databases / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    (databases / "text.db").write_text("some text\n" * 100)
    (databases / "cut.db").write_bytes((databases / "sound.db").read_bytes()[:20_000])
    (databases / "empty.db").touch()
    with closing(sqlite3.connect(databases / "sound.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("DELETE FROM trials WHERE number = 2")
        connection.commit()
        for suffix in ("", "-wal", "-shm"):  # as a killed server leaves it
            shutil.copy(databases / f"sound.db{suffix}", databases / f"killed.db{suffix}")
    for number, path in enumerate(sorted(databases.iterdir())):
        (home / "config" / f"c{number}.yaml").symlink_to(path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server with the open study `m`, and files of all kinds."""
    home = tmp_path_factory.mktemp("opened")
    for folder in ("config", "db"):
        (home / folder).mkdir()
    write_config(home / "config" / "m.yaml", CONFIG)
    add_databases(home)
    with none_opened(), wire_of(home) as wire:
        wire.ask("m")
        wire.tell("m", 0, value=0.5)
        wire.ask("m")
        os.link(home / "db" / "m.db", home / "db" / "also.db")
        (home / "db" / "link.db").symlink_to(home / "db" / "m.db")
        for suffix in ("", "-wal", "-shm"):
            (home / "config" / f"to-m{suffix}.yaml").symlink_to(home / "db" / f"m.db{suffix}")
        yield wire


def test_a_file_that_python_opens_is_noticed(served: Wire) -> None:
    with pytest.raises(AssertionError, match="sound"), none_opened():
        (served.home / "db" / "sound.db").open("rb").close()


ROUTES: list[Declared] = sorted(ALL, key=lambda route: route.method == "DELETE")
NAMES = ("m", "also", "link", "sound", "second", "old", "other", "text", "cut", "empty", "killed")


@pytest.mark.parametrize("route", ROUTES, ids=label)
def test_no_route_opens_a_database_but_with_sqlite(served: Wire, route: Declared) -> None:
    names = [*NAMES, *(path.stem for path in (served.home / "config").iterdir())]
    with none_opened():
        for name in names if "/m" in route.path else ["m"]:
            url = re.sub(r"/m(?=[/?]|$)", f"/{name}", route.url())
            for method in {route.method, "HEAD"} if route.method == "GET" else {route.method}:
                body: dict[str, Any] | None = {} if method in ("POST", "PUT", "PATCH") else None
                with served.client.stream(method, url, json=body) as reply:
                    assert reply.status_code < 500 or reply.status_code == 503, reply.read()
        served.client.get("/optunapi/hparams/m")


@pytest.mark.parametrize("command", ["check", "check m.db", "upgrade", "upgrade m.db", "fork m n"])
def test_no_command_opens_a_database_that_is_served(
    served: Wire, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("OPTUNAPI_HOME", str(served.home))
    monkeypatch.chdir(served.home / "db")
    served.client.get("/optunapi/hparams/m")
    with none_opened():
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == 1, result.output
