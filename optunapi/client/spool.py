"""Tells that wait on disk for their server: one file each, one folder a server.

A file is written beside its place and moved there, so that it is whole or not at all. One process at
a time delivers; should two, nothing happens twice, as a tell may be repeated.
"""

import hashlib
import json
import logging
import os
import re
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from optunapi.client.optuna_types.scalars import plain
from optunapi.errors import BadRequest, Conflict, NotFound, OptunAPIError, TryLater

FORMAT = 1
KINDS: Mapping[str, Any] = {
    "study": str,
    "number": int,
    "params": dict,
    "created_at": str | None,
    "body": dict,
}

logger = logging.getLogger("optunapi")


@dataclass(frozen=True, kw_only=True)
class KeptTell:
    """A tell: of which trial, and what. `params` and `created_at` are how the trial is known again,
    should a study of this name have been made anew, or another server answer at this URL.
    """

    study: str
    number: int
    params: Mapping[str, Any]
    created_at: str | None
    body: Mapping[str, Any]

    @classmethod
    def of(cls, content: Any) -> Self:
        """The tell of a file.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        found = {each.name: content[each.name] for each in fields(cls)}
        for name, kind in KINDS.items():
            if not isinstance(found[name], kind):
                raise TypeError(f"{name} is {found[name]!r}")
        if found["study"] in ("", ".", "..") or "/" in found["study"]:
            raise ValueError(f"{found['study']!r} is no study's name")
        json.dumps(found["body"], allow_nan=False)
        return cls(**found)


def spool_folder() -> Path:
    """`$OPTUNAPI_SPOOL`, else a folder in the user's state directory."""
    if given := os.environ.get("OPTUNAPI_SPOOL"):
        return Path(given)
    windows = sys.platform == "win32"
    if not (state := os.environ.get("LOCALAPPDATA" if windows else "XDG_STATE_HOME")):
        state = os.path.expanduser("~/AppData/Local" if windows else "~/.local/state")
    if state.startswith("~"):  # a container's user may have no home
        state = tempfile.gettempdir()
    return Path(state) / "optunapi" / "spool"


class Spool:
    """The tells that wait for one server. Safe across threads and processes."""

    def __init__(self, url: str, folder: Path | None = None) -> None:
        name = re.sub(r"[^a-z0-9.-]+", "_", url.partition("//")[2].lower())
        digest = hashlib.sha256(url.encode()).hexdigest()[:12]
        self.folder = (folder or spool_folder()) / f"{name[:80]}-{digest}"
        self.url = url

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
                json.dump(content, file, default=plain, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            written.replace(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        _sync_folder(self.folder)
        return path

    def waiting(self) -> list[Path]:
        """The files of the tells that wait, oldest first."""
        return sorted(self.folder.glob("*.json"))

    def deliver(self, send: Callable[[KeptTell], None]) -> int:
        """Hand each waiting tell to `send`, oldest first; return how many it took.

        What the server refuses for good, or what is no tell, is set aside with a warning, and what cannot
        be read now waits on. While another process delivers, nothing is done.

        Raises:
            TryLater: `send` did, and the rest waits on.
        """
        if not self.waiting():
            return 0
        taken = 0
        with self._alone() as alone:
            for path in self.waiting() if alone else ():
                tell = self._read(path)
                if tell is None:
                    continue
                try:
                    send(tell)
                except TryLater:
                    raise
                except (BadRequest, Conflict, NotFound) as error:
                    where = self._set_aside(path)
                    _warn(
                        f"the result of trial {tell.number} of study {tell.study!r}, kept while "
                        f"{self.url} was not reached, is refused ({error.code}: {error.detail}); "
                        f"it is in {where}"
                    )
                except OptunAPIError as error:
                    logger.warning("%s waits on: %s: %s", path, error.code, error.detail)
                else:
                    path.unlink(missing_ok=True)
                    taken += 1
        if taken:
            logger.info("%d result(s) kept in %s were delivered", taken, self.folder)
        return taken

    def _read(self, path: Path) -> KeptTell | None:
        try:
            return KeptTell.of(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:  # where there is no lock: another process was quicker
            return None
        except OSError as error:
            logger.warning("%s waits on: %s", path, error)
            return None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            where = self._set_aside(path)
            _warn(f"a kept result cannot be read ({error!r}); it is in {where}")
            return None

    def _set_aside(self, path: Path) -> Path:
        aside = path.with_suffix(".refused")
        path.replace(aside)
        return aside

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process, nor thread, delivers while the block runs."""
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


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)
