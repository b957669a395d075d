"""The one thread that writes to a database: takes what is pending, commits it, tells who waits.

Units gather while a commit is under way and go to the database together in the next one, so the
number of commits a second bounds nobody. The order of the commits is the order of the units.

A commit costs about as much as a hundred units do, so those that come close together share one: the
units of an event loop's callbacks wait until the loop has nothing more to add, those within
`together` for the end of the block. A unit of any other thread is taken at once.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Literal

from optunapi.errors import StorageUnavailable
from optunapi.storage import foreign_writes as outside
from optunapi.storage.commits import Commit, committed
from optunapi.storage.encoding import Distributions
from optunapi.storage.errors import CLOSED, DatabaseUnusable, StorageClosed, Superseded
from optunapi.storage.memory.changes import Changes
from optunapi.storage.memory.model import Memory
from optunapi.storage.tables.loading import Loader
from optunapi.storage.tables.saving import save
from optunapi.storage.tables.sqlite import Database, Session

MAX_PENDING = 4096  # units; who comes next waits in its thread
LOOK_SECONDS = 1.0  # how often an idle database is looked at for what others wrote
RETRY_SECONDS = (0.1, 1.0)  # between attempts to get a failing database back: first, most
HOLD_SECONDS = (0.05, 2.0)  # how long refused callers may keep others from writing: first, most
COMPANY_SECONDS = 5.0  # how long others who wrote are expected to write again
MAX_YIELD_SECONDS = 0.02
REMEMBERED_COMMITS = 512
QUIET_TURNS = 3  # from a request's arrival to its unit it takes an event loop so many turns
GATHER_SECONDS = 0.005  # how long a busy event loop may add to a group

logger = logging.getLogger(__name__)

Wake = Literal["work", "look", "close"]


class _Batch:
    """Units that go to the database together."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.units = 0
        self.is_due = False  # the thread has been woken for it
        self.is_gathering = False  # an event loop will see to that
        self.commit = Commit()


class Writer:
    """Owns the session. Everything public may be called from any thread."""

    def __init__(
        self,
        database: Database,
        session: Session,
        memory: Memory,
        distributions: Distributions,
    ) -> None:
        self._database = database
        self._session = session
        self._memory = memory
        self._distributions = distributions
        self._loader = Loader(database.statements, distributions)
        self._wakes: SimpleQueue[Wake] = SimpleQueue()
        # The batches are guarded by the memory's lock: their order is that of the changes.
        self._filling = _Batch()
        self._writing: _Batch | None = None
        self._together: set[int] = set()  # threads
        self._looks: list[Commit] = []
        self._looking: list[Commit] = []  # those that the transaction under way answers
        self._last = committed()
        self._refused_in_a_row = 0
        self._company_until = 0.0
        self._held_for = 0.0
        self._durations: deque[float] = deque(maxlen=REMEMBERED_COMMITS)
        self._closing = threading.Event()
        self._name = database.url.rsplit("/", 1)[-1]
        self._thread = threading.Thread(
            target=self._run, name=f"writer of {self._name}", daemon=True
        )
        self._thread.start()

    def admit(self) -> None:
        """Wait until there is room for another unit; not to be called with the memory's lock held.

        The bound is loose by one unit per thread.
        """
        while self.is_full:
            self._make_due(filling := self._filling)
            (self._writing or filling).commit.wait()

    def submit(self, changes: Changes) -> Commit:
        """Queue what was just done to memory, whose lock is held."""
        batch = self._filling
        batch.changes.merge(changes)
        batch.units += 1
        if not batch.is_due and threading.get_ident() not in self._together:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._make_due(batch)
            else:
                if not batch.is_gathering:
                    batch.is_gathering = True
                    loop.call_soon(self._gather, loop, batch, loop.time() + GATHER_SECONDS)
        self._last = batch.commit
        return batch.commit

    @property
    def is_full(self) -> bool:
        """Whether the next unit would have to wait for room."""
        return self._filling.units >= MAX_PENDING

    @contextmanager
    def one_commit(self) -> Iterator[None]:
        """Let what this thread submits inside the block go to the database in one group."""
        thread = threading.get_ident()
        self._together.add(thread)
        try:
            yield
        finally:
            self._together.discard(thread)
            with self._memory.lock:
                if self._filling.units:
                    self._make_due(self._filling)

    def _make_due(self, batch: _Batch) -> None:
        if not batch.is_due:
            batch.is_due = True
            self._wakes.put("work")

    def _gather(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: _Batch,
        deadline: float,
        seen: int = 0,
        quiet: int = 0,
    ) -> None:
        """Look again at every turn of the loop whether the group still grows."""
        if batch.is_due or batch is not self._filling:
            return
        quiet = quiet + 1 if batch.units == seen else 0
        if quiet >= QUIET_TURNS or loop.time() >= deadline:
            self._make_due(batch)
        else:
            loop.call_soon(self._gather, loop, batch, deadline, batch.units, quiet)

    def committed(self) -> Commit:
        """The commit of everything submitted so far."""
        return self._last

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first."""
        with self._memory.lock:
            return list(self._durations)

    def look(self) -> Commit:
        """Take in what others wrote until now."""
        with self._memory.lock:
            self._memory.check()
            commit = Commit()
            self._looks.append(commit)
            if len(self._looks) == 1:
                self._wakes.put("look")
            return commit

    def close(self) -> None:
        """Write what is pending and end the thread and the session."""
        self._closing.set()
        self._wakes.put("close")
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                wake: Wake = self._wakes.get(timeout=LOOK_SECONDS)
            except Empty:
                wake = "look"
            try:
                if self._filling.units:
                    self._write()
                elif wake == "look":
                    self._look()
            except Exception as error:  # whatever it was, nobody may be left waiting
                self._fail(error)
            if self._closing.is_set() and not self._filling.units:
                break
        self._finish()

    def _write(self) -> None:
        """Commit one group."""
        if time.monotonic() < self._company_until:
            # Others wait for SQLite's lock with ever longer sleeps, and would hardly ever find it
            # free between two groups: leave it free for as long as we had it.
            time.sleep(min(self._held_for, MAX_YIELD_SECONDS))
        changed = self._session.begin(write=True)
        began = time.monotonic()
        if changed:
            self._company_until = began + COMPANY_SECONDS
        if changed and not self._take_in_outside(set()):
            # Others cannot write before this transaction ends: those just refused get the chance
            # to do their work again on what is now known, or a busy outsider could refuse them
            # for ever.
            self._hold()
        with self._memory.lock:
            batch, self._filling = self._filling, _Batch()
            self._writing = batch if batch.units else None
            written = batch.changes.written(self._memory)
            self._looking, self._looks = self._looks, []  # nobody can have written since `begin`
        if batch.units:
            save(self._session, self._database.statements, self._distributions, written)
        self._session.commit()
        self._held_for = time.monotonic() - began
        self._check_place()
        with self._memory.lock:
            self._writing = None
            if batch.units:
                self._durations.append(self._held_for)
        self._refused_in_a_row = 0
        batch.commit.settle()
        self._answer_looks()

    def _look(self) -> None:
        """Take in what others wrote, with nothing of our own to write."""
        with self._memory.lock:
            self._looking, self._looks = self._looks, []
        if self._session.begin(write=False):
            self._take_in_outside(set())
        self._session.rollback()
        self._check_place()
        self._answer_looks()

    def _check_place(self) -> None:
        """What was written to a deleted file is not kept: find out before it is acknowledged."""
        if self._database.replaced():
            raise DatabaseUnusable("the database file was deleted or replaced")

    def _answer_looks(self, refusal: StorageUnavailable | None = None) -> None:
        answered, self._looking = self._looking, []
        for commit in answered:
            commit.settle(refusal)

    def _take_in_outside(self, suspects: set[int]) -> bool:
        """Bring memory up to the session's transaction; False if that refused what was pending."""
        with self._memory.lock:
            view = outside.believed(self._memory, self._filling.changes, suspects)
        found = outside.look(self._session, self._loader, view)
        with self._memory.lock:
            clean = not outside.conflicts(found, self._filling.changes)
            if not clean:
                batch = self._refuse_filling()
            outside.take_in(found, self._memory, self._filling.changes)
        if not clean:
            batch.commit.settle(Superseded("the study was changed by another process: try again"))
        return clean

    def _refuse_filling(self) -> _Batch:
        batch, self._filling = self._filling, _Batch()
        self._last = committed()
        self._undo(batch)
        return batch

    def _undo(self, batch: _Batch) -> None:
        for study in batch.changes.undo(self._memory):
            self._memory.reloaded(study)

    def _hold(self) -> None:
        first, most = HOLD_SECONDS
        deadline = time.monotonic() + min(most, first * 2**self._refused_in_a_row)
        self._refused_in_a_row += 1
        while not self._filling.units and (left := deadline - time.monotonic()) > 0:
            with suppress(Empty):
                self._wakes.get(timeout=left)

    def _fail(self, error: Exception) -> None:
        """Refuse all that is not committed, and find out what the database holds."""
        logger.error("%s: not committed, and refused: %s", self._name, error, exc_info=error)
        text = error.strerror if isinstance(error, OSError) else error  # without the file's path
        refusal = StorageUnavailable(
            f"the study's database cannot be written now: {text}", retry_after=RETRY_SECONDS[1]
        )
        with self._memory.lock:
            self._memory.refusal = refusal
            refused = [self._refuse_filling()]
            if (writing := self._writing) is not None:
                self._undo(writing)
                refused.append(writing)
                self._writing = None
            self._looking += self._looks
            self._looks = []
        for batch in refused:
            batch.commit.settle(refusal)
        self._answer_looks(refusal)
        suspects = {trial_id for batch in refused for trial_id in batch.changes.trials}
        wait, most = RETRY_SECONDS
        anew = self._database.replaced()
        while not self._closing.wait(wait):
            wait = min(most, 2 * wait)
            try:
                self._recover(None if anew else suspects)
            except Exception as again:
                anew = True  # who knows how far it came, and whether the file is still the same
                logger.warning("%s: still not available: %s", self._name, again)
            else:
                logger.warning("%s: available again", self._name)
                return

    def _recover(self, suspects: set[int] | None) -> None:
        """A new session that can commit, and memory equal to the database.

        Only what others may have changed and the suspects are compared; all is read anew if None.
        """
        self._session.close()
        self._session = self._database.connect()
        self._database.flush(self._session)
        self._session.begin(write=True)
        self._session.execute(self._database.statements.rewrite_version, [()])
        self._session.commit()
        self._session.begin(write=False)
        if suspects is None:
            everything = self._loader.everything(self._session)
            with self._memory.lock:
                self._memory.reset(*everything)
        else:
            self._take_in_outside(suspects)
        self._session.rollback()
        with self._memory.lock:
            self._memory.refusal = None

    def _finish(self) -> None:
        with self._memory.lock:
            self._looking += self._looks
        self._answer_looks(StorageClosed(CLOSED))
        try:
            self._session.rollback()
            self._database.flush(self._session)
        except Exception as error:  # committed is committed: the next opening reads the log
            logger.warning("%s: its log stays beside it: %s", self._name, error)
        self._session.close()
