"""Optuna's schema in a SQLite file: its version, and the script that creates it.

Optuna creates its tables one by one and reads its migrations each time. Both take long, so the script
that creates them, and the statements for them, are made once in a process.
"""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool, StaticPool

from optunapi.storage.errors import DatabaseUnusable
from optunapi.storage.tables.statements import Statements

# By Optuna's own version: asking Optuna takes a quarter of a second of every start.
HEAD_VERSIONS = {"5.0.0": "v3.2.0.a"}

_statements: dict[str, Statements] = {}  # by the version of the schema


def prepare(path: Path) -> Statements:
    """The statements for a file; an empty or absent one is given the schema first.

    Raises:
        DatabaseUnusable: it has another schema, or cannot be opened; the message says what to do.
    """
    try:
        version = _version(path)
        if version is None:
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(_script())
        elif version != _head_version():
            raise DatabaseUnusable(
                f"{path.name} has Optuna's schema {version}, but {_head_version()} is needed: "
                "run `optuna storage upgrade` on it"
            )
    except DatabaseUnusable:
        raise
    except Exception as error:  # of SQLAlchemy, sqlite3, Alembic or Optuna
        reason = str(error.__cause__ or error).splitlines()[0]
        raise DatabaseUnusable(f"{path.name} cannot be opened: {reason}") from error
    return _statements_for(create_engine(f"sqlite:///{path}", poolclass=NullPool))


def prepare_first() -> None:
    """Do in advance most of what takes half a second when a process creates its first database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        made = connection.connection.driver_connection
        assert isinstance(made, sqlite3.Connection)
        made.executescript(_script())
    _statements_for(engine)


def _version(path: Path) -> str | None:
    """The version of a file's schema; None if it is empty or absent."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "studies" not in tables:
            if tables - {"alembic_version"}:
                raise DatabaseUnusable(f"{path.name} is not an Optuna database")
            return None
        if "alembic_version" not in tables:
            return "from before 1.0" if "trial_values" not in tables else None
        for (version,) in connection.execute("SELECT version_num FROM alembic_version"):
            return str(version)
        return None


@cache
def _head_version() -> str:
    """The schema version of the installed Optuna."""
    if known := HEAD_VERSIONS.get(optuna.__version__):
        return known
    storage = RDBStorage("sqlite://")
    try:
        return storage.get_head_version()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _statements_for(engine: Engine) -> Statements:
    """The statements for every file of the current version; made from this one if it is the first."""
    version = _head_version()
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
