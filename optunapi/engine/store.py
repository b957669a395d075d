"""What the engine needs from a storage: a part of Optuna's storage interface, and more beside it.

The engine defines these Protocols, `optunapi.storage` implements them, and `app` passes its objects in.
The guarantees are described at `optunapi.storage.write_through.WriteThroughStorage`.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, BinaryIO, Protocol, TypedDict, Unpack

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.errors import OptunAPIError


class Commit(Protocol):
    """A change's commit in the database: `await` it, or wait for it in a thread with `result`.

    Raises:
        StorageUnavailable: the change was refused and has not happened.
        Superseded: it was refused because another process wrote first; a new attempt may succeed.
    """

    def result(self, timeout: float | None = None) -> None:
        """Wait until it is committed."""

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until it is committed, without blocking a thread."""

    def notify(self, loop: AbstractEventLoop, call: Callable[[], None]) -> None:
        """Make the loop call `call` once this is committed or refused. From any thread."""

    def then(self, call: Callable[[], None]) -> None:
        """Make `call` once this is committed, and never if it is refused. It must not block or raise."""


class Unit(Protocol):
    """Changes that are committed together or not at all."""

    @property
    def commit(self) -> Commit:
        """The commit of the changes; known when the unit's block has ended."""


class TrialChanges(TypedDict, total=False):
    """What a change of a trial may contain; what is absent stays as it is.

    Mappings are merged into those of the trial, after `clear_intermediate_values` and
    `drop_system_attrs` are applied. Each parameter comes with its distribution.
    """

    state: TrialState
    values: Sequence[float] | None
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    intermediate_values: Mapping[int, float]
    clear_intermediate_values: bool
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    drop_system_attrs: Collection[str]
    datetime_start: datetime | None
    datetime_complete: datetime | None


class Store(Protocol):
    """A storage of studies. Trials are immutable snapshots: a change replaces the stored one."""

    def unit(self) -> AbstractContextManager[Unit]:
        """Group this thread's changes into one unit. Other threads change nothing during the block.

        Keep the block short, without I/O. If it raises, nothing has happened.
        """

    def try_exclusive(self) -> AbstractContextManager[bool]:
        """Enter without waiting if nobody is inside; yield whether that succeeded.

        If so, other threads wait until the block ends, and units inside it never wait.
        """

    def one_commit(self) -> AbstractContextManager[None]:
        """Let this thread's units in the block share one commit. Do not wait for it inside the block."""

    def committed(self) -> Commit:
        """The commit of everything that can be read now."""

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Create a study and return its id."""

    def delete_study(self, study_id: int) -> None:
        """Remove a study and all its trials."""

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The direction of each objective."""

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that users set."""

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes that Optuna keeps, and ours, whose names begin with `optunapi:`."""

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one user attribute."""

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one system attribute."""

    def add_trial(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """Add a trial with everything that the template has, and return it with its number and id."""

    def update_trial(self, trial_id: int, **changes: Unpack[TrialChanges]) -> FrozenTrial:
        """Change a trial in one step and return it."""

    def trial(self, study_id: int, number: int) -> FrozenTrial:
        """The trial of this number. Raises KeyError if there is none."""

    def get_all_trials(self, study_id: int, deepcopy: bool = True) -> list[FrozenTrial]:
        """All trials, in the order of their numbers."""

    def distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """The distribution of the first trial with this parameter, with which all must be compatible."""

    def trials_from(self, study_id: int, start_number: int, limit: int) -> list[FrozenTrial]:
        """At most `limit` trials, from this number on."""

    def trials_by_value(
        self,
        study_id: int,
        *,
        descending: bool = False,
        after: FrozenTrial | None = None,
        limit: int = 100,
    ) -> list[FrozenTrial]:
        """At most `limit` complete trials of a study with one objective, sorted by value."""

    def counts(self, study_id: int) -> Mapping[TrialState, int]:
        """The number of trials in each state. Takes no time, however many there are."""

    def n_trials(self, study_id: int) -> int:
        """The number of trials, which is the number that the next one gets."""

    def open_trials(self, study_id: int) -> list[FrozenTrial]:
        """The waiting and the running trials, in the order of their numbers."""

    def best_trials(self, study_id: int) -> list[FrozenTrial]:
        """The best feasible complete trial, or the Pareto front if there are several objectives."""

    def reloads(self, study_id: int) -> int:
        """A number that rises when the study was read again from the database.

        What was derived from its trials before is not valid any more.

        Raises:
            KeyError: the study was deleted.
        """

    def commit_seconds(self) -> list[float]:
        """How long each of the latest commits took, the oldest first."""


class StoredStudy(Protocol):
    """A study as it was found in a store."""

    @property
    def name(self) -> str:
        """The study's own name, which a URL may not be able to hold."""

    @property
    def file(self) -> str:
        """The name of its file; empty in a database for all studies."""

    @property
    def signature(self) -> tuple[int, ...] | None:
        """Numbers of which one differs when its file has changed; None while the file is open."""

    @property
    def fault(self) -> OptunAPIError | None:
        """Why it cannot be served."""

    @property
    def counts(self) -> Mapping[str, int]:
        """If it cannot be served: its numbers of trials by state, as far as they are known."""


class Stores(Protocol):
    """Where studies are stored: `optunapi.storage.stores` has a folder of files, or one database.

    `server_id` stays the same wherever they are served; None if it is not known.
    """

    server_id: str | None

    def open(self) -> None:
        """Become the owner. Raises StorageUnavailable if another process is the owner."""

    def stored(self) -> Iterable[StoredStudy]:
        """Every study, as the files are now."""

    def of_file_named(self, name: str) -> StoredStudy | None:
        """The study of this name in the file of this name; None if there is none."""

    def use(self, study: Any) -> tuple[Store, int] | None:
        """The store that has this study, and the study's id in it; None if it is gone.

        Call `release` or `discard` once for each use.
        """

    def look(self, study: Any) -> tuple[Any, int] | None:
        """What can be read of a store that has this study, as its file is now, and the study's id in it.

        None if the file is open, or cannot be read without a change.
        """

    def for_new(self, name: str) -> tuple[Store, str]:
        """The store for a new study of this name, and its file; a use, as above."""

    def release(self, file: str) -> None:
        """End a use of a file; the last one closes it."""

    def discard(self, file: str) -> None:
        """End a use of a file whose study was deleted, and remove it if it holds no other."""

    def unavailable(self) -> str | None:
        """Why some open store cannot be read or written now, or None."""

    def close(self) -> None:
        """Write what is pending, close every store and give up the ownership."""


class Upload(Protocol):
    """A file that is being uploaded. Nobody can read it before `keep`."""

    study: str
    is_kept: bool

    @property
    def id(self) -> str:
        """The id that the artifact has or will have."""

    @property
    def size(self) -> int:
        """How many bytes were written so far."""

    @property
    def sha256(self) -> str:
        """Their SHA-256, in hexadecimal."""

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageUnavailable if there is no room for them."""

    def keep(self) -> None:
        """Make the bytes an artifact's file that survives a crash of the machine."""

    def confirm(self) -> None:
        """End the upload: a trial lists the artifact."""

    def drop(self) -> None:
        """End the upload and remove its file, kept or not."""

    def close(self) -> None:
        """Leave the upload unfinished: the next start looks whether a trial lists the artifact."""


class ArtifactFiles(Protocol):
    """Where the bytes of artifacts are. Every method may be called from any thread, and uses the disk.

    `max_file` and `max_study` are the bytes that a file, and a study's files together, may have.
    """

    max_file: int
    max_study: int

    def interrupted(self) -> Iterator[Upload]:
        """The uploads that a killed server left unfinished. End each before taking the next."""

    def receive(self, study: str) -> Upload:
        """Begin an upload to this study. Raises StorageUnavailable if nothing can be written."""

    def size(self, artifact_id: str) -> int | None:
        """The size of an artifact's file in bytes, or None if there is no file."""

    def read(self, artifact_id: str) -> BinaryIO:
        """An artifact's file, readable to its end even if it is removed meanwhile.

        Raises:
            ArtifactNotFound: there is no file.
        """

    def remove(self, artifact_ids: Iterable[str]) -> None:
        """Remove the files of artifacts; those that are not there are passed over."""
