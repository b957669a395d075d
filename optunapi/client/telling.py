"""A result on its way: it is on disk from the first try that fails until the server has it."""

import logging
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from optunapi.client.connection import TRIAL_FIELDS, Connection
from optunapi.client.delivery import is_final
from optunapi.client.kept_tell import KeptTell
from optunapi.client.spool import set_aside
from optunapi.errors import (
    BadRequest,
    Internal,
    OptunAPIError,
    TrialFinished,
    TryLater,
    UnexpectedReply,
)

# It is unknown whether the server has the request; it may accept it later.
UNDELIVERED = (TryLater, Internal, UnexpectedReply)
TELL_SECONDS = (
    10.0  # of one try; a server that takes longer is asked again, with the result on disk
)

logger = logging.getLogger("optunapi")


class Telling:
    """The sending of one tell. `keep` may be called from another thread meanwhile."""

    def __init__(self, connection: Connection, tell: KeptTell) -> None:
        self._connection = connection
        self._tell = tell
        self._file: Path | None = None
        self._is_answered = False
        self._is_warned = False
        self._lock = threading.Lock()

    def send(self) -> dict[str, Any] | None:
        """Return the closed trial, or None if the result was kept on disk, with a warning.

        The values of a complete trial are kept as well if they are refused, so that they can be looked
        at: the study may have been deleted while the trial was trained.

        Raises:
            OptunAPIError: the server refuses; a note says where the result is.
        """
        tell, connection = self._tell, self._connection
        timeout = min(connection.session.timeout, TELL_SECONDS)
        try:
            closed = connection.call(
                "POST",
                *tell.path,
                "tell",
                body=tell.body,
                fields=TRIAL_FIELDS,
                timeout=timeout,
                failed=self._note_failure,
            )
        except UNDELIVERED as error:
            warnings.warn(
                f"the result of {tell} could not be sent: {error}. It is kept in "
                f"{self._kept(error)} until a client of its server delivers it",
                stacklevel=5,
            )
            return None
        except OptunAPIError as error:
            if is_final(error):
                self._end_refused(error)
            else:
                error.add_note(f"the result is kept in {self._kept(error)}")
            raise
        except BaseException as error:
            self._kept(error)
            raise
        else:
            self._remove()
            return dict(closed)
        finally:
            if self._file is not None:
                connection.deliveries.leave(self._file)

    def keep(self) -> Path | None:
        """Write the result to disk, once; return its file, or None if the server has answered.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            if self._file is None and not self._is_answered:
                self._file = self._connection.spool.keep(self._tell)
                self._connection.deliveries.take(self._file)
            return self._file

    def _note_failure(self, error: OptunAPIError) -> None:
        """Keep the result after a try that failed. If that fails too, the next try may still succeed."""
        if isinstance(error, UNDELIVERED):
            try:
                self.keep()
            except OSError as fault:
                if not self._is_warned:
                    logger.warning("the result of %s cannot be kept on disk: %s", self._tell, fault)
                    self._is_warned = True

    def _kept(self, error: BaseException) -> Path | None:
        """Keep the result that `error` stops; if that fails, it is in a note of the error."""
        try:
            return self.keep()
        except (OSError, TypeError, ValueError) as fault:
            error.add_note(f"and {self._tell!r} cannot be kept: {fault}")
            raise error from fault

    def _end_refused(self, error: OptunAPIError) -> None:
        """Keep values that the server refuses for good, unless the trial has others."""
        stored = error.extra.get("trial") if isinstance(error, TrialFinished) else None
        has_others = isinstance(stored, Mapping) and stored.get("state") == "complete"
        if isinstance(error, BadRequest) or has_others or "values" not in self._tell.body:
            self._remove()
            return
        file = self._kept(error)
        text = f"the result is kept in {file}"
        if self._tell.server not in (None, self._connection.session.server_id):
            text += " until its own server is reached: another one answers at this URL"
        elif file is not None:
            with suppress(OSError):  # then it stays, and is refused again
                text = f"the result is kept in {set_aside(file)}"
        error.add_note(text)
        values = self._tell.body["values"]
        logger.warning("%s was refused with %s: %s; %s", self._tell, values, error.detail, text)

    def _remove(self) -> None:
        """Remove the file, if there is one: the server has answered."""
        with self._lock:
            self._is_answered = True
            if self._file is not None:
                with suppress(OSError):  # then it is delivered again, which does no harm
                    self._file.unlink(missing_ok=True)
