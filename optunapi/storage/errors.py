"""How a storage refuses.

StorageUnavailable
├── Superseded        somebody outside wrote first: doing the same again may succeed
├── StorageClosed     used after `close()`
├── DatabaseOwned     another process, or this one, has the database open
└── DatabaseUnusable  what the URL names cannot be opened as it is
"""

from optunapi.errors import StorageClosed, StorageUnavailable, Superseded

__all__ = ["CLOSED", "DatabaseOwned", "DatabaseUnusable", "StorageClosed", "Superseded"]


class DatabaseOwned(StorageUnavailable, has_code=False):
    """The database has an owner; the message names its process and host."""


class DatabaseUnusable(StorageUnavailable, has_code=False):
    """The database cannot be opened as it is; the message says what to do."""


CLOSED = "the storage is closed: open it again with open_storage"
