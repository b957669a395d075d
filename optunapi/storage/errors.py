"""The errors of a storage.

StorageUnavailable
├── Superseded        another process wrote first: the same change may succeed if it is made again
├── StorageClosed     used after `close()`
└── DatabaseOwned     another process, or this one, has the database open
ConfigInvalid
└── DatabaseUnusable  the database cannot be opened until somebody upgrades, repairs or moves it
"""

import errno
import sqlite3

from optunapi.errors import DatabaseUnusable, StorageClosed, StorageUnavailable, Superseded

__all__ = [
    "CLOSED",
    "SQLITE_ERRORS",
    "DatabaseOwned",
    "DatabaseUnusable",
    "StorageClosed",
    "Superseded",
    "copy_of",
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
LASTING = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP}
DAMAGED_SECONDS = 3600  # a damaged file is replaced by hand, if at all


class DatabaseOwned(StorageUnavailable, has_code=False):
    """The database has an owner; the message names its process and host."""


CLOSED = "the storage is closed: open it again with open_storage"


def copy_of(refusal: StorageUnavailable) -> StorageUnavailable:
    """A copy to raise: an exception shared between threads would collect the tracebacks of all."""
    return type(refusal)(refusal.detail, retry_after=refusal.retry_after)


def refusal_of(
    file: str, error: Exception, failed: str = "cannot be opened"
) -> StorageUnavailable | DatabaseUnusable:
    """The refusal of a database for an error of SQLite or of the system.

    It is DatabaseUnusable if the same attempt cannot succeed before somebody changes the file.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
    if isinstance(error, UnicodeDecodeError):
        code, reason = sqlite3.SQLITE_CORRUPT, "its schema is not text"
    if code == sqlite3.SQLITE_CORRUPT:
        detail = f"{file} is damaged ({reason}): put a backup in its place"
        return StorageUnavailable(detail, retry_after=DAMAGED_SECONDS)
    detail = f"{file} {failed}: {reason}"
    passes = error.errno not in LASTING if isinstance(error, OSError) else code in PASSING
    return StorageUnavailable(detail) if passes else DatabaseUnusable(detail, file=file)
