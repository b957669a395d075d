"""Writing to a database: what is pending is committed, and what others wrote is taken in.

A database has a thread of its own while it is written to, so that no other one waits for a slow disk or
a lock. At rest it has none: `Watcher` looks whether others wrote.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from optunapi.errors import StorageClosed, StorageUnavailable
from optunapi.storage.encoding import Distributions
from optunapi.storage.errors import DatabaseDamaged, Superseded, damage_of
from optunapi.storage.foreign_writes import apply, conflicts, expectation, find
from optunapi.storage.memory.model import Memory
from optunapi.storage.pending import Group, Pending
from optunapi.storage.tables.loading import Loader
from optunapi.storage.tables.saving import save
from optunapi.storage.tables.sqlite import Connection, Database
from optunapi.storage.watcher import LOOK_SECONDS, Watcher
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import (
    DatabaseFailed,
    DatabaseGone,
    DatabaseRecovered,
    DatabaseStillFails,
)

RETRY_SECONDS = (0.1, 1.0)  # between attempts to get a failing database back: first, longest
HOLD_SECONDS = (
    0.05,
    2.0,
)  # how long others are kept from writing for refused callers: first, longest
OTHERS_SECONDS = 5.0  # how long another process that wrote is expected to write again
MAX_YIELD_SECONDS = 0.02  # the longest wait between two groups for such a process
REMEMBERED_COMMITS = 512

logger = logging.getLogger(__name__)
_watcher = Watcher()


class Writer:
    """The thread, and the connection that is its own. Everything public may be called from any thread.

    Who has the turn may use the connection: the thread, while there is one; for a moment the watcher; in
    the end `close`.
    """

    def __init__(
        self,
        database: Database,
        connection: Connection,
        memory: Memory,
        pending: Pending,
        distributions: Distributions,
    ) -> None:
        self._database = database
        self._connection = connection
        self._memory = memory
        self._pending = pending
        self._distributions = distributions
        self._loader = Loader(database.statements, distributions)
        self._refused_in_a_row = 0
        self._others_until = 0.0
        self._last_seconds = 0.0
        self._seconds: deque[float] = deque(maxlen=REMEMBERED_COMMITS)
        self.damage: DatabaseDamaged | None = None
        self._closing = threading.Event()
        self._turn = threading.Condition()
        self._is_taken = False
        self._is_closed = False
        pending.start_writer = self._start
        _watcher.add(self._glance)

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first."""
        with self._memory.lock:
            return list(self._seconds)

    def close(self) -> None:
        """Write what is pending, end the thread, and close the connection."""
        _watcher.remove(self._glance)
        self._closing.set()
        self._pending.wake()
        with self._turn:
            self._turn.wait_for(lambda: self._is_closed or not self._is_taken)
            if self._is_closed:
                return
            self._is_taken = True
        while self._pending.filling.n_units:
            self._act(self._write)
        if not self._is_closed:
            self._finish()
        with self._turn:
            self._turn.notify_all()

    def _start(self) -> None:
        """Start a thread unless somebody has the turn: who has it looks for work at its end."""
        with self._turn:
            if self._is_taken or self._closing.is_set():
                return
            self._is_taken = True
        try:
            name = f"writer of {self._database.name}"
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the system has no thread left: the watcher tries again
            with self._turn:
                self._is_taken = False
                self._turn.notify_all()

    def _run(self) -> None:
        """Write until there has been nothing to write for a while."""
        while True:
            woken = self._pending.wait(LOOK_SECONDS)
            if self._pending.filling.n_units:
                self._act(self._write)
            elif not woken or self._has_news():
                self._act(self._look)
            if (not woken or self._closing.is_set()) and self._ends_turn():
                return

    def _ends_turn(self) -> bool:
        with self._turn:
            # Who adds a unit wakes this thread, and starts none while it has the turn. So either the wake is
            # seen here, or the turn is seen to be free there.
            if self._pending.is_woken and not self._closing.is_set():
                return False
            self._is_taken = False
            self._turn.notify_all()
            return True

    def _glance(self) -> None:
        """Start a thread if others wrote, or if there is work and none could be started."""
        with self._turn:
            if self._is_taken:
                return
            self._is_taken = True
        has_work = self._has_news() or self._pending.filling.n_units
        with self._turn:
            self._is_taken = False
            self._turn.notify_all()
        if has_work or self._pending.is_woken:
            self._pending.wake()

    def _has_news(self) -> bool:
        """Whether there is something to look at: others wrote, or the file is not what it was."""
        try:
            self._database.check(self._connection)
            return self._connection.is_outdated()
        except Exception:
            return True  # `_look` meets it again, and deals with it

    def _act(self, act: Callable[[], None]) -> None:
        try:
            try:
                act()
            except sqlite3.Error:
                self._database.check(self._connection)  # the file may be gone or overwritten
                raise
        except StorageClosed as error:
            self._give_up(error)
        except Exception as error:  # whatever it is, no caller may be left waiting
            self._fail(error)

    def _write(self) -> None:
        """Commit one group."""
        if time.monotonic() < self._others_until:
            # Others wait for SQLite's lock with ever longer sleeps, and would hardly ever find it free
            # between two groups: leave it free for as long as we had it.
            time.sleep(min(self._last_seconds, MAX_YIELD_SECONDS))
        changed = self._connection.begin(write=True)
        began = time.monotonic()
        if changed:
            self._others_until = began + OTHERS_SECONDS
        if changed and not self._take_in_foreign_writes(set()):
            # Others cannot write before this transaction ends. Callers that were just refused get the
            # chance to repeat their work on what is known now; else a busy process could have them
            # refused for ever.
            self._hold()
        with self._memory.lock:
            group = self._pending.take()
            difference = group.changes.difference(self._memory)
        save(self._connection, self._database.statements, self._distributions, difference)
        self._database.check(self._connection)
        self._connection.commit()
        self._last_seconds = time.monotonic() - began
        # It may have gone since then, which has to be found out before anything is acknowledged.
        self._database.check(self._connection)
        with self._memory.lock:
            self._pending.writing = None
            if group.n_units:
                self._seconds.append(self._last_seconds)
        self._refused_in_a_row = 0
        group.commit.resolve()

    def _look(self) -> None:
        """Take in what others wrote, with nothing of our own to write."""
        if self._connection.begin(write=False):
            self._take_in_foreign_writes(set())
        self._connection.rollback()
        self._database.check(self._connection)

    def _take_in_foreign_writes(self, suspects: set[int]) -> bool:
        """Bring memory up to the connection's transaction; False if that refused what was pending.

        `suspects` are trials that may differ from the database although nobody else wrote.
        """
        with self._memory.lock:
            expected = expectation(self._memory, self._pending.filling.changes, suspects)
        found = find(self._connection, self._loader, expected)
        with self._memory.lock:
            refused = None
            if conflicts(found, self._pending.filling.changes):
                refused = self._pending.refuse()
            apply(found, self._memory, self._pending.filling.changes)
        if refused is not None:
            reason = Superseded("the study was changed by another process: try again")
            refused.commit.resolve(reason)
        return refused is None

    def _hold(self) -> None:
        """Wait for a unit with the transaction open, so that no other process writes meanwhile."""
        first, longest = HOLD_SECONDS
        deadline = time.monotonic() + min(longest, first * 2**self._refused_in_a_row)
        self._refused_in_a_row += 1
        while not self._pending.filling.n_units and (left := deadline - time.monotonic()) > 0:
            self._pending.wait(left)

    def _fail(self, error: Exception) -> None:
        """Refuse everything that is not committed, and find out what the database holds."""
        name = self._database.name
        if self._is_damaged(error):
            return
        is_known = isinstance(error, (sqlite3.Error, OSError))
        emit(DatabaseFailed(database=name, reason=str(error)), error=None if is_known else error)
        text = error.strerror if isinstance(error, OSError) else error  # without the file's path
        refusal = StorageUnavailable(
            f"the study's database cannot be written now: {text}", retry_after=RETRY_SECONDS[1]
        )
        refused = self._refuse_all(refusal)
        suspects = {trial_id for group in refused for trial_id in group.changes.trials}
        seconds, longest = RETRY_SECONDS
        read_all = False
        while not self._closing.wait(seconds):
            seconds = min(longest, 2 * seconds)
            try:
                self._database.check_place()
                self._recover(None if read_all else suspects)
            except StorageClosed as gone:
                self._give_up(gone)
            except Exception as again:
                if not self._is_damaged(again):
                    read_all = True  # how far it came is unknown
                    emit(DatabaseStillFails(database=name, reason=str(again)))
            else:
                emit(DatabaseRecovered(database=name))
                return

    def _is_damaged(self, error: Exception) -> bool:
        """Give the database up if the error tells that it is damaged.

        Another attempt may succeed, since it reads or writes other pages: it is no sign that all is well.
        """
        self.damage = damage_of(self._database.name, error)
        if self.damage is not None:
            self._give_up(StorageClosed(self.damage.detail))
        return self.damage is not None

    def _recover(self, suspects: set[int] | None) -> None:
        """Get a new connection that can commit, and make memory equal to the database.

        Only the suspects and what others may have changed are compared; with None all is read again.
        """
        self._connection.close()
        self._connection = self._database.connect()
        if suspects is None:
            # Read before anything is written: it may be damaged.
            self._connection.begin(write=False)
            everything = self._loader.everything(self._connection)
            self._connection.rollback()
            with self._memory.lock:
                self._memory.reset(*everything)
        self._database.flush(self._connection)
        self._connection.begin(write=True)
        self._take_in_foreign_writes(suspects or set())
        self._connection.execute(self._database.statements.rewrite_version, [()])
        self._connection.commit()
        with self._memory.lock:
            self._memory.refuse(None)

    def _refuse_all(self, refusal: StorageUnavailable) -> list[Group]:
        """Refuse all that is not committed, and every read; return what was pending."""
        with self._memory.lock:
            self._memory.refuse(refusal)
            refused = self._pending.refuse_all()
        for group in refused:
            group.commit.resolve(refusal)
        return refused

    def _give_up(self, reason: StorageClosed) -> None:
        """Close a database whose file is gone: a new look for its studies finds what is there now."""
        emit(DatabaseGone(database=self._database.name, reason=reason.detail))
        self._refuse_all(reason)
        self._closing.set()
        _watcher.remove(self._glance)
        # A file that was moved gets all that was acknowledged, and one that is put in its place finds no log
        # of another.
        self._finish()
        self._database.close()

    def _finish(self) -> None:
        """Move the log into the file, and close the connection."""
        try:
            self._connection.rollback()
            if self._connection.is_overwritten():
                self._connection.drop_log()
            else:
                self._database.flush(self._connection)
        except Exception as error:  # what is committed is safe: the next opening reads the log
            logger.warning("%s: its log stays beside it: %s", self._database.name, error)
        self._connection.close()
        self._is_closed = True
