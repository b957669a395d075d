"""The bytes of artifacts, as Optuna's FileSystemArtifactStore keeps them: a file each, by its id.

What comes is written beside them, and becomes an artifact by one renaming when it is complete and on
disk: nobody sees half a file, and one cut off leaves nothing.
"""

import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound as NoSuchFile

from optunapi.errors import ArtifactNotFound, StorageUnavailable

INCOMING = ".incoming"

logger = logging.getLogger(__name__)


class ArtifactFolder:
    """A folder of artifacts, made when the first one comes; any Optuna reads them from there.

    `max_file` and `max_study` are the bytes that a file, and a study's files together, may have.
    """

    def __init__(self, folder: Path, *, max_file: int, max_study: int) -> None:
        self._folder = folder
        self._store = FileSystemArtifactStore(folder)
        self.max_file = max_file
        self.max_study = max_study

    def open(self) -> None:
        """Remove what a server that was killed left half written."""
        for path in (self._folder / INCOMING).glob("*"):
            with suppress(OSError), path.open("rb") as left:
                # Another server with the same folder may be writing it now.
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def receive(self) -> "IncomingFile":
        """Begin another artifact.

        Raises:
            StorageUnavailable: nothing can be written there.
        """
        return IncomingFile(self._folder, str(uuid.uuid4()))

    def read(self, artifact_id: str) -> BinaryIO:
        """An artifact's bytes; a file that is open can be read to its end, whatever becomes of it.

        Raises:
            ArtifactNotFound: there is no such file.
        """
        try:
            return self._store.open_reader(artifact_id)
        except NoSuchFile:
            raise ArtifactNotFound("the artifact's file is gone from the server's folder") from None

    def remove(self, artifact_ids: Iterable[str]) -> None:
        """Remove artifacts, as far as they are there; one that cannot be removed is logged."""
        for artifact_id in artifact_ids:
            try:
                self._store.remove(artifact_id)
            except NoSuchFile:
                continue
            except OSError as error:
                logger.warning("artifact %s cannot be removed: %s", artifact_id, error.strerror)


class IncomingFile:
    """An artifact that is being received. Not for several threads at once."""

    def __init__(self, folder: Path, artifact_id: str) -> None:
        self.id = artifact_id
        self.size = 0
        self._digest = hashlib.sha256()
        self._path = folder / INCOMING / artifact_id
        self._place = folder / artifact_id
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _unavailable(error) from error

    @property
    def sha256(self) -> str:
        """The SHA-256 of what came so far, in hexadecimal."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Add some bytes.

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
        """Make them the artifact; what is kept outlives the machine's crash.

        Raises:
            StorageUnavailable: the disk does not take it.
        """
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._path.rename(self._place)
            folder = os.open(self._place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _unavailable(error) from error
        self._file.close()

    def drop(self) -> None:
        """Leave nothing of it, kept or not."""
        self._path.unlink(missing_ok=True)
        self._place.unlink(missing_ok=True)
        with suppress(OSError):  # what is still in its buffer had no room on the disk
            self._file.close()


def _unavailable(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"the artifact cannot be kept now: {error.strerror}")
