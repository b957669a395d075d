"""The studies of a file as they were at one moment, read without opening it as a storage."""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from optunapi.storage.encoding import Distributions
from optunapi.storage.errors import SQLITE_ERRORS, damaged, refusal_of
from optunapi.storage.memory.model import Memory
from optunapi.storage.pending import Pending
from optunapi.storage.reads import Reads
from optunapi.storage.tables.contents import reading
from optunapi.storage.tables.loading import UNREADABLE, Loader
from optunapi.storage.tables.schema import statements
from optunapi.storage.tables.sqlite import Connection
from optunapi.storage.units import Unit, Units


def copy_of_file(path: Path) -> "FileCopy | None":
    """The studies of a file that is not open here; None if it cannot be read without a change.

    Raises:
        DatabaseUnusable, StorageUnavailable: it cannot be read.
    """
    try:
        with reading(path) as connection:
            return None if connection is None else FileCopy(connection)
    except SQLITE_ERRORS as error:
        raise refusal_of(path.name, error, "cannot be read") from error
    except UNREADABLE as error:  # what is there is of other kinds than Optuna writes
        raise damaged(path.name, str(error)) from error


class FileCopy(Reads):
    """What a connection read: no thread, no lock and no file is kept for it, and nothing can be changed.

    Raises:
        sqlite3.Error: it cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._memory = memory = Memory()
        reading = Connection(connection)
        reading.begin(write=False)
        memory.reset(*Loader(statements(), Distributions()).everything(reading))
        reading.rollback()
        self._units = Units(memory, Pending(memory))

    def unit(self) -> AbstractContextManager[Unit]:
        """A block for reading. Its commit is done already."""
        return self._units.unit()
