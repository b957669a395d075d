"""Optuna's schema in a SQLite file: its version, and the script that creates it.

Optuna creates its tables one by one and reads its migrations each time. Both take long, so the script
that creates them, and the statements for them, are made once in a process.
"""

import shlex
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool, StaticPool

from optunapi.errors import OptunAPIError
from optunapi.storage.errors import DatabaseUnusable, refusal_of
from optunapi.storage.tables.statements import Statements

# From the oldest to the newest, by Optuna's own version: asking Optuna takes a quarter of a second.
KNOWN_VERSIONS = {
    "5.0.0": (
        *("v0.9.0.a", "v1.2.0.a", "v1.3.0.a", "v2.4.0.a", "v2.6.0.a"),
        *("v3.0.0.a", "v3.0.0.b", "v3.0.0.c", "v3.0.0.d", "v3.2.0.a"),
    )
}
UPGRADE = "optunapi upgrade"

_statements: dict[str, Statements] = {}  # by the version of the schema


def prepare(path: Path) -> Statements:
    """The statements for a file; an empty or absent one is given the schema first.

    Raises:
        DatabaseUnusable: it has another schema, or is no database; the message says what to do.
        StorageUnavailable: it cannot be opened now.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rwc", uri=True)) as connection:
            if not is_current(connection, path.name):
                connection.executescript(_script())
        return _statements_for(create_engine(url_of(path), poolclass=NullPool))
    except OptunAPIError:
        raise
    except Exception as error:  # of SQLAlchemy, sqlite3, Alembic or Optuna
        cause = error.__cause__
        raise refusal_of(path.name, cause if isinstance(cause, Exception) else error) from error


def url_of(path: Path) -> URL:
    """The URL of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path))


def is_current(connection: sqlite3.Connection, file: str) -> bool:
    """Whether the database has Optuna's tables as the installed Optuna does; False if it is empty.

    Raises:
        DatabaseUnusable: it has other tables, or Optuna's of another version.
        sqlite3.Error: it cannot be read.
    """
    version = version_of(connection, file)
    if version is None or version == versions()[-1]:
        return version is not None
    if not version or version in versions():
        schema = f"the schema {version}" if version else "a schema from before 0.9"
        raise DatabaseUnusable(
            f"{file} has {schema} of an older Optuna: stop the server, and run "
            f"`{UPGRADE} {shlex.quote(file)}` on its machine",
            file=file,
        )
    raise DatabaseUnusable(
        f"{file} has the schema {version[:40]!r}, which this version does not know: a newer Optuna "
        "wrote it, so install a newer OptunAPI",
        file=file,
    )


def version_of(connection: sqlite3.Connection, file: str) -> str | None:
    """The version of Optuna's schema; empty from before it had one, and None without any table.

    Raises:
        DatabaseUnusable: the tables are not Optuna's.
        sqlite3.Error: the database cannot be read.
    """
    names = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    tables = {name for (name,) in names}
    if not tables - {"alembic_version"}:
        return None
    if not {"studies", "trials"} <= tables:
        raise DatabaseUnusable(f"{file} is not an Optuna database", file=file)
    if "alembic_version" in tables:
        for (version,) in connection.execute("SELECT version_num FROM alembic_version"):
            return str(version)
    return ""


@cache
def versions() -> tuple[str, ...]:
    """The schema versions that the installed Optuna knows, its own last."""
    if known := KNOWN_VERSIONS.get(optuna.__version__):
        return known
    storage = RDBStorage("sqlite://")
    try:
        return tuple(reversed(storage.get_all_versions()))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def prepare_first() -> None:
    """Do in advance most of what takes half a second when a process creates its first database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        made = connection.connection.driver_connection
        assert isinstance(made, sqlite3.Connection)
        made.executescript(_script())
    _statements_for(engine)


def statements() -> Statements:
    """The statements for every file of the current version."""
    if versions()[-1] not in _statements:
        prepare_first()
    return _statements[versions()[-1]]


def _statements_for(engine: Engine) -> Statements:
    """The statements for every file of the current version; made from this one if it is the first."""
    version = versions()[-1]
    try:
        if version not in _statements:
            _statements[version] = Statements(engine)
        return _statements[version]
    finally:
        engine.dispose()


@cache
def _script() -> str:
    """SQL that makes an empty file an Optuna database, in one transaction: all of it or nothing."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as made:
        options = {"creator": lambda: made, "poolclass": StaticPool}
        RDBStorage("sqlite://", engine_kwargs=options).remove_session()
        return "\n".join(made.iterdump())
