"""The id of a server: random, kept beside its databases, and so the same at another address."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{16}")


def server_id_of(database: Path) -> str | None:
    """Return the id of the server that owns a database, or a folder of them; the first call makes it.

    None if it cannot be stored: an id that differed after each start would name no server.
    """
    path = database.with_name(f".{database.name}.id")
    with suppress(OSError, UnicodeDecodeError):
        if _ID.fullmatch(found := path.read_text(encoding="ascii").strip()):
            return found
    new, written = secrets.token_hex(8), path.with_suffix(".id.part")
    try:
        with open(written, "w", encoding="ascii") as file:
            file.write(f"{new}\n")
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError:
        return None
    return new
