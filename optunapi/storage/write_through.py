"""`open_storage(url)`: studies in memory, written through to Optuna's tables."""

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Unpack

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from optunapi.storage.commits import Commit
from optunapi.storage.encoding import Distributions
from optunapi.storage.errors import (
    CLOSED,
    SQLITE_ERRORS,
    DatabaseDamaged,
    StorageClosed,
    damaged,
    refusal_of,
)
from optunapi.storage.memory.editor import Editor
from optunapi.storage.memory.model import Memory
from optunapi.storage.memory.trials import TrialChanges
from optunapi.storage.pending import Pending
from optunapi.storage.reads import Reads
from optunapi.storage.tables.loading import UNREADABLE, Loader
from optunapi.storage.tables.sqlite import Database, log_kept, path_of
from optunapi.storage.units import Unit, Units
from optunapi.storage.writer import Writer

_open: dict[str, "WriteThroughStorage"] = {}  # by URL, with links resolved
_open_lock = threading.Lock()


def open_storage(url: str, *, create: bool = True) -> "WriteThroughStorage":
    """Open a database, `sqlite:///path/to/file.db`. This process becomes its owner.

    A file that is absent is created, with Optuna's schema, unless `create` is False.

    Raises:
        DatabaseOwned: another process has it open, or this one.
        DatabaseUnusable: it cannot be opened; the message says what to do.
    """
    with log_kept(path_of(url)):
        database = Database(url, create=create)
        try:
            storage = WriteThroughStorage(database)
        except BaseException:
            database.close()
            raise
    with _open_lock:
        _open[storage.url] = storage
    return storage


def _opened_here(url: str) -> "WriteThroughStorage":
    """What unpickling returns: the storage that this process has open for the URL, or opens now."""
    with _open_lock:
        storage = _open.get(url)
    return storage or open_storage(url, create=False)


class WriteThroughStorage(Reads, BaseStorage):
    """An `optuna.storages.BaseStorage` that reads from memory and writes in groups. Thread-safe.

    **What is guaranteed**

    - *Durable when acknowledged.* When a writing method returns outside a unit, or a `Commit`
      resolves, the change is on disk (SQLite in WAL mode, synchronous=FULL). It survives the end of
      the process and, as far as the disk keeps its promises, of the machine.
    - *All or nothing.* What a thread changes within `with storage.unit() as unit:` is committed
      together, in the order in which units end. If the block raises, nothing has happened.
    - *Refused means it has not happened.* If a commit fails, every unit that is not committed raises
      StorageUnavailable, and memory is put back to what the database holds. Every call then raises
      StorageUnavailable until the database can be written again, which is tried until it succeeds.
      (A refused unit can have reached the disk before the failure was reported. If so, memory shows
      it once service resumes. A caller that was refused should therefore look before it tries again.)
    - *Numbers have no gaps.* A trial's number is its place in its study; the number of a refused trial
      is given to the next one. Database ids may skip.
    - *Others may write too.* What another Optuna process or a dashboard commits to the same file is
      taken in before our next commit, and within about a second when nothing is written here. If a
      pending unit is based on something they changed, all pending units are refused with Superseded.
      Doing them again then succeeds, however busy the others are. Writing methods outside a unit do
      so by themselves. Neither side's rows are overwritten unseen.
    - *A file that is removed or replaced closes the storage.* Nothing is acknowledged that was written
      to such a file. Opening it again finds what is in its place.
    - *Snapshots.* A trial that was read never changes. `deepcopy=True` returns one that may be changed.
    - *Equal after reopening.* Values are kept as the database returns them: attributes as JSON does,
      numbers as Python's float and int.

    **What is not**

    - Reads show pending changes, which may still be refused. Before something that was read is shown
      to a client, wait for the commit of a unit around the read, even an empty one: it covers
      everything that was seen. `committed()` outside a unit covers what is pending when it is called.
    - A unit's block holds the lock that every other call on this database needs. Keep it short, without
      I/O, waiting for other threads, or `await`. A unit inside a unit joins it; its failure undoes
      nothing unless it leaves the outer block.
    - What others do is seen late, between commits; until then decisions are based on the older state.
      A finished trial that another process changes against Optuna's rules is not seen before the next
      opening, nor is a row changed by hand.
    - One process at a time, on one machine: see `optunapi.storage.tables.ownership`. The storage must
      not be used after a fork.
    - NaN as an objective's value is refused with ValueError, since Optuna could not read it again.

    A study with a row that cannot be read raises StorageUnavailable, which names table and row, until
    the database is opened again. The other studies of the database are served.

    Methods raise, besides what BaseStorage says: StorageUnavailable as above; StorageClosed after
    `close`; TypeError or ValueError for what the database cannot hold.
    """

    def __init__(self, database: Database) -> None:
        self.url = database.url
        self._database = database
        self._memory = memory = Memory()
        distributions = Distributions()
        connection = database.connect()
        try:
            connection.begin(write=False)
            memory.reset(*Loader(database.statements, distributions).everything(connection))
            connection.rollback()
            pending = Pending(memory)
            self._writer = Writer(database, connection, memory, pending, distributions)
        except SQLITE_ERRORS as error:
            connection.close()
            raise refusal_of(database.name, error, "cannot be read") from error
        except UNREADABLE as error:  # what is there is of other kinds than Optuna writes
            connection.close()
            raise damaged(database.name, str(error)) from error
        except BaseException:
            connection.close()
            raise
        self._pending = pending
        self._units = Units(memory, pending)
        self._editor = Editor(memory, distributions)

    def __reduce__(self) -> tuple[Callable[[str], "WriteThroughStorage"], tuple[str]]:
        return _opened_here, (self.url,)

    def close(self) -> None:
        """Write what is pending and give up the database, which is then a single file again.

        A second call does nothing. Any other call during or after it raises StorageClosed.
        """
        if self._units.inside():
            raise RuntimeError("a storage cannot be closed inside one of its units")
        with self._memory.lock:
            self._memory.refuse(StorageClosed(CLOSED))
        self._writer.close()
        with _open_lock:
            if _open.get(self.url) is self:
                del _open[self.url]
            self._database.close()

    # Units and commits

    def unit(self) -> AbstractContextManager[Unit]:
        """A block whose changes happen together or not at all; see the class for its rules.

        Its `commit`, known when the block has ended, is awaited or waited for with `result()`.
        """
        return self._units.unit()

    def try_exclusive(self) -> AbstractContextManager[bool]:
        """Whether units can be made here without waiting, for a lock or for room in the queue.

        If so, every other thread waits until the block ends: keep it as short as a unit.
        """
        return self._units.try_exclusive()

    def one_commit(self) -> AbstractContextManager[None]:
        """A block whose units, those of this thread, go to the database with one commit.

        The commit is made when the block ends: do not wait for it inside.
        """
        return self._pending.one_commit()

    def committed(self) -> Commit:
        """The commit of everything that is pending now."""
        return self._pending.committed()

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first; at most some hundreds."""
        return self._writer.commit_seconds()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be read or written now; None if it can."""
        refusal = self._memory.refusal
        return None if refusal is None else refusal.detail

    @property
    def is_closed(self) -> bool:
        """Whether it can be used no more: by `close`, or because its file was removed or replaced."""
        return isinstance(self._memory.refusal, StorageClosed)

    @property
    def damage(self) -> DatabaseDamaged | None:
        """Why it was closed, if the database turned out to be damaged."""
        return self._writer.damage

    # Studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study; without a name it gets one that begins with `no-name-`."""
        name = f"no-name-{uuid.uuid4()}" if study_name is None else study_name
        return self._units.write(self._editor.create_study, directions, name)

    def delete_study(self, study_id: int) -> None:
        """Delete a study and its trials."""
        self._units.write(self._editor.delete_study, study_id)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._units.write(self._editor.set_study_attr, study_id, "user", key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._units.write(self._editor.set_study_attr, study_id, "system", key, value)

    # Trials. Those returned are shared, and must not be changed.

    def add_trial(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """Add a trial with everything that the template holds; number and id are assigned here.

        Outside a unit it does not wait for the commit.

        Raises:
            KeyError: there is no such study.
            ValueError: a parameter's distribution is not compatible with the study's.
        """
        return self._units.change(self._editor.add_trial, study_id, template)

    def update_trial(self, trial_id: int, **new: Unpack[TrialChanges]) -> FrozenTrial:
        """Change one trial in one step; outside a unit it does not wait for the commit.

        Any state may follow an unfinished one. Unless the times are given, a trial that begins to run
        starts now, one that finishes is complete now, and one that goes back to waiting has no start.

        Raises:
            KeyError: there is no such trial.
            UpdateFinishedTrialError: it is finished. Then only user attributes may be set, and system
                attributes under `optunapi:` and `artifacts:` set or dropped.
            ValueError: a parameter's distribution is not compatible with the study's.
        """
        return self._units.change(self._editor.update_trial, trial_id, new)

    # For Optuna alone: BaseStorage demands these, and the engine does not call them.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a trial: the template, or one that runs from now on."""
        template = template_trial or create_trial(state=TrialState.RUNNING)
        return self._units.write(self._editor.add_trial, study_id, template)._trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set one parameter, given in its distribution's internal representation."""
        value = distribution.to_external_repr(param_value_internal)
        self._write_trial(
            trial_id, params={param_name: value}, distributions={param_name: distribution}
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set state and values; False, and nothing changed, for a running trial set to running."""

        def set_state(_: object) -> bool:
            _, trial = self._memory.trial(trial_id)
            if state == TrialState.RUNNING == trial.state:
                return False
            self.update_trial(trial_id, state=state, values=values)
            return True

        return self._units.write(set_state)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Report one value."""
        self._write_trial(trial_id, intermediate_values={step: intermediate_value})

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one attribute; a finished trial takes none, as Optuna has it."""

        def set_attr(_: object) -> None:
            _, trial = self._memory.trial(trial_id)
            self.check_trial_is_updatable(trial_id, trial.state)
            self.update_trial(trial_id, user_attrs={key: value})

        self._units.write(set_attr)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._write_trial(trial_id, system_attrs={key: value})

    def _write_trial(self, trial_id: int, **new: Unpack[TrialChanges]) -> None:
        self._units.write(self._editor.update_trial, trial_id, new)
