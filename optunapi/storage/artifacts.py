"""The files of artifacts, as Optuna's FileSystemArtifactStore keeps them: one each, named by its id.

An upload is written into a subfolder. When it is complete and on the disk, one link makes it the
artifact's file: nobody reads half a file, and an upload that is cut off leaves none. Its entry in the
subfolder stays until a trial lists the artifact. If the server is killed before, the entry tells the next
start which artifact to look up.
"""

import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound as NoSuchFile

from optunapi.errors import ArtifactNotFound, StorageUnavailable

INCOMING = ".incoming"

logger = logging.getLogger(__name__)


class ArtifactFolder:
    """A folder of artifacts, created by the first upload; any Optuna process can read them.

    `max_file` and `max_study` are the bytes that a file, and a study's files together, may have.
    """

    def __init__(self, folder: Path, *, max_file: int, max_study: int) -> None:
        self._folder = folder
        self._store = FileSystemArtifactStore(folder)
        self.max_file = max_file
        self.max_study = max_study

    def interrupted(self) -> Iterator["FileUpload"]:
        """The uploads that a killed server left unfinished. End each before taking the next."""
        for entry in (self._folder / INCOMING).glob("*/*"):
            # Refused while another server with the same folder, or this one, is writing it.
            with suppress(OSError):
                yield FileUpload(self._folder, entry.parent.name, entry.name, mode="rb")

    def receive(self, study: str) -> "FileUpload":
        """Begin an upload to this study.

        Raises:
            StorageUnavailable: nothing can be written there.
        """
        try:
            (self._folder / INCOMING / study).mkdir(parents=True, exist_ok=True)
            return FileUpload(self._folder, study, str(uuid.uuid4()), mode="xb")
        except OSError as error:
            raise _unavailable(error) from error

    def size(self, artifact_id: str) -> int | None:
        """The size of an artifact's file in bytes, or None if there is no file."""
        try:
            return (self._folder / artifact_id).stat().st_size
        except OSError:
            return None

    def read(self, artifact_id: str) -> BinaryIO:
        """An artifact's file, readable to its end even if it is removed meanwhile.

        Raises:
            ArtifactNotFound: there is no such file.
        """
        try:
            return self._store.open_reader(artifact_id)
        except (NoSuchFile, ValueError):  # or an id that another program made, of a place elsewhere
            raise ArtifactNotFound("the artifact's file is gone from the server's folder") from None

    def remove(self, artifact_ids: Iterable[str]) -> None:
        """Remove the files of artifacts; one that cannot be removed is logged."""
        for artifact_id in artifact_ids:
            try:
                self._store.remove(artifact_id)
            except (NoSuchFile, ValueError):  # see `read`
                continue
            except OSError as error:
                logger.warning("artifact %s cannot be removed: %s", artifact_id, error.strerror)


class FileUpload:
    """An upload, new (`mode` is `xb`) or left by a killed server (`rb`). For one thread at a time.

    Raises:
        OSError: the entry cannot be opened, or another process is writing it.
    """

    def __init__(self, folder: Path, study: str, artifact_id: str, *, mode: str) -> None:
        self.study = study
        self.id = artifact_id
        self.size = 0
        self._digest = hashlib.sha256()
        self._entry = folder / INCOMING / study / artifact_id
        self._path = folder / artifact_id
        self._file = self._entry.open(mode)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise
        self.is_kept = self._path.exists()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            StorageUnavailable: there is no room for them.
        """
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _unavailable(error) from error
        self._digest.update(chunk)
        self.size += len(chunk)

    def keep(self) -> None:
        """Make the bytes an artifact's file that survives a crash of the machine.

        Raises:
            StorageUnavailable: the disk cannot hold it.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            try:
                os.link(self._entry, self._path)
            except OSError:
                # The file system has no links. After a crash before `confirm`, no entry tells that
                # the artifact must be looked up.
                self._entry.rename(self._path)
            _sync(self._entry.parent)
            _sync(self._path.parent)
        except OSError as error:
            raise _unavailable(error) from error
        self.is_kept = True

    def confirm(self) -> None:
        """End the upload: a trial lists the artifact."""
        with suppress(OSError):  # else the next start finds that a trial lists it
            self._entry.unlink(missing_ok=True)
        self.close()

    def drop(self) -> None:
        """End the upload and remove its file, kept or not."""
        self._path.unlink(missing_ok=True)
        self._entry.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the upload unfinished: the next start looks whether a trial lists the artifact."""
        with suppress(OSError):  # the disk has no room for what is still in the buffer
            self._file.close()


def _sync(folder: Path) -> None:
    """Let what was created or renamed in a folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"the artifact cannot be kept now: {error.strerror}")
