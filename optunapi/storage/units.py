"""Changes that happen together or not at all."""

import threading
from types import TracebackType

from optunapi.storage.commits import Commit
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory
from optunapi.storage.writer import Writer


class Units:
    """The units of one database: at most one at a time, in the thread that holds memory's lock."""

    def __init__(self, memory: Memory, writer: Writer) -> None:
        self.memory = memory
        self.writer = writer
        self.current: Unit | None = None
        self.thread: int | None = None
        self.holder: int | None = None  # a thread that holds the lock over several units

    def inside(self) -> bool:
        """Whether the calling thread is within a unit."""
        return self.thread == threading.get_ident()

    def unit(self) -> "Unit":
        """The unit the calling thread is in, else a new one."""
        if self.inside() and self.current is not None:
            return self.current
        return Unit(self)

    @property
    def changes(self) -> Changes:
        """Where the current unit records what was before."""
        if self.current is None:
            raise RuntimeError("there is no unit to record a change in")
        return self.current.changes


class Unit:
    """A block of changes: see `WriteThroughStorage.unit`."""

    def __init__(self, units: Units) -> None:
        self.changes = Changes()
        self._units = units
        self._depth = 0
        self._commit: Commit | None = None

    @property
    def commit(self) -> Commit:
        """The commit of all that the block did and saw; known when the block has ended."""
        if self._commit is None:
            raise RuntimeError("a unit's commit is known when its block has ended")
        return self._commit

    def __enter__(self) -> "Unit":
        if self._depth == 0:
            units = self._units
            if units.holder != threading.get_ident():
                units.writer.admit()
            units.memory.lock.acquire()
            try:
                units.memory.check()
            except BaseException:
                units.memory.lock.release()
                raise
            units.current, units.thread = self, threading.get_ident()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth:
            return
        units = self._units
        try:
            if kind is not None:
                self.changes.undo(units.memory)
            elif self.changes:
                self._commit = units.writer.submit(self.changes)
            else:
                self._commit = units.writer.committed()
        finally:
            units.current, units.thread = None, None
            units.memory.lock.release()
