"""Where a server keeps its studies: a SQLite file for each, or one database for all.

A file usually has one study, which has its name. It may as well have others, or several.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from optunapi.errors import OptunAPIError, StorageUnavailable
from optunapi.storage.errors import DatabaseDamaged, DatabaseUnusable, StorageClosed, refusal_of
from optunapi.storage.file_copy import FileCopy, copy_of_file
from optunapi.storage.server_id import server_id_of
from optunapi.storage.tables.contents import Contents, contents_of, signature_of
from optunapi.storage.tables.ownership import Ownership
from optunapi.storage.tables.schema import prepare_first, url_of
from optunapi.storage.tables.sqlite import path_of
from optunapi.storage.write_through import WriteThroughStorage, open_storage
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import FileRepaired, FileUnusable

SUFFIX = ".db"


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study as it was found. `file` is the name of its file, empty in a database for all studies.

    `signature` has numbers of which one differs when the file has changed; None while it is open.

    With a `fault` it cannot be served, and `counts` has its trials by state as far as they are known.
    """

    name: str
    file: str = ""
    signature: tuple[int, ...] | None = None
    fault: OptunAPIError | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class _File:
    """A file and its storage, which is open while studies of it are in use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.storage: WriteThroughStorage | None = None
        self.n_users = 0


class StudyFiles:
    """The SQLite files of a folder. A file is open while any of its studies is in use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._called = f"the folder {folder.name}/"
        self._ownership: Ownership | None = None
        self.server_id: str | None = None
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()  # for the dictionary; opening a file is slow
        self._known: dict[str, tuple[tuple[int, ...], Contents]] = {}
        self._logged: dict[str, str] = {}

    def open(self) -> None:
        """Become the folder's owner.

        Raises:
            DatabaseOwned: another process is; the message names it.
            DatabaseUnusable, StorageUnavailable: the folder cannot be created or written.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise refusal_of(self._called, error, "cannot be created") from error
        self._ownership = Ownership(self._folder / "server", self._called)
        self.server_id = server_id_of(self._folder / "server")
        if not self._paths():
            prepare_first()  # else the first request, and all that come meanwhile, would wait for it

    def stored(self) -> list[StoredStudy]:
        """The studies of every file, as the files are now. A file that cannot be read may be one."""
        self._own()
        paths = self._paths()
        names = {path.name for path in paths}
        for known in (self._known, self._logged):
            for gone in known.keys() - names:
                known.pop(gone, None)
        return [study for path in paths for study in self._studies(path)]

    def of_file_named(self, name: str) -> StoredStudy | None:
        """The study that has the name of its file, as the file is now; None if there is none."""
        self._own()
        found = self._studies(self._folder / f"{name}{SUFFIX}")
        return next((study for study in found if study.name == name), None)

    def use(self, study: StoredStudy) -> tuple[WriteThroughStorage, int] | None:
        """The study's storage and its id there; None if it is gone. Call `release` after the last use."""
        try:
            storage = self._open(study.file, create=False)
        except DatabaseUnusable:
            if (self._folder / study.file).exists():
                raise
            return None
        try:
            return storage, storage.get_study_id_from_name(study.name)
        except BaseException as error:
            self.release(study.file)
            if isinstance(error, KeyError):
                return None
            raise

    def look(self, study: StoredStudy) -> tuple[FileCopy, int] | None:
        """A copy of what its file has, and the study's id there; None if the file has to be opened.

        Raises:
            DatabaseUnusable, StorageUnavailable: the file cannot be read.
        """
        with self._lock:
            found = self._files.setdefault(study.file, _File(self._folder / study.file))
        # Nobody here may begin to write while it is read: without its log it is read without a lock.
        with found.lock:
            if found.storage is not None:
                return None
            copy = copy_of_file(found.path)
        if copy is None:
            return None
        try:
            return copy, copy.get_study_id_from_name(study.name)
        except KeyError:
            return None

    def for_new(self, name: str) -> tuple[WriteThroughStorage, str]:
        """The storage for a new study, and its file, which is created; `release` is due as for `use`."""
        file = f"{name}{SUFFIX}"
        return self._open(file, create=True), file

    def release(self, file: str) -> None:
        """End one use of a file, and close it if that was the last; the next use opens it."""
        self._release(self._files[file])

    def discard(self, file: str) -> None:
        """End one use of a file whose study was deleted, and remove it unless it holds others."""
        found = self._files[file]
        with found.lock:
            if found.n_users == 1:
                self._close(found)
                # Read from the disk: a study that cannot be served, or of another process, counts.
                if contents_of(found.path) == Contents():
                    for suffix in ("", "-wal", "-shm"):
                        found.path.with_name(file + suffix).unlink(missing_ok=True)
            found.n_users -= 1

    def unavailable(self) -> str | None:
        """Why no file of the folder can be written now, or None; a single file does not count."""
        try:
            self._own().try_to_write()
        except StorageUnavailable as error:
            return error.detail
        except OSError as error:
            return refusal_of(self._called, error, "cannot be written").detail
        return None

    def close(self) -> None:
        """Close every file, and give up the folder."""
        for found in list(self._files.values()):
            with found.lock:
                self._close(found)
        with self._lock:
            ownership, self._ownership = self._ownership, None
        if ownership is not None:
            ownership.release()

    def _own(self) -> Ownership:
        """The ownership of the folder that is in its place now: another one becomes ours too.

        Raises:
            StorageUnavailable: there is no folder, it cannot be written, or another process owns it.
        """
        with self._lock:
            if self._ownership is None:
                raise StorageClosed("the folder is not open")
            if not self._ownership.is_held:
                if not self._folder.is_dir():
                    raise StorageUnavailable(f"{self._called} was removed: put it back")
                self._ownership.release()
                self._ownership = Ownership(self._folder / "server", self._called)
            return self._ownership

    def _paths(self) -> list[Path]:
        found = self._folder.glob(f"*{SUFFIX}")
        return sorted(path for path in found if not path.name.startswith("."))

    def _studies(self, path: Path) -> Iterator[StoredStudy]:
        contents = self._contents(path)
        signature = None
        if (known := self._known.get(path.name)) is not None and known[1] is contents:
            signature = known[0]
        # A file that cannot be read is named in place of its studies.
        names = contents.studies or ({path.stem: {}} if contents.fault else {})
        for name, counts in names.items():
            yield StoredStudy(
                name=name,
                file=path.name,
                signature=signature,
                fault=contents.fault,
                counts=counts,
            )

    def _contents(self, path: Path) -> Contents:
        open_file = self._files.get(path.name)
        storage = None if open_file is None else open_file.storage
        if storage is not None:
            try:
                return Contents(studies={name: {} for name in storage.study_names()})
            except StorageClosed:
                pass  # just now
            except StorageUnavailable:
                return self._known.get(path.name, ((), Contents(studies={path.stem: {}})))[1]
        try:
            signature, target = signature_of(path), self._target(path)
        except FileNotFoundError:
            if not path.is_symlink():
                return Contents()
            return self._fault(path.name, f"{path.name} is a link to a file that is not there")
        except OSError as error:
            return Contents(fault=refusal_of(path.name, error))
        if target is not None:
            # Its studies are those of the other file, which has one lock, one log and one connection.
            return self._fault(path.name, f"{path.name} is a link to {target}: remove the link")
        known = self._known.get(path.name)
        if known is not None and known[0] == signature:
            return known[1]
        contents = contents_of(path)
        if not isinstance(
            contents.fault, StorageUnavailable
        ):  # that may pass with the file unchanged
            self._known[path.name] = signature, contents
        self._log(path.name, contents.fault)
        return contents

    def _target(self, path: Path) -> str | None:
        """The file of the folder that this is a link to, or None. Of hard links one is the file."""
        if path.is_symlink():
            target = path.resolve()
            return target.name if target.parent == self._folder.resolve() else None
        status = path.lstat()
        if status.st_nlink == 1:
            return None
        names = [other for other in self._paths() if _is(other, status)]
        first = min(names, key=lambda other: (not self._is_open(other), other), default=path)
        return None if first == path else first.name

    def _is_open(self, path: Path) -> bool:
        found = self._files.get(path.name)
        return found is not None and found.storage is not None

    def _fault(self, file: str, reason: str) -> Contents:
        fault = DatabaseUnusable(reason, file=file)
        self._log(file, fault)
        return Contents(fault=fault)

    def _log(self, file: str, fault: OptunAPIError | None) -> None:
        """Log what is wrong with a file, once."""
        if fault is None:
            if self._logged.pop(file, None) is not None:
                emit(FileRepaired(file=file))
        elif self._logged.get(file) != fault.detail:
            self._logged[file] = fault.detail
            emit(FileUnusable(file=file, reason=fault.detail))

    def _open(self, file: str, *, create: bool) -> WriteThroughStorage:
        self._own()
        with self._lock:
            found = self._files.setdefault(file, _File(self._folder / file))
        with found.lock:
            is_closed = found.storage is not None and found.storage.is_closed
            if is_closed and (damage := self._close(found)) is not None:
                raise damage.again()
            if found.storage is None:
                try:
                    found.storage = open_storage(str(url_of(found.path)), create=create)
                except DatabaseDamaged as damage:
                    self._remember(found.path, damage)
                    raise
            found.n_users += 1
            return found.storage

    def _release(self, found: _File) -> None:
        with found.lock:
            found.n_users -= 1
            if not found.n_users:
                self._close(found)

    def _close(self, found: _File) -> DatabaseDamaged | None:
        """Close a file; return its damage if that is why its storage was closed already."""
        storage, found.storage = found.storage, None
        if storage is None:
            return None
        storage.close()
        if storage.damage is not None:
            self._remember(found.path, storage.damage)
        return storage.damage

    def _remember(self, path: Path, damage: DatabaseDamaged) -> None:
        """Refuse the studies of a damaged file until it is another one, or repaired."""
        with suppress(OSError):  # it was removed just now
            signature = signature_of(path)
            self._known[path.name] = signature, replace(contents_of(path, damage), fault=damage)
            self._log(path.name, damage)


def _is(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), status)
    except FileNotFoundError:  # it was removed just now
        return False


class OneDatabase:
    """One database for every study."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.server_id: str | None = None
        self._opened: WriteThroughStorage | None = None
        self._lock = threading.Lock()

    @property
    def _storage(self) -> WriteThroughStorage:
        with self._lock:
            if self._opened is None:
                raise StorageClosed("the database is not open")
            if self._opened.is_closed:
                self._opened.close()
                if self._opened.damage is not None:  # until the server is started with another file
                    raise self._opened.damage.again()
                self._opened = open_storage(self._url)
            return self._opened

    def open(self) -> None:
        """Open it.

        Raises:
            DatabaseOwned: another process has it open; the message names it.
            DatabaseUnusable: it cannot be opened; the message says what to do.
        """
        self._opened = open_storage(self._url)
        self.server_id = server_id_of(path_of(self._url))

    def stored(self) -> list[StoredStudy]:
        """Its studies."""
        return [StoredStudy(name=name) for name in self._storage.study_names()]

    def of_file_named(self, name: str) -> StoredStudy | None:
        """The study of this name; None if there is none."""
        return StoredStudy(name=name) if name in self._storage.study_names() else None

    def use(self, study: StoredStudy) -> tuple[WriteThroughStorage, int] | None:
        """The storage, and the study's id there; None if it has no such study."""
        try:
            return self._storage, self._storage.get_study_id_from_name(study.name)
        except KeyError:
            return None

    def look(self, study: StoredStudy) -> None:
        """Return None: the database is open."""

    def for_new(self, name: str) -> tuple[WriteThroughStorage, str]:  # noqa: ARG002  # as `Stores`
        """The storage."""
        return self._storage, ""

    def release(self, file: str) -> None:
        """Do nothing: the other studies need it."""

    def discard(self, file: str) -> None:
        """Do nothing: a deleted study leaves nothing behind."""

    def unavailable(self) -> str | None:
        """Why it cannot be read and written now, or None."""
        try:
            return self._storage.unavailable
        except OptunAPIError as error:
            return error.detail

    def close(self) -> None:
        """Close it."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
