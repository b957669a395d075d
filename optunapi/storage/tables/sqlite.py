"""Opening a database by its URL; what the writer needs of one.

`Database` and `Session` are the seam: all that differs between kinds of databases is behind them.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, StaticPool

from optunapi.storage.errors import DatabaseUnusable
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.statements import Statements

BUSY_SECONDS = 10.0
POLL_SECONDS = 0.001

# By Optuna's own version, what it says when asked, which takes a quarter of a second of every start.
HEAD_VERSIONS = {"5.0.0": "v3.2.0.a"}

logger = logging.getLogger(__name__)

_statements: dict[str, Statements] = {}  # by the version of the schema


class Session(Protocol):
    """A connection in one transaction at a time, used by one thread at a time."""

    def begin(self, *, write: bool) -> bool:
        """Begin a transaction; True if somebody else committed since the last one began here.

        With `write` nobody else can commit until it ends.
        """

    def query(self, sql: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        """The rows, streamed."""

    def execute(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of the rows."""

    def commit(self) -> None:
        """Make the transaction durable."""

    def rollback(self) -> None:
        """End the transaction, if there is one, without effect."""

    def close(self) -> None:
        """End the connection."""


class Database(Protocol):
    """A database with an owner: this process, until `close`."""

    url: str
    statements: Statements

    def connect(self) -> Session:
        """A new session; only one is used at a time. Raises DatabaseUnusable if it is gone."""

    def replaced(self) -> bool:
        """Whether the session's database is no longer the one that the URL names."""

    def flush(self, session: Session) -> None:
        """Bring all that was ever committed to its final place; raises if it cannot be written."""

    def close(self) -> None:
        """Give up ownership."""


def open_database(url: str, *, create: bool) -> Database:
    """Take ownership of the database and check its schema; with `create` make it if it is absent.

    Raises:
        DatabaseOwned: somebody has it open.
        DatabaseUnusable: it cannot be opened; the message says what to do.
    """
    return SqliteDatabase(sqlite_path(url), create=create)


def rehearse() -> None:
    """Do ahead what takes most of the half second in which a process makes its first database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        made = connection.connection.driver_connection
        assert isinstance(made, sqlite3.Connection)
        made.executescript(_schema())
    _statements_for(engine)


def sqlite_path(url: str) -> Path:
    """The file that a SQLite URL names, with links resolved."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUnusable(
            "the storage is not a database URL: write sqlite:///path/to/file.db"
        ) from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise DatabaseUnusable(
            f"a database of the kind {parsed.drivername!r} cannot be served: "
            "write sqlite:///path/to/file.db"
        )
    name = parsed.database
    if not name or name == ":memory:" or name.startswith("file:") or parsed.query:
        raise DatabaseUnusable(
            "an SQLite database must be a plain file, not in memory and without options: "
            "write sqlite:///path/to/file.db"
        )
    return Path(name).resolve()


class SqliteDatabase:
    """A SQLite file in Optuna's schema, in WAL mode, with a lock file beside it."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        if not path.parent.is_dir() or not (create or path.is_file()):
            raise DatabaseUnusable(f"there is no database {path.name}")
        self._inode: tuple[int, int] | None = None
        self._ownership = Ownership(path)
        try:
            self._prepare()
            self.statements = self._reflect()
        except BaseException:
            self._ownership.release()
            raise

    def connect(self) -> Session:
        """A new session. Never makes the file: one that vanished must not come back empty."""
        try:
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(self.statements.rewrite_version)  # raises for a read-only file,
            connection.execute("ROLLBACK")  # which is opened, and locked, without complaint
            connection.execute("PRAGMA busy_timeout=0")
            self._inode = _inode(self.path)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseUnusable(f"{self.path.name} cannot be opened: {error}") from error
        return SqliteSession(connection)

    def replaced(self) -> bool:
        """Whether the file was deleted, or another one put in its place, since `connect`."""
        try:
            return _inode(self.path) != self._inode
        except OSError:
            return True

    def flush(self, session: Session) -> None:
        """Move the write-ahead log into the file.

        After a failed fsync the kernel may count pages as written that are not: only writing them
        anew makes them durable, and what is appended to the log behind them would be lost with them.
        """
        for busy, _, _ in session.query("PRAGMA wal_checkpoint(TRUNCATE)"):
            if busy:
                logger.warning("%s: a reader keeps the log from being emptied", self.path.name)

    def close(self) -> None:
        """Let another process open the file."""
        self._ownership.release()

    def _prepare(self) -> None:
        """See that the file has Optuna's schema in the version Optuna has; make it if it is empty."""
        try:
            version = self._schema_version()
            if version == _head_version():
                return
            if version is not None:
                raise DatabaseUnusable(
                    f"{self.path.name} has Optuna's schema {version}, {_head_version()} is needed: "
                    "run `optuna storage upgrade` on it"
                )
            self._make()
        except DatabaseUnusable:
            raise
        except Exception as error:  # SQLAlchemy's, sqlite3's, Alembic's and Optuna's own
            reason = str(error.__cause__ or error).splitlines()[0]
            raise DatabaseUnusable(f"{self.path.name} cannot be opened: {reason}") from error

    def _make(self) -> None:
        """Give the empty file Optuna's schema, in one transaction: half of it would serve nobody."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(_schema())

    def _schema_version(self) -> str | None:
        """The version the file says; None for a new one."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            if "studies" not in tables:
                if tables - {"alembic_version"}:
                    raise DatabaseUnusable(f"{self.path.name} is not an Optuna database")
                return None
            if "alembic_version" not in tables:
                return "from before 1.0" if "trial_values" not in tables else None
            for (version,) in connection.execute("SELECT version_num FROM alembic_version"):
                return str(version)
            return None

    def _reflect(self) -> Statements:
        return _statements_for(create_engine(self.url, poolclass=NullPool))


class SqliteSession:
    """One connection to SQLite, with transactions begun by hand."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen: int | None = None

    def begin(self, *, write: bool) -> bool:
        """Begin a transaction; `data_version` moves with every commit but this connection's own."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                # SQLite's own waiting sleeps ever longer, and beside a busy writer hardly ever
                # wakes in the moment between two of its commits.
                time.sleep(POLL_SECONDS)
        ((version,),) = self._connection.execute("PRAGMA data_version")
        changed = self._seen is not None and version != self._seen
        self._seen = version
        return changed

    def query(self, sql: str, *parameters: Any) -> Iterator[tuple[Any, ...]]:
        """The rows, streamed."""
        return self._connection.execute(sql, parameters)

    def execute(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of the rows."""
        self._connection.executemany(sql, rows)

    def commit(self) -> None:
        """Make the transaction durable."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """End the transaction; SQLite may have ended it by itself on an error."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """End the connection; the last one to a file takes its log away."""
        self._connection.close()


@cache
def _head_version() -> str:
    """The schema version of the installed Optuna."""
    if known := HEAD_VERSIONS.get(optuna.__version__):
        return known
    storage = RDBStorage("sqlite://")
    try:
        return storage.get_head_version()
    finally:
        _dispose(storage)


def _statements_for(engine: Engine) -> Statements:
    """The statements for a database of the schema there is, and so for all; the engine is not needed on."""
    version = _head_version()
    if version not in _statements:
        with engine.connect() as connection:
            _statements[version] = Statements(connection)
    engine.dispose()
    return _statements[version]


@cache
def _schema() -> str:
    """What makes an empty file an Optuna database, as one transaction.

    Optuna itself makes it table by table, and reads its migrations each time.
    """
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as made:
        options = {"creator": lambda: made, "poolclass": StaticPool}
        RDBStorage("sqlite://", engine_kwargs=options).remove_session()
        return "\n".join(made.iterdump())


def _dispose(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _inode(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
