"""A SQLite database: opened by its URL, owned by this process, written through one connection."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from optunapi.storage.errors import (
    DAMAGED_SECONDS,
    SQLITE_ERRORS,
    DatabaseDamaged,
    DatabaseUnusable,
    StorageClosed,
    refusal_of,
)
from optunapi.storage.tables.main_file import MainFile
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.schema import prepare, url_of

BUSY_SECONDS = 10.0
POLL_SECONDS = 0.001

Inode = tuple[int, int]  # the device, and the file's number on it

logger = logging.getLogger(__name__)


class Connection:
    """A connection in one transaction at a time, used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, main_file: MainFile | None = None) -> None:
        self._connection = connection
        self._main_file = main_file
        self._has_log = False
        self._data_version: int | None = None

    def begin(self, *, write: bool) -> bool:
        """Begin a transaction; True if others committed since the last one began here.

        With `write`, nobody else can commit until it ends. The first such transaction puts the file in WAL
        mode: until then the file is as it was.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                if write and not self._has_log:
                    self._connection.execute("PRAGMA journal_mode=WAL").fetchone()
                    self._has_log = True
                self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                # SQLite's own wait sleeps for ever longer times. Beside a busy writer it hardly ever
                # wakes in the moment between two of that writer's commits.
                time.sleep(POLL_SECONDS)
        # It changes with every commit but this connection's own.
        ((version,),) = self._connection.execute("PRAGMA data_version")
        changed = self._data_version is not None and version != self._data_version
        self._data_version = version
        return changed

    def is_outdated(self) -> bool:
        """Whether others committed since the last transaction began here; outside of one."""
        ((version,),) = self._connection.execute("PRAGMA data_version")
        return bool(version != self._data_version)

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
        """End the transaction, if there is one, without effect."""
        if self._connection.in_transaction:  # SQLite may have ended it on an error
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; SQLite removes the log with the last one to a file."""
        self._connection.close()
        if self._main_file is not None:
            self._main_file.close()

    def is_overwritten(self) -> bool:
        """Whether the file was written to by something other than SQLite."""
        main_file = self._main_file
        return main_file is not None and self._has_log and main_file.is_overwritten()

    def drop_log(self) -> None:
        """Empty the log of a file that `is_overwritten`: what it holds now would be mixed with the log."""
        if self._main_file is not None:
            self._main_file.drop_log()


class Database:
    """A SQLite file in Optuna's schema. This process owns it until `close`.

    A file that is absent is created, with Optuna's schema, unless `create` is False.

    Raises:
        DatabaseOwned: another process has it open, or this one.
        DatabaseUnusable: it cannot be opened; the message says what to do.
        StorageUnavailable: it cannot be opened now.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        self._path = path = path_of(url)
        self._named = Path(make_url(url).database or path).absolute()
        self.url = str(url_of(path))
        self.name = path.name
        if not (create or path.is_file()):
            raise DatabaseUnusable(f"there is no database {path.name}")
        self._inode: Inode | None = None
        self._ownership = Ownership(path)
        try:
            self.statements = prepare(path)
        except BaseException:
            self._ownership.release()
            raise

    def connect(self) -> Connection:
        """A new connection; only one is used at a time.

        It never creates the file: one that has vanished must not come back empty.

        Raises:
            StorageClosed: the file was removed, or is another one than for the last connection.
            DatabaseUnusable, StorageUnavailable: it cannot be written.
        """
        try:
            connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute("PRAGMA synchronous=FULL")
                # A read-only file is opened, and even locked, without complaint: writing raises.
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(self.statements.rewrite_version)
                connection.execute("ROLLBACK")
                connection.execute("PRAGMA busy_timeout=0")
                self._inode = self._inode or _inode(self._named)
                self.check_place()
            except BaseException:
                connection.close()
                raise
        except (*SQLITE_ERRORS, OSError) as error:
            raise refusal_of(self.name, error) from error
        return Connection(connection, MainFile(self._path))

    @property
    def is_replaced(self) -> bool:
        """Whether the file was removed, or another one put in its place, since the first connection.

        The place is where the URL has it, which may be a link.
        """
        # Not by resolving the links, which takes longer than the rest of a small commit.
        found = (_inode(self._named), _inode(self._path, follow_symlinks=False))
        return found != (self._inode, self._inode)

    def check_place(self) -> None:
        """Raise StorageClosed if `is_replaced`: what was written to the file is lost, or elsewhere."""
        if self.is_replaced:
            raise StorageClosed(f"the database file {self._named.name} was removed or replaced")

    def check(self, connection: Connection) -> None:
        """Find out whether what is written to the file is kept.

        Raises:
            StorageClosed: as `check_place`.
            DatabaseDamaged: something other than SQLite wrote to the file.
        """
        self.check_place()
        if connection.is_overwritten():
            raise DatabaseDamaged(
                f"{self.name} was overwritten while it was served: start the server again to serve what "
                "it holds now",
                retry_after=DAMAGED_SECONDS,
            )

    def flush(self, connection: Connection) -> None:
        """Move the write-ahead log into the file; raises if that cannot be written.

        After a failed fsync the kernel may treat pages as written that are not. Only writing them
        again makes them durable. What is appended to the log behind them would be lost with them.
        """
        for busy, _, _ in connection.query("PRAGMA wal_checkpoint(TRUNCATE)"):
            if busy:
                logger.warning("%s: a reader keeps the log from being emptied", self.name)

    def close(self) -> None:
        """Let another process open the file."""
        self._ownership.release()


@contextmanager
def log_kept(path: Path) -> Iterator[None]:
    """Keep the log that a killed process left until the block ends: of a refused file it stays for good.

    SQLite moves the log into the file, and removes it, when the last connection to the file is closed. It
    leaves the log if that connection cannot write, so the block has one that is closed last.
    """
    with ExitStack() as stack:
        if os.path.exists(f"{path}-wal"):
            with suppress(
                *SQLITE_ERRORS
            ):  # opening the file in the block says what is wrong with it
                reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
                stack.enter_context(closing(reader)).execute("SELECT * FROM sqlite_master").close()
        yield


def path_of(url: str) -> Path:
    """The file that a SQLite URL names, with links resolved; the file itself need not exist.

    Raises:
        DatabaseUnusable: the URL names no file that could be opened; the message says what to write.
    """
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
    path = Path(name).resolve()
    if not path.parent.is_dir():
        raise DatabaseUnusable(f"the folder of the database {path.name} does not exist: create it")
    if path.exists() and not path.is_file():
        raise DatabaseUnusable(f"the database {path.name} is not a file")
    return path


def _inode(path: Path, *, follow_symlinks: bool = True) -> Inode | None:
    """What tells a file from another one that is put in its place; None if there is none."""
    try:
        found = os.stat(path, follow_symlinks=follow_symlinks)
    except OSError:
        return None
    return found.st_dev, found.st_ino
