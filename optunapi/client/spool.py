"""Results that could not be sent, kept on disk: one file for each, one folder for each server.

A file is written under another name and then renamed, so that it is complete or absent. One process
delivers at a time. If two do, no harm is done, since a tell may be repeated.
"""

import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optunapi.client.http.session import Request, Session
from optunapi.client.optuna_types.scalars import json_default
from optunapi.client.process.forks import PerProcess
from optunapi.errors import (
    BadRequest,
    ConfigInvalid,
    Conflict,
    NotFound,
    OptunAPIError,
    StudyReplaced,
    TrialNotFound,
    TryLater,
)
from optunapi.folders import folder_of

FORMAT = 1
KINDS = {"study": str, "number": int, "params": dict, "created_at": str | None, "body": dict}

logger = logging.getLogger("optunapi")


@dataclass(frozen=True, kw_only=True)
class KeptTell:
    """A tell. `study_uid`, `params` and `created_at` identify its trial: the study may have been deleted and
    made again, or another server may answer at this URL. A file of an older client has no `study_uid`.
    """

    study: str
    number: int
    params: Mapping[str, Any]
    created_at: str | None
    body: Mapping[str, Any]
    study_uid: str | None = None

    @classmethod
    def of(cls, content: Any) -> Self:
        """The tell of a file.

        Raises:
            KeyError, TypeError, ValueError: the content is not a tell.
        """
        found = {name: content[name] for name in KINDS}
        for name, kind in KINDS.items():
            if not isinstance(found[name], kind):
                raise TypeError(f"{name} is {found[name]!r}")
        found["study_uid"] = content.get("study_uid")
        if not isinstance(found["study_uid"], str | None):
            raise TypeError(f"study_uid is {found['study_uid']!r}")
        if found["study"] in ("", ".", "..") or "/" in found["study"]:
            raise ValueError(f"{found['study']!r} is not a study's name")
        json.dumps(found["body"], allow_nan=False)
        return cls(**found)

    def send(self, session: Session) -> None:
        """Send the tell, if the trial is still the same one.

        Raises:
            StudyReplaced: another study has this name now.
            TrialNotFound: another trial has this number now.
            OptunAPIError: as `Session.send`.
        """
        trial = ("studies", self.study, "trials", str(self.number))
        stored = session.send(Request(method="GET", path=trial, fields=("created_at", "params")))
        if self.study_uid not in (None, stored.get("study_uid")):
            raise StudyReplaced(
                f"study {self.study!r} was deleted, and another one has its name: the result belongs to "
                "none of its trials"
            )
        params = {n: value for n, value in stored["params"].items() if n in self.params}
        if params != self.params or self.created_at not in (None, stored["created_at"]):
            raise TrialNotFound(
                f"trial {self.number} of study {self.study!r} is a different trial now: the study "
                "was created again, or another server answers"
            )
        path = (*trial, "tell")
        session.send(Request(method="POST", path=path, body=self.body, fields=("number",)))


def spool_folder() -> Path:
    """Return `$OPTUNAPI_SPOOL`, or a folder in the user's state directory.

    Raises:
        ValueError: the variable is not the path of a folder.
    """
    if given := os.environ.get("OPTUNAPI_SPOOL"):
        try:
            return folder_of(given)  # the program may change its current folder
        except ValueError as error:
            raise ValueError(f"OPTUNAPI_SPOOL: {error}") from None
    windows = sys.platform == "win32"
    if not (state := os.environ.get("LOCALAPPDATA" if windows else "XDG_STATE_HOME")):
        state = os.path.expanduser("~/AppData/Local" if windows else "~/.local/state")
    if state.startswith("~"):  # a container's user may have no home
        state = tempfile.gettempdir()
    return Path(state) / "optunapi" / "spool"


class Spool:
    """The kept tells of one server. Safe across threads, forks and processes."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        name = re.sub(r"[^a-z0-9.-]+", "_", url.partition("//")[2].lower())
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        self.folder = (folder or spool_folder()) / f"{name[:80]}-{digest}"
        self.url = url
        self._kept = len(self.waiting())  # only grows; `_delivered` follows it
        self._delivered = 0
        self._delivering = PerProcess(threading.Lock)

    def keep(self, tell: KeptTell) -> Path:
        """Write a tell to disk; return its file.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {"format": FORMAT, "url": self.url, **asdict(tell)}
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
        written = path.with_suffix(".part")
        try:
            with open(written, "x", encoding="utf-8", opener=_private) as file:
                json.dump(content, file, default=json_default, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        _sync_folder(self.folder)
        self._kept += 1
        return path

    def waiting(self) -> list[Path]:
        """The files of the kept tells, oldest first."""
        return sorted(self.folder.glob("*.json"))

    def deliver(self, session: Session) -> None:
        """Send the kept tells, oldest first. Looks on the disk only if this process found or kept any.

        A tell that the server refuses for good, and a file that is not a tell, is set aside with a
        warning. A file that cannot be read now stays. While another process delivers, nothing is done.

        Raises:
            TryLater: the server is still not reached; the rest stays.
        """
        if self._kept == self._delivered:
            return
        # The other threads wait here: an ask that overtakes the delivery could be handed a trial whose
        # result is being delivered.
        with self._delivering.get():
            known = self._kept
            if known == self._delivered:
                return
            try:
                self._deliver_all(session)
            except OSError as error:
                logger.warning("kept results cannot be delivered: %s", error)
            self._delivered = known

    def _deliver_all(self, session: Session) -> None:
        delivered = 0
        if not self.waiting():  # if there never were any, there is no folder for the lock
            return
        with self._alone() as alone:
            for path in self.waiting() if alone else ():
                tell = self._read(path)
                if tell is None:
                    continue
                try:
                    tell.send(session)
                except TryLater:
                    raise
                except ConfigInvalid as error:  # the server's file will be mended
                    logger.warning("%s stays: %s: %s", path, error.code, error.detail)
                except (BadRequest, Conflict, NotFound) as error:
                    kept = f"the kept result of trial {tell.number} of study {tell.study!r}"
                    self._set_aside(
                        path, f"the server refuses {kept} ({error.code}: {error.detail})"
                    )
                except OptunAPIError as error:
                    logger.warning("%s stays: %s: %s", path, error.code, error.detail)
                else:
                    path.unlink(missing_ok=True)
                    delivered += 1
        if delivered:
            logger.info("%d result(s) kept in %s were delivered", delivered, self.folder)

    def _read(self, path: Path) -> KeptTell | None:
        try:
            return KeptTell.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:  # without a lock (Windows), another process was faster
            return None
        except OSError as error:
            logger.warning("%s stays: %s", path, error)
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._set_aside(path, f"a kept result cannot be read ({error!r})")
            return None

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = path.with_suffix(".refused")
        path.replace(aside)
        warnings.warn(f"{reason}; it is now in {aside}", stacklevel=2)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process and no other client delivers during the block."""
        if sys.platform == "win32":
            yield True
            return
        import fcntl

        with open(self.folder / ".lock", "a", opener=_private) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
