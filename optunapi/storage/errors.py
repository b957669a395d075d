"""The errors of a storage.

StorageUnavailable
├── Superseded        another process wrote first: the same change may succeed if it is made again
├── StorageClosed     used after `close()`
├── DatabaseOwned     another process, or this one, has the database open
└── DatabaseUnusable  the database that the URL names cannot be opened
"""

from optunapi.errors import StorageClosed, StorageUnavailable, Superseded

__all__ = [
    "CLOSED",
    "DatabaseOwned",
    "DatabaseUnusable",
    "StorageClosed",
    "Superseded",
    "copy_of",
]


class DatabaseOwned(StorageUnavailable, has_code=False):
    """The database has an owner; the message names its process and host."""


class DatabaseUnusable(StorageUnavailable, has_code=False):
    """The database cannot be opened as it is; the message says what to do."""


CLOSED = "the storage is closed: open it again with open_storage"


def copy_of(refusal: StorageUnavailable) -> StorageUnavailable:
    """A copy to raise: an exception shared between threads would collect the tracebacks of all."""
    return type(refusal)(refusal.detail, retry_after=refusal.retry_after)
