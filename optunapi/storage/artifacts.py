"""The bytes of artifacts, as Optuna's FileSystemArtifactStore keeps them: a file each, by its id.

What comes is written beside them, and becomes an artifact by one link when it is complete and on disk:
nobody sees half a file, and one cut off leaves nothing. It keeps its place beside them, as a mark, until
a trial lists it: where a mark outlives its server, whether a trial does is looked up at the next start.
"""

import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable
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
        self.settle(lambda _study, _artifact_id: None)

    def settle(self, is_listed: Callable[[str, str], bool | None]) -> None:
        """End the uploads that a server which was killed had begun.

        `is_listed` says of a study and an artifact whether one of its trials has it. An artifact that
        none has is removed; where that cannot be said, None, it is left to be settled later.
        """
        for mark in (self._folder / INCOMING).glob("*/*"):
            with suppress(OSError), mark.open("rb") as left:
                # Another server with the same folder may be writing it now.
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place = self._folder / mark.name
                if place.exists():
                    listed = is_listed(mark.parent.name, mark.name)
                    if listed is None:
                        continue
                    if not listed:
                        place.unlink()
                mark.unlink()

    def receive(self, study: str) -> "IncomingFile":
        """Begin another artifact of this study.

        Raises:
            StorageUnavailable: nothing can be written there.
        """
        return IncomingFile(self._folder, study, str(uuid.uuid4()))

    def size(self, artifact_id: str) -> int | None:
        """How many bytes an artifact has, or None if it is not there."""
        try:
            return (self._folder / artifact_id).stat().st_size
        except OSError:
            return None

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

    def __init__(self, folder: Path, study: str, artifact_id: str) -> None:
        self.id = artifact_id
        self.size = 0
        self._digest = hashlib.sha256()
        self._mark = folder / INCOMING / study / artifact_id
        self._place = folder / artifact_id
        try:
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._mark.open("xb")
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
            try:
                os.link(self._mark, self._place)
            except OSError:  # not every file system has links; then a crash may leave it unlisted
                self._mark.rename(self._place)
            _sync(self._mark.parent)
            _sync(self._place.parent)
        except OSError as error:
            raise _unavailable(error) from error

    def listed(self) -> None:
        """A trial has it now: nothing is left to be looked up."""
        with suppress(OSError):  # then the next start looks it up, and finds it
            self._mark.unlink(missing_ok=True)
        self.close()

    def drop(self) -> None:
        """Leave nothing of it, kept or not."""
        self._place.unlink(missing_ok=True)
        self._mark.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it as it is: if it was kept, the next start looks whether a trial has it."""
        with suppress(OSError):  # what is still in its buffer had no room on the disk
            self._file.close()


def _sync(folder: Path) -> None:
    """What was made or renamed in a folder outlives the machine's crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"the artifact cannot be kept now: {error.strerror}")
