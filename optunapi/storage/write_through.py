"""`open_storage(url)`: Optuna's storage interface over memory, writer and database."""

import copy
import threading
import uuid
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, TypeVar

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy  # what BaseStorage must return has no public name
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage.commits import Commit
from optunapi.storage.encoding import Distributions, normal_attrs, text
from optunapi.storage.errors import Superseded
from optunapi.storage.memory.changes import AttrsBefore
from optunapi.storage.memory.model import Memory, Study
from optunapi.storage.memory.ranking import losses
from optunapi.storage.memory.trials import changed_trial, new_trial, private_copy, running_trial
from optunapi.storage.tables.loading import Loader
from optunapi.storage.tables.sqlite import Database, Session, open_database
from optunapi.storage.units import Unit, Units
from optunapi.storage.writer import Writer

Result = TypeVar("Result")

# What may still be set of a finished trial: our own notes, and files that are kept with it.
LATE_PREFIXES = ("optunapi:", "artifacts:")

_open: dict[str, "WriteThroughStorage"] = {}  # by URL, with links resolved
_open_lock = threading.Lock()


def open_storage(url: str, *, create: bool = True) -> "WriteThroughStorage":
    """Open a database, `sqlite:///path/to/file.db`, of which this process becomes the owner.

    A file that is absent is made, with Optuna's schema, unless `create` is False.

    Raises:
        DatabaseOwned: another process has it open, or this one.
        DatabaseUnusable: it cannot be opened; the message says what to do.
    """
    database = open_database(url, create=create)
    try:
        storage = WriteThroughStorage(database, database.connect())
    except BaseException:
        database.close()
        raise
    with _open_lock:
        _open[storage.url] = storage
    return storage


class WriteThroughStorage(BaseStorage):
    """An `optuna.storages.BaseStorage` that reads from memory and writes in groups. Thread-safe.

    **What is guaranteed**

    - *Durable when acknowledged.* When a writing method returns outside a unit, or a `Commit`
      resolves, the change is on disk (SQLite in WAL mode, synchronous=FULL): it survives the end
      of the process and, as far as the disk keeps its promises, of the machine.
    - *All or nothing.* What a thread changes within `with storage.unit() as unit:` is committed
      together, in the order in which units end. If the block raises, nothing has happened.
    - *Refused means it has not happened.* If a commit fails, every unit not yet committed raises
      StorageUnavailable, memory is put back to what the database holds, and every call raises
      StorageUnavailable until the database can be written again, which is tried without end.
      (A refused unit can have reached the disk before the failure was reported; if so, memory shows
      it once service resumes. A caller who was refused therefore looks before doing it again.)
    - *Numbers have no gap.* A trial's number is its place in its study; a refused trial's number
      is given to the next. Database ids may skip.
    - *Others may write too.* What another Optuna process or a dashboard commits to the same file is
      taken in before our next commit, and within about a second when nothing is written here.
      Pending units that build on something they changed are refused with Superseded, with all
      that were pending: doing them again then succeeds, however busy the others are. Writing
      methods outside a unit do so by themselves. Rows of neither side are overwritten unseen.
    - *Snapshots.* A trial that was read never changes. `deepcopy=True` gives one to change.
    - *Equal after reopening.* Values are kept as the database gives them back: attributes as JSON
      does, numbers as Python's float and int.

    **What is not**

    - Reads show pending changes, which may still be refused. Before something read may be shown,
      wait for the commit of a unit around the read, even an empty one: it covers all that was seen.
      `committed()` outside a unit covers what is pending when it is called, and no more.
    - A unit's block holds the lock that every other call on this database needs: keep it short,
      without I/O, without waiting for other threads and without `await`. A unit inside a unit joins
      it; its failure undoes nothing unless it leaves the outer block.
    - What others do is seen late, between commits; until then decisions are made on the older state.
      A finished trial that another process changes against Optuna's rules is not seen before
      the next opening, nor is a row changed by hand.
    - One process at a time, one machine: see `optunapi.storage.tables.ownership`. It must not be used after
      a fork.
    - NaN as an objective's value is refused with ValueError, since Optuna could not read it again.

    A study with a row that cannot be read raises StorageUnavailable, naming table and row, until it
    is opened anew; the other studies of the database are served.

    Methods raise, besides what BaseStorage says: StorageUnavailable as above; StorageClosed after
    `close`; TypeError or ValueError for what the database cannot hold.
    """

    def __init__(self, database: Database, session: Session) -> None:
        self.url = database.url
        self._database = database
        self._memory = Memory()
        self._distributions = Distributions()
        session.begin(write=False)
        try:
            loader = Loader(database.statements, self._distributions)
            self._memory.reset(*loader.everything(session))
            session.rollback()
            self._writer = Writer(database, session, self._memory, self._distributions)
        except BaseException:
            session.close()
            raise
        self._units = Units(self._memory, self._writer)

    def __reduce__(self) -> tuple[Callable[[str], "WriteThroughStorage"], tuple[str]]:
        return _this_process_s, (self.url,)

    def close(self) -> None:
        """Write what is pending and give up the database, which is then a single file again.

        A second call does nothing. What is called during or after it raises StorageClosed.
        """
        if self._units.inside():
            raise RuntimeError("a storage cannot be closed inside one of its units")
        with self._memory.lock:
            self._memory.closed = True
        self._writer.close()
        with _open_lock:
            if _open.get(self.url) is self:
                del _open[self.url]
            self._database.close()

    # Units and commits

    def unit(self) -> Unit:
        """A block whose changes happen together or not at all; see the class for its rules.

        Its `commit`, known when the block has ended, is awaited or waited for with `result()`.
        """
        return self._units.unit()

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """Whether units can be made here without waiting, for a lock or for room in the queue.

        If so everybody else waits until the block ends: keep it as short as a unit.
        """
        if self._writer.is_full or not self._memory.lock.acquire(blocking=False):
            yield False
            return
        # Whoever filled the queue just before, or the block itself, it must not wait for room: only the
        # writer makes some, and needs the lock for it.
        self._units.holder = threading.get_ident()
        try:
            yield True
        finally:
            self._units.holder = None
            self._memory.lock.release()

    def one_commit(self) -> AbstractContextManager[None]:
        """A block whose units, this thread's, go to the database with one commit.

        It is made when the block ends: who waited for it inside would wait for long.
        """
        return self._writer.one_commit()

    def committed(self) -> Commit:
        """The commit of everything that is pending now."""
        return self._writer.committed()

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first; at most some hundreds."""
        return self._writer.commit_seconds()

    def refresh(self) -> Commit:
        """Resolves when memory has what others had committed before the call."""
        return self._writer.look()

    @property
    def unavailable(self) -> str | None:
        """Why nothing can be read or written now; None while all is well."""
        refusal = self._memory.refusal
        return None if refusal is None else refusal.detail

    # Studies

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study; without a name it gets one that begins with `no-name-`."""

        def create() -> int:
            name = text(f"no-name-{uuid.uuid4()}" if study_name is None else study_name)
            if name in self._memory.names:
                raise DuplicatedStudyError(f"There is a study named {name!r} already.")
            study = Study(self._memory.next_study_id, name, directions)
            self._units.changes.created[study.id] = study
            self._memory.add_study(study)
            return study.id

        return self._write(create)

    def delete_study(self, study_id: int) -> None:
        """Delete a study and its trials."""

        def delete() -> None:
            study = self._memory.studies.get(study_id) or self._memory.study(study_id)
            self._units.changes.deleted[study.id] = study
            self._memory.remove_study(study)

        self._write(delete)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._write(lambda: self.set_study_attrs(study_id, user_attrs={key: value}))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._write(lambda: self.set_study_attrs(study_id, system_attrs={key: value}))

    def set_study_attrs(
        self,
        study_id: int,
        *,
        user_attrs: Mapping[str, Any] | None = None,
        system_attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Set several attributes at once; outside a unit it does not wait for the commit."""
        user, system = normal_attrs(user_attrs or {}), normal_attrs(system_attrs or {})
        with self._units.unit():
            study = self._memory.study(study_id)
            before = AttrsBefore(study=study, user=study.user_attrs, system=study.system_attrs)
            before = self._units.changes.attrs.setdefault(study_id, before)
            before.user_keys |= user.keys()
            before.system_keys |= system.keys()
            study.user_attrs = study.user_attrs | user
            study.system_attrs = study.system_attrs | system
            self._memory.touch(study)

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of the study with this name."""
        with self._memory.lock:
            self._memory.check()
            if (study_id := self._memory.names.get(study_name)) is None:
                raise KeyError(f"No study named {study_name!r} exists.")
            return study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of the study with this id."""
        with self._memory.lock:
            return self._memory.study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The direction of each objective."""
        with self._memory.lock:
            return list(self._memory.study(study_id).directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that users set."""
        with self._memory.lock:
            return self._memory.study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that Optuna and OptunAPI set."""
        with self._memory.lock:
            return self._memory.study(study_id).system_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        """Every study that can be read, by ascending id."""
        with self._memory.lock:
            self._memory.check()
            studies = sorted(self._memory.studies.values(), key=lambda study: study.id)
            return [
                FrozenStudy(
                    study_name=study.name,
                    direction=None,
                    directions=study.directions,
                    user_attrs=copy.deepcopy(study.user_attrs),
                    system_attrs=copy.deepcopy(study.system_attrs),
                    study_id=study.id,
                )
                for study in studies
                if study.broken is None
            ]

    def version(self, study_id: int) -> int:
        """A number that rises with every change of the study."""
        with self._memory.lock:
            return self._memory.study(study_id).version

    def reloads(self, study_id: int) -> int:
        """A number that rises when the study changed without us: drop what was derived from it."""
        with self._memory.lock:
            return self._memory.study(study_id).reloads

    # Writing trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Add a trial: the template, or one that runs from now on."""
        template = template_trial or running_trial(datetime.now())
        return self._write(lambda: self.add_trial(study_id, template)._trial_id)

    def add_trial(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """Add a trial with all that the template holds; outside a unit it does not wait.

        Its number and id are given here.

        Raises:
            KeyError: there is no such study.
            ValueError: a parameter's distribution does not go with the study's.
        """
        memory = self._memory
        with self._units.unit():
            study = memory.study(study_id)
            trial = new_trial(
                template, len(study.trials), memory.next_trial_id, self._distributions
            )
            self._learn(study, trial.distributions)
            self._units.changes.trials[trial._trial_id] = (study, None)
            memory.append(study, trial)
            return trial

    def update_trial(
        self,
        trial_id: int,
        *,
        state: TrialState | None = None,
        values: Sequence[float] | None = None,
        params: Mapping[str, Any] | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
        intermediate_values: Mapping[int, float] | None = None,
        clear_intermediate_values: bool = False,
        user_attrs: Mapping[str, Any] | None = None,
        system_attrs: Mapping[str, Any] | None = None,
        drop_system_attrs: Collection[str] = (),
        datetime_start: datetime | None = None,
        datetime_complete: datetime | None = None,
    ) -> FrozenTrial:
        """Change one trial in one step; outside a unit it does not wait for the commit.

        Mappings are merged into what the trial has; `drop_system_attrs` go first. Any state may
        follow an unfinished one. Unless the times are given, a trial that begins to run starts now,
        one that finishes ends now, and one that goes back to waiting has no start.

        Raises:
            KeyError: there is no such trial.
            UpdateFinishedTrialError: it is finished; only system attributes under `optunapi:`
                and `artifacts:` may then be set or dropped.
            ValueError: a parameter's distribution does not go with the study's.
        """
        with self._units.unit():
            study, trial = self._locate(trial_id)
            if trial.state.is_finished() and (
                state is not None
                or values is not None
                or params
                or intermediate_values
                or clear_intermediate_values
                or user_attrs
                or datetime_start is not None
                or datetime_complete is not None
                or not (system_attrs or drop_system_attrs)
                or not all(
                    k.startswith(LATE_PREFIXES) for k in (*(system_attrs or ()), *drop_system_attrs)
                )
            ):
                raise UpdateFinishedTrialError(
                    f"Trial#{trial.number} has already finished and can not be updated."
                )
            start = datetime_start or trial.datetime_start
            complete = datetime_complete or trial.datetime_complete
            if state is not None and state != trial.state:
                if state == TrialState.RUNNING:
                    start = datetime_start or datetime.now()
                elif state == TrialState.WAITING:
                    start = datetime_start
                else:
                    complete = datetime_complete or datetime.now()
            changed = changed_trial(
                trial,
                self._distributions,
                state=trial.state if state is None else state,
                values=values,
                params=params or {},
                distributions=distributions or {},
                intermediate_values=intermediate_values or {},
                clear_intermediate_values=clear_intermediate_values,
                user_attrs=user_attrs or {},
                system_attrs=system_attrs or {},
                drop_system_attrs=drop_system_attrs,
                datetime_start=start,
                datetime_complete=complete,
            )
            if distributions:
                self._learn(study, changed.distributions)
            self._units.changes.trials.setdefault(trial_id, (study, trial))
            self._memory.replace(study, changed)
            return changed

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set one parameter, given in its distribution's internal representation."""

        def set_param() -> None:
            _, trial = self._locate(trial_id)
            self.check_trial_is_updatable(trial_id, trial.state)
            value = distribution.to_external_repr(param_value_internal)
            self.update_trial(
                trial_id, params={param_name: value}, distributions={param_name: distribution}
            )

        self._write(set_param)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set state and values; False, and nothing changed, for a running trial set to running."""

        def set_state() -> bool:
            _, trial = self._locate(trial_id)
            self.check_trial_is_updatable(trial_id, trial.state)
            if state == TrialState.RUNNING and trial.state != TrialState.WAITING:
                return False
            self.update_trial(trial_id, state=state, values=values)
            return True

        return self._write(set_state)

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Report one value."""
        reports = {step: intermediate_value}
        self._write(lambda: self.update_trial(trial_id, intermediate_values=reports))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._write(lambda: self.update_trial(trial_id, user_attrs={key: value}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set one attribute."""
        self._write(lambda: self.update_trial(trial_id, system_attrs={key: value}))

    # Reading trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial with this id; an unfinished one with dicts of its own, since Optuna writes there."""
        with self._memory.lock:
            _, trial = self._locate(trial_id)
        return trial if trial.state.is_finished() else private_copy(trial)

    def trial(self, study_id: int, number: int) -> FrozenTrial:
        """The trial with this number, shared: it must not be changed; KeyError if there is none."""
        with self._memory.lock:
            trials = self._memory.study(study_id).trials
            if not 0 <= number < len(trials):
                raise KeyError(f"No trial with number {number} exists in study {study_id}.")
            return trials[number]

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """The id of the trial with this number."""
        return self.trial(study_id, trial_number)._trial_id

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials in the order of their numbers, in one of the states; shared unless copied."""
        with self._memory.lock:
            study = self._memory.study(study_id)
            if states is None:
                trials = list(study.trials)
            elif any(state in states for state in TrialState if state.is_finished()):
                trials = [trial for trial in study.trials if trial.state in states]
            else:
                trials = [study.trials[n] for n in study.open if study.trials[n].state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def trials_from(self, study_id: int, start_number: int, limit: int) -> list[FrozenTrial]:
        """At most `limit` trials from this number on, shared."""
        with self._memory.lock:
            start = max(0, start_number)
            return self._memory.study(study_id).trials[start : start + max(0, limit)]

    def trials_by_value(
        self,
        study_id: int,
        *,
        descending: bool = False,
        after: FrozenTrial | None = None,
        limit: int = 100,
    ) -> list[FrozenTrial]:
        """At most `limit` complete trials in the order of their values, shared; indexed.

        `after` continues behind a trial. Of equal values the lower number comes first from best to
        worst, and last from worst to best. Feasible or not, but without NaN.

        Raises:
            RuntimeError: the study has several objectives.
        """
        with self._memory.lock:
            study = self._memory.study(study_id)
            if len(study.directions) > 1:
                raise RuntimeError("Trials have an order by value only with a single objective.")
            edge = None
            if after is not None and (loss := losses(after, study.directions)) is not None:
                edge = (loss, after.number)
            numbers = study.standings.by_value(descending=descending, after=edge, limit=limit)
            return [study.trials[number] for number in numbers]

    def distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """The first seen of this parameter, which those of all trials are compatible with."""
        with self._memory.lock:
            return self._memory.study(study_id).distributions.get(name)

    def counts(self, study_id: int) -> dict[TrialState, int]:
        """How many trials are in each state; kept, not counted."""
        with self._memory.lock:
            return dict(self._memory.study(study_id).counts)

    def n_trials(self, study_id: int) -> int:
        """How many trials there are: the next one's number."""
        with self._memory.lock:
            return len(self._memory.study(study_id).trials)

    def get_n_trials(
        self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None
    ) -> int:
        """How many trials there are in one of the states."""
        states = (
            TrialState if state is None else {state} if isinstance(state, TrialState) else state
        )
        return sum(count for each, count in self.counts(study_id).items() if each in states)

    def open_trials(self, study_id: int) -> list[FrozenTrial]:
        """The waiting and the running trials in the order of their numbers, shared; kept."""
        with self._memory.lock:
            study = self._memory.study(study_id)
            return [study.trials[number] for number in study.open]

    def best_trials(self, study_id: int) -> list[FrozenTrial]:
        """The best feasible complete trial, if there is one; the Pareto front for several objectives.

        In the order of their numbers, shared; kept. Of equal ones the first is the best.
        """
        with self._memory.lock:
            study = self._memory.study(study_id)
            return [study.trials[number] for number in study.standings.best()]

    def best_trial(self, study_id: int) -> FrozenTrial | None:
        """The best feasible complete trial, for several objectives the first of the Pareto front."""
        return next(iter(self.best_trials(study_id)), None)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best complete trial, feasible or not: Optuna asks further when it is not."""
        with self._memory.lock:
            study = self._memory.study(study_id)
            if len(study.directions) > 1:
                raise RuntimeError(
                    "Best trial can be obtained only for single-objective optimization."
                )
            descending = study.directions[0] == StudyDirection.MAXIMIZE
            best = self.trials_by_value(study_id, descending=descending, limit=1)
            if not best:
                raise ValueError("No trials are completed yet.")
            return best[0]

    def _write(self, change: Callable[[], Result]) -> Result:
        """Make a change a unit of its own and wait for it; within a unit only make it."""
        if self._units.inside():
            return change()
        while True:
            with self._units.unit() as unit:
                result = change()
            try:
                unit.commit.result()
            except Superseded:
                continue  # made on what another process has changed since: make it on that
            return result

    def _locate(self, trial_id: int) -> tuple[Study, FrozenTrial]:
        self._memory.check()
        study, trial = self._memory.locate(trial_id)
        self._memory.study(study.id)  # raises if it is broken
        return study, trial

    def _learn(self, study: Study, distributions: Mapping[str, BaseDistribution]) -> None:
        for name, distribution in distributions.items():
            known = study.distributions.get(name)
            if known is not None and known is not distribution:
                check_distribution_compatibility(known, distribution)
        for name, distribution in distributions.items():
            if name not in study.distributions:
                study.distributions[name] = distribution
                self._units.changes.learned.append((study, name))


def _this_process_s(url: str) -> WriteThroughStorage:
    """The storage that this process has open for the URL, else one opened now."""
    with _open_lock:
        storage = _open.get(url)
    return storage or open_storage(url, create=False)
