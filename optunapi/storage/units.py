"""Changes that happen together or not at all."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, TypeVarTuple

from optunapi.storage.commits import Commit
from optunapi.storage.errors import Superseded
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory
from optunapi.storage.pending import Pending

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Unit:
    """What a block of changes has done so far: see `WriteThroughStorage.unit`."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.thread = threading.get_ident()
        self._commit: Commit | None = None

    @property
    def commit(self) -> Commit:
        """The commit of everything the block changed and saw; known when the block has ended."""
        if self._commit is None:
            raise RuntimeError("a unit's commit is known when its block has ended")
        return self._commit


class Units:
    """The units of one database: at most one at a time, in the thread that holds memory's lock."""

    def __init__(self, memory: Memory, pending: Pending) -> None:
        self._memory = memory
        self._pending = pending
        self._current: Unit | None = None
        self._exclusive: int | None = None  # the thread inside `try_exclusive`

    def inside(self) -> Unit | None:
        """The unit that the calling thread is in."""
        unit = self._current
        return unit if unit is not None and unit.thread == threading.get_ident() else None

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """A block of changes; inside another one it joins that."""
        if (current := self.inside()) is not None:
            yield current
            return
        if self._exclusive != threading.get_ident():
            self._pending.wait_for_room()
        with self._memory.lock:
            self._memory.check()
            unit = self._current = Unit()
            try:
                yield unit
            except BaseException:
                unit.changes.undo(self._memory)
                raise
            else:
                add, committed = self._pending.add, self._pending.committed
                unit._commit = add(unit.changes) if unit.changes else committed()
            finally:
                self._current = None

    def change(self, edit: Callable[[Changes, *Arguments], Result], *args: *Arguments) -> Result:
        """Make an edit, in a unit of its own if the thread is in none; do not wait for its commit."""
        if (current := self.inside()) is not None:
            return edit(current.changes, *args)
        with self.unit() as unit:
            return edit(unit.changes, *args)

    def write(self, edit: Callable[[Changes, *Arguments], Result], *args: *Arguments) -> Result:
        """Make an edit in a unit of its own and wait for its commit; inside a unit, only make it."""
        if (current := self.inside()) is not None:
            return edit(current.changes, *args)
        while True:
            with self.unit() as unit:
                result = edit(unit.changes, *args)
            try:
                unit.commit.result()
            except Superseded:
                continue  # it was based on what another process has changed since
            return result

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """See `WriteThroughStorage.try_exclusive`."""
        if self._pending.is_full or not self._memory.lock.acquire(blocking=False):
            yield False
            return
        # Another thread, or the block itself, may fill the queue now. The block must not wait for room:
        # only the writer makes some, and needs the lock for that.
        self._exclusive = threading.get_ident()
        try:
            yield True
        finally:
            self._exclusive = None
            self._memory.lock.release()
