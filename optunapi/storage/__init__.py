"""Studies kept in Optuna's own tables: read from memory, written in groups, acknowledged when durable.

write_through.py  `open_storage(url)`, the storage: what it guarantees is in its docstring
units.py          changes that happen together or not at all
memory.py         the read model            standings.py  which trials are best
trials.py         trials as values          changes.py    what memory was before what is pending
writer.py         one thread per database   commits.py    what waits for it
outside.py        what others wrote to the same database
loading.py        tables → memory           saving.py     changes → tables
rows.py           Optuna's encodings        statements.py the SQL, from the reflected tables
artifact_folder.py  files that are kept with trials
databases.py      opening, schema check     ownership.py  one process per file
errors.py         how a storage refuses
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
