"""The errors of a storage.

StorageUnavailable
├── Superseded        another process wrote first: the same change may succeed if it is made again
├── StorageClosed     used after `close()`
├── DatabaseOwned     another process, or this one, has the database open
└── DatabaseDamaged   what is in the database cannot be read: a page of its file is rotten
ConfigInvalid
└── DatabaseUnusable  the database cannot be opened until somebody upgrades, repairs or moves it
"""

import errno
import sqlite3

from optunapi.errors import DatabaseUnusable, StorageClosed, StorageUnavailable, Superseded

__all__ = [
    "CLOSED",
    "SQLITE_ERRORS",
    "DatabaseDamaged",
    "DatabaseOwned",
    "DatabaseUnusable",
    "StorageClosed",
    "Superseded",
    "copy_of",
    "damage_of",
    "damaged",
    "refusal_of",
]

# What may pass by itself: a lock, a full disk, and a disk that is read-only until it is mounted again.
PASSING = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
}
# SQLite's message may quote a damaged file: where that is no text, sqlite3 cannot decode the message.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
LASTING = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP}
DAMAGED_SECONDS = 3600  # a damaged file is replaced by hand, if at all


class DatabaseOwned(StorageUnavailable, has_code=False):
    """The database has an owner; the message names its process and host."""


class DatabaseDamaged(StorageUnavailable, has_code=False):
    """The database is damaged: it stays refused until its file is another one, or repaired."""


CLOSED = "the storage is closed: open it again with open_storage"


def copy_of(refusal: StorageUnavailable) -> StorageUnavailable:
    """A copy to raise: an exception shared between threads would collect the tracebacks of all."""
    return type(refusal)(refusal.detail, retry_after=refusal.retry_after)


def damaged(file: str, reason: str) -> DatabaseDamaged:
    """The refusal of a damaged database."""
    detail = f"{file} is damaged ({reason}): put a backup in its place"
    return DatabaseDamaged(detail, retry_after=DAMAGED_SECONDS)


def damage_of(file: str, error: Exception) -> DatabaseDamaged | None:
    """The damage that an error of an open database tells of; None if it is another kind of error."""
    if isinstance(error, DatabaseDamaged):
        return error
    if isinstance(error, UnicodeDecodeError):
        return damaged(file, "its schema is not text")
    return damaged(file, _text(error)) if _code(error) in DAMAGED else None


def refusal_of(
    file: str, error: Exception, failed: str = "cannot be opened"
) -> StorageUnavailable | DatabaseUnusable:
    """The refusal of a database for an error of SQLite or of the system.

    It is DatabaseUnusable if the same attempt cannot succeed before somebody changes the file.
    """
    code = _code(error)
    # A file that never was a database is not damaged.
    if code != sqlite3.SQLITE_NOTADB and (damage := damage_of(file, error)) is not None:
        return damage
    detail = f"{file} {failed}: {_text(error)}"
    passes = error.errno not in LASTING if isinstance(error, OSError) else code in PASSING
    return StorageUnavailable(detail) if passes else DatabaseUnusable(detail, file=file)


def _code(error: Exception) -> int:
    """SQLite's primary code of the error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF


def _text(error: Exception) -> str:
    """What the error says, without the path of a file."""
    return str(error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0])
