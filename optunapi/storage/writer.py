"""The one thread that writes to a database: it commits what is pending, and notices that others wrote."""

import logging
import threading
import time
from collections import deque

from optunapi.errors import StorageUnavailable
from optunapi.storage.encoding import Distributions
from optunapi.storage.errors import Superseded
from optunapi.storage.foreign_writes import apply, conflicts, expectation, find
from optunapi.storage.memory.model import Memory
from optunapi.storage.pending import Pending
from optunapi.storage.tables.loading import Loader
from optunapi.storage.tables.saving import save
from optunapi.storage.tables.sqlite import Connection, Database
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import DatabaseFailed, DatabaseRecovered, DatabaseStillFails

LOOK_SECONDS = 1.0  # how often an idle database is checked for what others wrote
RETRY_SECONDS = (0.1, 1.0)  # between attempts to get a failing database back: first, longest
HOLD_SECONDS = (
    0.05,
    2.0,
)  # how long others are kept from writing for refused callers: first, longest
OTHERS_SECONDS = 5.0  # how long another process that wrote is expected to write again
MAX_YIELD_SECONDS = 0.02  # the longest wait between two groups for such a process
REMEMBERED_COMMITS = 512

logger = logging.getLogger(__name__)


class Writer:
    """The thread, and the connection that is its own. Everything public may be called from any thread."""

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
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"writer of {database.name}", daemon=True
        )
        self._thread.start()

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first."""
        with self._memory.lock:
            return list(self._seconds)

    def close(self) -> None:
        """Write what is pending, then end the thread and close the connection."""
        self._closing.set()
        self._pending.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set() or self._pending.filling.n_units:
            woken = self._pending.wait(LOOK_SECONDS)
            try:
                if self._pending.filling.n_units:
                    self._write()
                elif not woken:
                    self._look()
            except Exception as error:  # whatever it is, no caller may be left waiting
                self._fail(error)
        self._finish()

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
        self._connection.commit()
        self._last_seconds = time.monotonic() - began
        self._check_place()
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
        self._check_place()

    def _check_place(self) -> None:
        """What was written to a deleted file is lost: find out before it is acknowledged."""
        if self._database.replaced():
            raise StorageUnavailable("the database file was deleted or replaced")

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
        emit(DatabaseFailed(database=name, reason=str(error)), error=error)
        text = error.strerror if isinstance(error, OSError) else error  # without the file's path
        refusal = StorageUnavailable(
            f"the study's database cannot be written now: {text}", retry_after=RETRY_SECONDS[1]
        )
        with self._memory.lock:
            self._memory.refuse(refusal)
            refused = self._pending.refuse_all()
        for group in refused:
            group.commit.resolve(refusal)
        suspects = {trial_id for group in refused for trial_id in group.changes.trials}
        seconds, longest = RETRY_SECONDS
        read_all = self._database.replaced()
        while not self._closing.wait(seconds):
            seconds = min(longest, 2 * seconds)
            try:
                self._recover(None if read_all else suspects)
            except Exception as again:
                read_all = True  # how far it came is unknown, and the file may have been replaced
                emit(DatabaseStillFails(database=name, reason=str(again)))
            else:
                emit(DatabaseRecovered(database=name))
                return

    def _recover(self, suspects: set[int] | None) -> None:
        """Get a new connection that can commit, and make memory equal to the database.

        Only the suspects and what others may have changed are compared; with None all is read again.
        """
        self._connection.close()
        self._connection = self._database.connect()
        self._database.flush(self._connection)
        self._connection.begin(write=True)
        self._connection.execute(self._database.statements.rewrite_version, [()])
        self._connection.commit()
        self._connection.begin(write=False)
        if suspects is None:
            everything = self._loader.everything(self._connection)
            with self._memory.lock:
                self._memory.reset(*everything)
        else:
            self._take_in_foreign_writes(suspects)
        self._connection.rollback()
        with self._memory.lock:
            self._memory.refuse(None)

    def _finish(self) -> None:
        try:
            self._connection.rollback()
            self._database.flush(self._connection)
        except Exception as error:  # what is committed is safe: the next opening reads the log
            logger.warning("%s: its log stays beside it: %s", self._database.name, error)
        self._connection.close()
