"""Upgrades a database to the schema of the installed Optuna: in a copy, which then takes its place.

Until the copy is complete and checked, the old file is not changed. It is kept under another name.
"""

import math
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage

from optunapi.storage.errors import DatabaseUnusable, refusal_of
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.schema import version_of, versions

INFINITE = 3.4e38  # older schemas stored the largest float of 32 bits for infinity


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
        except (sqlite3.Error, OSError) as error:
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
    with closing(sqlite3.connect(location, uri=True, isolation_level=None)) as old:
        # This empties the log, which would else be taken for the new file's, and it fails while
        # another process has the file open. From then on nobody else can write.
        old.execute("PRAGMA journal_mode=DELETE")
        old.execute("BEGIN IMMEDIATE")
        try:
            # A backup waits for ever for a transaction of its own connection, so it has another one.
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
                _write_copy(reader, copy, path.name)
            kept = _keep(path, version or "0.9")
            os.replace(copy, path)
            _sync(path.parent)
        finally:
            for suffix in ("", "-journal"):
                copy.with_name(copy.name + suffix).unlink(missing_ok=True)
    return kept


def _write_copy(old: sqlite3.Connection, copy: Path, name: str) -> None:
    copy.unlink(missing_ok=True)
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
        if _trials(old) != _trials(made):
            raise DatabaseUnusable(
                f"{name} is as it was: the upgraded copy has other trials", file=name
            )
    _sync(copy)


def _migrate(url: str) -> None:
    storage = RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    try:
        storage.upgrade()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _keep(path: Path, version: str) -> Path:
    """Give the old file a second name, which nothing has."""
    name = f"{path.name}.before-upgrade-of-{version}"
    for number in range(1, 1000):
        kept = path.with_name(name if number == 1 else f"{name}-{number}")
        try:
            os.link(path, kept)
        except FileExistsError:
            if kept.samefile(path):  # an upgrade was interrupted just before the end
                return kept
        else:
            return kept
    raise DatabaseUnusable(f"too many files are called {name}", file=path.name)


def _trials(connection: sqlite3.Connection) -> list[list[tuple[Any, ...]]]:
    """What an upgrade must not change, of a database of any version, in the same form."""
    has_values = "value" in _columns(connection, "trials")
    reports = "trial_values" if has_values else "trial_intermediate_values"
    value = "value" if has_values else "intermediate_value"
    values = "SELECT trial_id, 0, value, NULL FROM trials"
    if not has_values:
        kind = _kind(connection, "trial_values", "value_type")
        values = f"SELECT trial_id, objective, value, {kind} FROM trial_values"  # nosec B608
    kind = _kind(connection, reports, f"{value}_type")
    numbers = (
        values,
        f"SELECT trial_id, step, {value}, {kind} FROM {reports}",  # nosec B608
    )
    rest = (
        "SELECT study_id, study_name FROM studies",
        "SELECT trial_id, study_id, state, datetime_start, datetime_complete FROM trials",
        "SELECT trial_id, param_name, param_value FROM trial_params",
        "SELECT study_id, key, value_json FROM study_user_attributes",
        "SELECT trial_id, key, value_json FROM trial_user_attributes",
    )
    found = [sorted(connection.execute(query), key=repr) for query in rest]
    for query in numbers:
        rows = [(*row[:2], _number(*row[2:])) for row in connection.execute(query)]
        found.append(sorted((row for row in rows if row[2] is not None), key=repr))
    return found


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _kind(connection: sqlite3.Connection, table: str, column: str) -> str:
    return column if column in _columns(connection, table) else "NULL"


def _number(value: float | None, kind: str | None) -> float | None:
    """A number as the newest schema has it; None for NaN and for none."""
    if kind in ("INF_POS", "INF_NEG"):
        return math.inf if kind == "INF_POS" else -math.inf
    if value is None or math.isnan(value):
        return None
    return value if abs(value) < INFINITE else math.copysign(math.inf, value)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
