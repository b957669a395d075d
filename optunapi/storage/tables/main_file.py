"""Whether something other than SQLite wrote to the file of a database in WAL mode, as `cp` does.

Only a checkpoint writes to that file, of this process or of another one. Each leaves a mark in the index of
the log, the file `-shm`, which SQLite describes at https://sqlite.org/walformat.html.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

INDEX = struct.Struct("=32x8s56xI28xI")  # salts of the log, frames moved to the file, frames begun


class _Mark(NamedTuple):
    """How far checkpoints are: it differs after each."""

    salts: bytes
    moved: int
    begun: int

    @property
    def is_under_way(self) -> bool:
        return self.moved != self.begun


class MainFile:
    """The file of a database that one connection has open; for the thread that uses the connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = os.stat(path).st_ino
        self._index: int | None = None
        self._seen: tuple[int, int] | None = None
        self._mark: _Mark | None = None
        self._is_overwritten = False

    def is_overwritten(self) -> bool:
        """Whether it was changed since the last call by anything but a checkpoint; then for ever.

        Before the first transaction in WAL mode this is not known, and False. What happens to a file that
        was moved is not known either.
        """
        # A checkpoint that begins between the two steps is seen by the next call as one that has begun.
        mark = self._current_mark()
        try:
            found = os.stat(self._path)
        except OSError:
            return self._is_overwritten
        if found.st_ino != self._inode:
            return self._is_overwritten
        seen = (found.st_size, found.st_mtime_ns)
        if (
            seen != self._seen
            and self._mark is not None
            and not self._mark.is_under_way
            and self._current_mark() == self._mark
        ):
            self._is_overwritten = True
        self._seen, self._mark = seen, mark
        return self._is_overwritten

    def drop_log(self) -> None:
        """Empty the log: its pages belong to what the file was before."""
        os.truncate(f"{self._path}-wal", 0)

    def close(self) -> None:
        """Stop watching. SQLite must have closed the file: this drops this process's locks on the index."""
        index, self._index = self._index, None
        if index is not None:
            os.close(index)

    def _current_mark(self) -> _Mark | None:
        if self._index is None:
            try:
                self._index = os.open(f"{self._path}-shm", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        written = os.pread(self._index, INDEX.size, 0)
        return _Mark(*INDEX.unpack(written)) if len(written) == INDEX.size else None
