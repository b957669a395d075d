"""Where results are kept: the folder that the user names, else a usual one; if it fails, a temporary one."""

import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from optunapi.folders import folder_of

PROBE = bytes(4096)  # a full disk takes empty files


@dataclass(frozen=True, kw_only=True)
class SpoolFolder:
    """A folder of results, which need not exist. A temporary one stands where others can write too."""

    path: Path
    is_temporary: bool = False

    def prepare(self, name: str = "") -> Path:
        """Create the folder, and the one of this name in it; return that one.

        Raises:
            OSError: it cannot be created, or is another user's.
        """
        found = self.path / name
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.is_safe():
            raise PermissionError(f"others can write in {self.path}")
        found.mkdir(mode=0o700, exist_ok=True)
        return found

    def check(self) -> None:
        """Write a file and remove it.

        Raises:
            OSError: results cannot be kept here now.
        """
        with tempfile.TemporaryFile(dir=self.prepare(), buffering=0) as probe:
            probe.write(PROBE)

    def is_safe(self) -> bool:
        """Whether nobody else can have put files here. A folder that the user chose is not judged."""
        if (
            not self.is_temporary or sys.platform == "win32"
        ):  # there, temporary folders are a user's
            return True
        try:
            status = self.path.lstat()
        except OSError:
            return False
        is_private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
        return is_private and status.st_uid == os.geteuid()


def spool_folders() -> list[SpoolFolder]:
    """Return the folders in which results are kept, best first.

    Raises:
        ValueError: `$OPTUNAPI_SPOOL` is not the path of a folder.
    """
    usual, temporary = _usual_folder(), _temporary_folder()
    found = [] if usual is None else [SpoolFolder(path=usual)]
    return found if temporary is None else [*found, temporary]


def _usual_folder() -> Path | None:
    """Return `$OPTUNAPI_SPOOL`, or a folder in the user's state directory; None without a home."""
    if given := os.environ.get("OPTUNAPI_SPOOL"):
        try:
            return folder_of(given)  # the program may change its current folder
        except ValueError as error:
            raise ValueError(f"OPTUNAPI_SPOOL: {error}") from None
    windows = sys.platform == "win32"
    if not (state := os.environ.get("LOCALAPPDATA" if windows else "XDG_STATE_HOME")):
        state = os.path.expanduser("~/AppData/Local" if windows else "~/.local/state")
    if state.startswith("~"):  # a container's user may have no home
        return None
    return Path(state) / "optunapi" / "spool"


def _temporary_folder() -> SpoolFolder | None:
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    try:
        path = Path(tempfile.gettempdir()) / f"optunapi-spool{user}"
    except OSError:  # there is none that can be written
        return None
    return SpoolFolder(path=path, is_temporary=True)
