"""What a database file in a server's folder holds. Looking never writes to it, nor beside it."""

import os
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from optunapi.errors import OptunAPIError
from optunapi.storage.errors import (
    SQLITE_ERRORS,
    DatabaseDamaged,
    DatabaseUnusable,
    damaged,
    refusal_of,
)
from optunapi.storage.tables.schema import is_current

PAGE = 4096  # bytes; SQLite's pages have this size unless another one is set
LOCKED_SECONDS = 0.2  # how long a look waits for a file that another process has locked


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The studies of a file, with their numbers of trials by state, and why none can be served.

    The numbers are counted only if there is a `fault`. Names of a file that cannot be read are unknown.
    """

    studies: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fault: OptunAPIError | None = None


def signature_of(path: Path) -> tuple[int, ...]:
    """Numbers of which one differs when the file was changed or replaced, or has another log.

    Raises:
        OSError: there is no such file.
    """
    file = path.stat()
    logged: tuple[int, ...] = ()
    try:
        log = os.stat(f"{path}-wal")
        logged = (log.st_size, log.st_mtime_ns)
    except OSError:
        pass
    return (file.st_mode, file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, *logged)


def contents_of(path: Path, fault: OptunAPIError | None = None) -> Contents:
    """The contents of a file, which has this `fault`; one that vanished meanwhile holds nothing."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            return Contents(fault=DatabaseUnusable(f"{path.name} is not a file", file=path.name))
        if not path.stat().st_size:
            return Contents()
        log, memory, journal = (
            os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-shm", "-journal")
        )
        if not (log and memory):
            # Without the log, SQLite does not make the two files that a database in WAL mode has.
            found = _look(path, "mode=ro&immutable=1", fault)
            # What a killed writer left, a log alone or a journal, cannot be read without a change. It hardly
            # ever holds the schema: of a file that will be refused it stays.
            if not (log or journal) or isinstance(found.fault, DatabaseUnusable):
                return found
        return _look(path, "mode=ro", fault)
    except FileNotFoundError:
        return Contents()
    except OSError as error:
        return Contents(fault=refusal_of(path.name, error))


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that reads a file which is not open here; None if only a change makes it readable.

    Raises:
        OSError, sqlite3.Error: it cannot be read.
    """
    log, memory, journal = (
        os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-shm", "-journal")
    )
    if log != memory or journal or not path.is_file():
        yield None
        return
    mode = "mode=ro" if log else "mode=ro&immutable=1"
    with closing(_connect(path, mode)) as connection:
        yield connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    location = f"{path.as_uri()}?{mode}"
    return sqlite3.connect(location, uri=True, isolation_level=None, timeout=LOCKED_SECONDS)


def _look(path: Path, mode: str, fault: OptunAPIError | None) -> Contents:
    # Only SQLite may open the file: closing it any other way would drop the locks that this process has on
    # it, and another process would delete the log that is being written.
    try:
        with closing(_connect(path, mode)) as connection:
            return _contents(connection, path.name, fault)
    except SQLITE_ERRORS as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_READONLY:
            return Contents(studies={path.stem: {}})  # opening it undoes what a killed writer left
        if code == sqlite3.SQLITE_NOTADB and not path.stat().st_size % PAGE:
            # Other files hardly ever have a whole number of pages: the first one is rotten.
            return Contents(fault=damaged(path.name, str(error)))
        return Contents(fault=refusal_of(path.name, error))


def _contents(connection: sqlite3.Connection, file: str, fault: OptunAPIError | None) -> Contents:
    names = "SELECT study_name FROM studies"
    try:
        if not is_current(connection, file):
            return Contents()
        if fault is not None:
            raise fault
        return Contents(studies={str(name): {} for (name,) in connection.execute(names)})
    except (DatabaseUnusable, DatabaseDamaged) as found:
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        try:
            for name, state, n_trials in connection.execute(
                "SELECT study_name, state, count(trial_id) FROM studies "
                "LEFT JOIN trials USING (study_id) GROUP BY study_name, state"
            ):
                counts[str(name)] |= {} if state is None else {str(state): n_trials}
        except SQLITE_ERRORS:
            counts.clear()  # the tables are not Optuna's, or damaged
        return Contents(studies=counts, fault=found)
