"""Units that wait for the writer, in groups that are committed together.

Units gather while a commit is under way, and go to the database together in the next one. So the number
of commits a second does not limit the number of units. Units are committed in the order in which they end.

A commit costs about as much as a hundred units do, so units that come close together share one. Units
that callbacks of an event loop make wait until the loop has nothing more to add, and those inside
`one_commit` until the end of the block. A unit of any other thread is due at once.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from optunapi.storage.commits import Commit, committed
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory

MAX_PENDING = 4096  # units; beyond it, a thread waits before it makes another one
QUIET_TURNS = 3  # turns an event loop takes from a request's arrival to its unit
GATHER_SECONDS = 0.005  # how long a busy event loop may add to a group


class Group:
    """Units that go to the database with one commit."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.n_units = 0
        self.is_due = False  # the writer has been woken for it
        self.is_gathering = False  # an event loop will wake the writer
        self.commit = Commit()


class Pending:
    """The group that is being filled, and the one that is being written.

    Memory's lock guards both, since the order of the units is the order of the changes to memory.
    """

    def __init__(self, memory: Memory) -> None:
        self.filling = Group()
        self.writing: Group | None = None
        self._memory = memory
        self._last = committed()
        self._together: set[int] = set()  # threads inside `one_commit`
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self.start_writer: Callable[[], None] = lambda: None  # if no thread waits

    # For units, from any thread

    @property
    def is_full(self) -> bool:
        """Whether the next unit has to wait for room."""
        return self.filling.n_units >= MAX_PENDING

    def wait_for_room(self) -> None:
        """Wait until there is room for another unit; memory's lock must not be held.

        The limit may be exceeded by one unit per thread.
        """
        while self.is_full:
            self._make_due(filling := self.filling)
            (self.writing or filling).commit.wait()

    def add(self, changes: Changes) -> Commit:
        """Add what was just done to memory, whose lock is held."""
        group = self.filling
        group.changes.merge(changes)
        group.n_units += 1
        if not group.is_due and threading.get_ident() not in self._together:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._make_due(group)
            else:
                if not group.is_gathering:
                    group.is_gathering = True
                    loop.call_soon(self._gather, loop, group, loop.time() + GATHER_SECONDS)
        self._last = group.commit
        return group.commit

    @contextmanager
    def one_commit(self) -> Iterator[None]:
        """Let the units that this thread makes inside the block go to the database in one group."""
        thread = threading.get_ident()
        self._together.add(thread)
        try:
            yield
        finally:
            self._together.discard(thread)
            with self._memory.lock:
                if self.filling.n_units:
                    self._make_due(self.filling)

    def committed(self) -> Commit:
        """The commit of everything added so far."""
        return self._last

    # For the writer

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to do; False if there was nothing within `seconds`."""
        try:
            self._wakes.get(timeout=seconds)
        except Empty:
            return False
        return True

    def wake(self) -> None:
        """End the writer's `wait`; start the writer if it is at rest."""
        self._wakes.put(None)
        self.start_writer()

    @property
    def is_woken(self) -> bool:
        """Whether the next `wait` would end at once."""
        return not self._wakes.empty()

    def take(self) -> Group:
        """Begin to write what is pending. Memory's lock is held."""
        group, self.filling = self.filling, Group()
        self.writing = group if group.n_units else None
        return group

    def refuse(self) -> Group:
        """Undo in memory the group that is being filled. Memory's lock is held."""
        group, self.filling = self.filling, Group()
        self._last = committed()
        self._undo(group)
        return group

    def refuse_all(self) -> list[Group]:
        """Undo in memory all that is not committed, the latest first. Memory's lock is held."""
        refused = [self.refuse()]
        if (writing := self.writing) is not None:
            self._undo(writing)
            refused.append(writing)
            self.writing = None
        return refused

    def _undo(self, group: Group) -> None:
        for study in group.changes.undo(self._memory):
            self._memory.mark_reloaded(study)

    def _make_due(self, group: Group) -> None:
        if not group.is_due:
            group.is_due = True
            self.wake()

    def _gather(
        self,
        loop: asyncio.AbstractEventLoop,
        group: Group,
        deadline: float,
        seen: int = 0,
        quiet: int = 0,
    ) -> None:
        """Check at every turn of the loop whether the group still grows."""
        if group.is_due or group is not self.filling:
            return
        quiet = quiet + 1 if group.n_units == seen else 0
        if quiet >= QUIET_TURNS or loop.time() >= deadline:
            self._make_due(group)
        else:
            loop.call_soon(self._gather, loop, group, deadline, group.n_units, quiet)
