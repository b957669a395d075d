"""Where a server keeps its studies: a SQLite file for each, or one database for all."""

import threading
from pathlib import Path

from optunapi.storage.errors import DatabaseUnusable, StorageClosed
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.schema import prepare_first
from optunapi.storage.write_through import WriteThroughStorage, open_storage


class StudyFiles:
    """One SQLite file per study, `NAME.db` in a folder, opened on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ownership: Ownership | None = None
        self._open: dict[str, WriteThroughStorage] = {}
        self._lock = threading.Lock()

    def open(self) -> None:
        """Become the folder's owner.

        Raises:
            DatabaseOwned: another process is; the message names it.
            DatabaseUnusable: the folder cannot be created or written.
        """
        called = f"the folder {self._folder.name}/"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnusable(f"{called} cannot be created: {error.strerror}") from error
        self._ownership = Ownership(self._folder / "server", called)
        if not self.names():
            prepare_first()  # else the first request, and all that come meanwhile, would wait for it

    def find(self, name: str) -> tuple[WriteThroughStorage, int] | None:
        """The study's storage and its id there; None if there is no such file or study."""
        if not self._path(name).is_file():
            return None
        storage = self._storage(name)
        try:
            return storage, storage.get_study_id_from_name(name)
        except KeyError:
            return None

    def for_new(self, name: str) -> WriteThroughStorage:
        """The storage for a new study; its file is created."""
        return self._storage(name)

    def names(self) -> list[str]:
        """The names of the files."""
        return [path.stem for path in self._folder.glob("*.db")]

    def discard(self, name: str) -> None:
        """Remove the file of a study that was deleted, unless it holds others."""
        with self._lock:
            storage = self._open[name]
        if storage.get_all_studies():
            return
        with self._lock:
            del self._open[name]
        storage.close()
        self._path(name).unlink()

    def release(self, name: str) -> None:
        """Close a study's file; the next use opens it."""
        with self._lock:
            storage = self._open.pop(name, None)
        if storage is not None:
            storage.close()

    def unavailable(self) -> str | None:
        """Why some open file cannot be read and written now, or None."""
        with self._lock:
            storages = list(self._open.values())
        return next((reason for each in storages if (reason := each.unavailable)), None)

    def close(self) -> None:
        """Close every file, and give up the folder."""
        for name in list(self._open):
            self.release(name)
        if self._ownership is not None:
            self._ownership.release()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"

    def _storage(self, name: str) -> WriteThroughStorage:
        # The catalog never lets two threads open one study at once, and opening is slow: the lock is for
        # the dictionary alone.
        with self._lock:
            storage = self._open.get(name)
        if storage is None:
            storage = open_storage(f"sqlite:///{self._path(name)}")
            with self._lock:
                self._open[name] = storage
        return storage


class OneDatabase:
    """One database for every study."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: WriteThroughStorage | None = None

    @property
    def _storage(self) -> WriteThroughStorage:
        if self._opened is None:
            raise StorageClosed("the database is not open")
        return self._opened

    def open(self) -> None:
        """Open it.

        Raises:
            DatabaseOwned: another process has it open; the message names it.
            DatabaseUnusable: it cannot be opened; the message says what to do.
        """
        self._opened = open_storage(self._url)

    def find(self, name: str) -> tuple[WriteThroughStorage, int] | None:
        """The storage, and the study's id there; None if it has no such study."""
        try:
            return self._storage, self._storage.get_study_id_from_name(name)
        except KeyError:
            return None

    def for_new(self, name: str) -> WriteThroughStorage:  # noqa: ARG002  # the engine's Stores demands it
        """The storage."""
        return self._storage

    def names(self) -> list[str]:
        """The names of its studies."""
        return [study.study_name for study in self._storage.get_all_studies()]

    def discard(self, name: str) -> None:
        """Do nothing: a deleted study leaves nothing behind."""

    def release(self, name: str) -> None:
        """Do nothing: the other studies need it."""

    def unavailable(self) -> str | None:
        """Why it cannot be read and written now, or None."""
        return self._storage.unavailable

    def close(self) -> None:
        """Close it."""
        if self._opened is not None:
            self._opened.close()
