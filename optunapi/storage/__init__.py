"""Studies kept in Optuna's own tables: read from memory, written in groups, acknowledged when durable.

Read write_through.py first: the docstring of `WriteThroughStorage` says what is guaranteed. A change then
goes through units.py, memory/, pending.py and writer.py to tables/.

    stores.py          where a server keeps its studies: a file each, or one database
    upgrade.py         a database of an older Optuna, upgraded in a copy
    write_through.py   the storage, as the engine and Optuna see it
    reads.py           what can be read from memory
    file_copy.py       the studies of a file at one moment, without opening it as a storage
    units.py           changes that happen together or not at all
    writer.py          writing to a database, and taking in what others wrote
    watcher.py         the one thread that looks at databases at rest
    foreign_writes.py  what others wrote: read, checked against what is pending, added to memory
    pending.py         units that wait for the writer, in groups
    commits.py         what callers wait for
    memory/            the read model
    tables/            Optuna's tables, and the only SQL
    server_id.py       which server it is, at whatever address
    encoding.py        Optuna's objects ↔ the values in its tables: floats, times, distributions, attributes
    errors.py          the errors of a storage
    artifacts.py       the files of artifacts on the disk
"""

from optunapi.storage.commits import Commit
from optunapi.storage.errors import DatabaseOwned, DatabaseUnusable, StorageClosed, Superseded
from optunapi.storage.units import Unit
from optunapi.storage.write_through import WriteThroughStorage, open_storage

__all__ = [
    "Commit",
    "DatabaseOwned",
    "DatabaseUnusable",
    "StorageClosed",
    "Superseded",
    "Unit",
    "WriteThroughStorage",
    "open_storage",
]
