"""Uploads that a crash or a refused change left unfinished: their files are kept if a trial lists them."""

import logging
from contextlib import suppress

from optunapi.engine.open_studies import OpenStudies
from optunapi.engine.store import ArtifactFiles, Upload
from optunapi.errors import (
    ConfigInvalid,
    DatabaseUnusable,
    OptunAPIError,
    StorageUnavailable,
    StudyNotFound,
)

logger = logging.getLogger(__name__)


class UnfinishedUploads:
    """The unfinished uploads of a server. Every method may be called from any thread."""

    def __init__(self, files: ArtifactFiles, studies: OpenStudies) -> None:
        self._files = files
        self._studies = studies
        self._refused: list[Upload] = []

    def end_interrupted(self) -> None:
        """End the uploads that a killed server left. Call it before the first request."""
        for upload in self._files.interrupted():
            try:
                self._end(upload)
            except (OptunAPIError, OSError) as error:  # the study may belong to another server
                logger.warning(
                    "artifact %s is checked again at the next start: %s", upload.id, error
                )
                upload.close()

    def end_later(self, upload: Upload) -> None:
        """Take over an upload whose change was refused: the change may have reached the disk."""
        self._refused.append(upload)

    def end_refused(self) -> None:
        """End the uploads that were taken over and whose studies can be read again."""
        for upload in list(self._refused):
            with suppress(StorageUnavailable, DatabaseUnusable, OSError):
                try:
                    self._end(upload)
                except DatabaseUnusable:  # the study is there: an upgrade makes it readable
                    raise
                except (StudyNotFound, ConfigInvalid):  # the study was deleted
                    upload.drop()
                self._refused.remove(upload)

    def close(self) -> None:
        """Leave the uploads that were taken over to the next start."""
        for upload in self._refused:
            upload.close()

    def _end(self, upload: Upload) -> None:
        """Keep the upload's file if a trial lists it, remove it if none does.

        Raises:
            StudyNotFound, ConfigInvalid: its study is not stored.
            StorageUnavailable, DatabaseUnusable: its study cannot be read now.
        """
        is_listed = False
        if upload.is_kept:
            study = self._studies.find(upload.study, create=False)
            if study is None:
                raise StudyNotFound(f"study {upload.study!r} is not stored")
            is_listed, commit = study.artifacts.has(upload.id)
            commit.result()
        if is_listed:
            upload.confirm()
        else:
            upload.drop()
