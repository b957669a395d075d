"""Upgrades a database to the schema of the installed Optuna: in a copy, which then takes its place.

Until the copy is complete and checked, the old file is not changed. It is kept under another name.
"""

import hashlib
import logging
import os
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BufferedReader
from pathlib import Path

from optuna.storages import RDBStorage

from optunapi.storage.errors import SQLITE_ERRORS, DatabaseUnusable, refusal_of
from optunapi.storage.tables.any_version import contents
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.schema import version_of, versions


def upgrade(path: Path) -> Path | None:
    """Upgrade a file; return where the old one is kept, or None if there was nothing to do.

    Raises:
        DatabaseOwned: a server uses the file or its folder.
        DatabaseUnusable: it cannot be upgraded; the file is as it was.
        StorageUnavailable: it cannot be read or written now, or another process uses it.
    """
    path = path.resolve()
    if not path.is_file():
        raise DatabaseUnusable(f"there is no file {path.name}", file=path.name)
    with _owned(path.parent / "server", f"the folder {path.parent.name}/"), _owned(path, path.name):
        try:
            return _upgrade(path)
        except (*SQLITE_ERRORS, OSError) as error:
            raise refusal_of(path.name, error, "cannot be upgraded") from error


@contextmanager
def _owned(place: Path, called: str) -> Iterator[None]:
    ownership = Ownership(place, called)
    try:
        yield
    finally:
        ownership.release()


def _upgrade(path: Path) -> Path | None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        version = version_of(reader, path.name)
    if version is None or version == versions()[-1]:
        return None
    if version and version not in versions():
        reason = f"{path.name} has the schema {version!r}, which is newer: install a newer OptunAPI"
        raise DatabaseUnusable(reason, file=path.name)
    copy = path.with_name(f".{path.name}.upgrade")
    location = f"{path.as_uri()}?mode=rw"
    # Closing any descriptor of a file drops the locks that the process has on it, SQLite's too, and another
    # process could then write to the old file. So this one is closed last.
    with (
        path.open("rb") as content,
        closing(sqlite3.connect(location, uri=True, isolation_level=None)) as old,
    ):
        # This empties the log, which would else be taken for the new file's, and it fails while
        # another process has the file open. From then on nobody else can write.
        old.execute("PRAGMA journal_mode=DELETE")
        old.execute("BEGIN IMMEDIATE")
        try:
            # A backup waits for ever for a transaction of its own connection, so it has another one.
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
                _write_copy(reader, copy, path.name)
            kept = _keep(path, content, version or "0.9")
            os.replace(copy, path)
            _sync(path.parent)
        finally:
            _remove(copy)
    return kept


def _remove(copy: Path) -> None:
    for suffix in ("-journal", ""):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _write_copy(old: sqlite3.Connection, copy: Path, name: str) -> None:
    _remove(copy)  # of an upgrade that was killed; its journal would be applied to the new copy
    with closing(sqlite3.connect(copy)) as made:
        old.backup(made)
    # A URL cannot hold every path, so Optuna gets one without special characters.
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "copy.db"
        link.symlink_to(copy)
        try:
            _migrate(f"sqlite:///{link}")
        except Exception as error:  # of Alembic, SQLAlchemy, or the migrations themselves
            reason = str(error.__cause__ or error).partition("\n")[0]
            raise DatabaseUnusable(
                f"{name} cannot be upgraded, and is as it was: {reason}", file=name
            ) from error
    with closing(sqlite3.connect(copy)) as made:
        ((health,),) = made.execute("PRAGMA integrity_check(1)")
        if health != "ok":
            raise DatabaseUnusable(f"the upgraded copy of {name} is damaged: {health}", file=name)
        before, after = contents(old), contents(made)
        if other := [what for what in before if before[what] != after[what]]:
            reason = f"{name} is as it was: the upgraded copy has other {', '.join(other)}"
            raise DatabaseUnusable(reason, file=name)
    _sync(copy)


def _migrate(url: str) -> None:
    silent = logging.NullHandler()
    # Where the root logger has no handler, Alembic gives it one that writes to stderr.
    logging.root.addHandler(silent)
    try:
        with warnings.catch_warnings(action="ignore"):  # of old distributions, and large values
            storage = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
            try:
                storage.upgrade()
            finally:
                storage.remove_session()
                storage.engine.dispose()
    finally:
        logging.root.removeHandler(silent)


def _keep(path: Path, content: BufferedReader, version: str) -> Path:
    """Give the old file a second name, which nothing has."""
    name = f"{path.name}.before-upgrade-of-{version}"
    for number in range(1, 1000):
        kept = path.with_name(name if number == 1 else f"{name}-{number}")
        if not os.path.lexists(kept):
            _link_or_copy(path, content, kept)
            return kept
        if _holds(kept, content):  # if an upgrade was interrupted just before the end
            return kept
    raise DatabaseUnusable(f"too many files are called {name}", file=path.name)


def _holds(kept: Path, content: BufferedReader) -> bool:
    """Whether the old file is kept there."""
    if kept.is_symlink() or not kept.is_file():  # a link could lead to what will be the new file
        return False
    if os.path.samestat(kept.stat(), os.fstat(content.fileno())):
        return True
    with kept.open("rb") as other:
        digests = [_digest(file) for file in (content, other)]
    return digests[0] == digests[1]


def _digest(file: BufferedReader) -> bytes:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()


def _link_or_copy(path: Path, content: BufferedReader, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # not every file system has links; a full disk refuses the copy, too
        copy = path.with_name(f".{path.name}.kept")
        try:
            content.seek(0)
            with copy.open("wb") as made:
                shutil.copyfileobj(content, made)
            shutil.copystat(path, copy)
            _sync(copy)
            os.rename(copy, kept)
        finally:
            copy.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
