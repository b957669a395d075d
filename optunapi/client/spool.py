"""Results that could not be sent, kept on disk: one file for each, one folder for each server.

A file is written under another name and then renamed, so that it is complete or absent. Processes and
hosts may share the folders.

A server is known by its id, under whatever URL it is reached. One that sends no id, and the files of
older clients, are known by the URL's text.
"""

import hashlib
import os
import re
import sys
import time
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path

from optunapi.client.kept_tell import KeptTell
from optunapi.client.spool_folders import SpoolFolder, spool_folders

KEPT, REFUSED, UNFINISHED = ".json", ".refused", ".part"
ABANDONED_SECONDS = 3600.0  # after which nobody goes on writing a file


class Spool:
    """The kept tells of the servers at one URL. Safe across threads, forks, processes and hosts.

    Warns if results can be kept only in a temporary folder, or nowhere.
    """

    def __init__(self, url: str, folders: Iterable[SpoolFolder] | None = None) -> None:
        self.url = url
        self.folders = tuple(spool_folders() if folders is None else folders)
        if trouble := self._trouble():
            warnings.warn(trouble, stacklevel=4)  # the line that makes the client

    def keep(self, tell: KeptTell) -> Path:
        """Write a tell to disk, in the first folder that takes it; return its file.

        Raises:
            OSError: no folder takes it.
            TypeError, ValueError: JSON cannot hold a value of the tell.
        """
        content, name = tell.to_json(), self._name(tell.server)
        first: OSError | None = None
        for folder in self.folders:
            try:
                return _write(folder.prepare(name), content)
            except OSError as error:
                first = first or error
        raise first or OSError("there is no folder that can be written")

    def of_server(self, server: str | None) -> list[Path]:
        """The folders that may have tells for the server with this id at this URL."""
        names = dict.fromkeys([self._name(server), self._name(None)])
        return [each.path / name for each in self.folders if each.is_safe() for name in names]

    def _name(self, server: str | None) -> str:
        """The name of a server's folder."""
        if server is not None:
            return f"server-{server}"
        name = re.sub(r"[^a-z0-9.-]+", "_", self.url.partition("//")[2].lower())
        return f"{name[:80]}-{hashlib.sha256(self.url.encode()).hexdigest()[:12]}"

    def _trouble(self) -> str | None:
        """Try the folders; return what to warn of, or None if the usual one can be written."""
        cannot, instead = [], "nowhere"
        for folder in self.folders:
            try:
                folder.check()
            except OSError as error:
                cannot.append(f"{folder.path} cannot be used ({error.strerror or error})")
                continue
            if not folder.is_temporary:
                return None
            instead = f"in {folder.path}, which may be emptied"
            break
        reasons = ", ".join(cannot) or "this user has no home folder"
        return (
            f"results that cannot be sent will be kept {instead}: {reasons}. Set OPTUNAPI_SPOOL to a "
            "folder that can be written"
        )


def files_in(folders: Iterable[SpoolFolder], suffix: str = KEPT) -> list[Path]:
    """The kept tells of all servers, oldest first; other suffixes have those set aside or half-written."""
    safe = (folder.path for folder in folders if folder.is_safe())
    found = (path for each in safe for path in each.glob(f"*/*{suffix}"))
    return sorted(found, key=lambda path: path.name)


def tells_in(folder: Path) -> list[Path]:
    """The kept tells in the folder of a server, oldest first.

    A file that was complete, and whose process died before it had its name, is one too.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in folder.glob(f"*{UNFINISHED}"):
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            path.replace(path.with_suffix(KEPT))
    return sorted(folder.glob(f"*{KEPT}"))


def set_aside(path: Path) -> Path:
    """Rename the file of a tell, so that it is not delivered; return its new path.

    Raises:
        OSError: it cannot be renamed.
    """
    return path.replace(path.with_suffix(REFUSED))


def private(path: str, flags: int) -> int:
    """Open a file that only this user can read: for `open`."""
    return os.open(path, flags, 0o600)


def _write(folder: Path, content: str) -> Path:
    path = folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{KEPT}"
    written = path.with_suffix(UNFINISHED)
    try:
        with open(written, "x", encoding="utf-8", opener=private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
        _sync_folder(folder)
    except BaseException:  # the caller keeps it in another file
        written.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
