"""Changes that happen together or not at all."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

from optunapi.storage.commits import Commit
from optunapi.storage.errors import Superseded
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory
from optunapi.storage.pending import Pending

Result = TypeVar("Result")


class Units:
    """The units of one database: at most one at a time, in the thread that holds memory's lock."""

    def __init__(self, memory: Memory, pending: Pending) -> None:
        self.memory = memory
        self.pending = pending
        self.current: Unit | None = None
        self.exclusive: int | None = None  # the thread inside `try_exclusive`

    def inside(self) -> "Unit | None":
        """The unit that the calling thread is in."""
        current = self.current
        return current if current is not None and current.thread == threading.get_ident() else None

    def unit(self) -> "Unit":
        """The unit the calling thread is in, else a new one."""
        return self.inside() or Unit(self)

    def write(self, change: Callable[[Changes], Result]) -> Result:
        """Make a change in a unit of its own and wait for its commit; inside a unit, only make it."""
        if (current := self.inside()) is not None:
            return change(current.changes)
        while True:
            with self.unit() as unit:
                result = change(unit.changes)
            try:
                unit.commit.result()
            except Superseded:
                continue  # it was based on what another process has changed since
            return result

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """See `WriteThroughStorage.try_exclusive`."""
        if self.pending.is_full or not self.memory.lock.acquire(blocking=False):
            yield False
            return
        # Another thread, or the block itself, may fill the queue now. The block must not wait for room:
        # only the writer makes some, and needs the lock for that.
        self.exclusive = threading.get_ident()
        try:
            yield True
        finally:
            self.exclusive = None
            self.memory.lock.release()


class Unit:
    """A block of changes: see `WriteThroughStorage.unit`."""

    def __init__(self, units: Units) -> None:
        self.changes = Changes()
        self.thread = threading.get_ident()
        self._units = units
        self._depth = 0
        self._commit: Commit | None = None

    @property
    def commit(self) -> Commit:
        """The commit of everything the block changed and saw; known when the block has ended."""
        if self._commit is None:
            raise RuntimeError("a unit's commit is known when its block has ended")
        return self._commit

    def __enter__(self) -> "Unit":
        if self._depth == 0:
            units = self._units
            if units.exclusive != self.thread:
                units.pending.wait_for_room()
            units.memory.lock.acquire()
            try:
                units.memory.check()
            except BaseException:
                units.memory.lock.release()
                raise
            units.current = self
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
                self._commit = units.pending.add(self.changes)
            else:
                self._commit = units.pending.committed()
        finally:
            units.current = None
            units.memory.lock.release()
