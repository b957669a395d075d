"""What the engine needs of a storage: Optuna's own interface, and these beside it.

The engine owns this Protocol and knows no SQL; `optunapi.storage` fulfils it, `app` joins the two.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class Commit(Protocol):
    """The end of a change's way to the database: `await` it, or wait in a thread with `result`.

    Raises:
        StorageUnavailable: the change was refused and has not happened.
        Superseded: it was refused because somebody else wrote first; doing it again may succeed.
    """

    def result(self, timeout: float | None = None) -> None:
        """Return when committed."""

    def __await__(self) -> Generator[Any, None, None]:
        """Return when committed, without holding a thread."""

    def notify(self, loop: AbstractEventLoop, call: Callable[[], None]) -> None:
        """Have the loop make the call when this is resolved, whatever the outcome. From any thread."""


class Unit(Protocol):
    """Changes that happen together or not at all."""

    @property
    def commit(self) -> Commit:
        """Known once the block has ended."""


class Store(Protocol):
    """A storage of studies. Trials are immutable snapshots: a change replaces the stored one."""

    def unit(self) -> AbstractContextManager[Unit]:
        """Group what this thread changes into one unit; nobody else changes anything meanwhile.

        Keep the block short and free of I/O. If its body raises, nothing has happened.
        """

    def try_exclusive(self) -> AbstractContextManager[bool]:
        """Whether units can be made here without waiting; if so everybody else waits until the end."""

    def one_commit(self) -> AbstractContextManager[None]:
        """A block whose units, this thread's, share one commit; nobody may wait for it inside."""

    def committed(self) -> Commit:
        """All that is visible now."""

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """A new study's id."""

    def delete_study(self, study_id: int) -> None:
        """Remove a study and all its trials."""

    def get_study_id_from_name(self, study_name: str) -> int:
        """Raises KeyError if there is none."""

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """One direction an objective."""

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The attributes users set."""

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Optuna's attributes and, under `optunapi:`, ours."""

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set one attribute."""

    def add_trial(self, study_id: int, template: FrozenTrial) -> FrozenTrial:
        """A new trial with all that the template holds; number and id are given here."""

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
        """The trial with these changes; mappings are merged into what it has."""

    def trial(self, study_id: int, number: int) -> FrozenTrial:
        """Raises KeyError if there is none."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: tuple[TrialState, ...] | list[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials in the order of their numbers."""

    def distribution(self, study_id: int, name: str) -> BaseDistribution | None:
        """That of the first trial which had this parameter; every other's must be compatible."""

    def trials_from(self, study_id: int, start_number: int, limit: int) -> list[FrozenTrial]:
        """At most `limit` trials from this number on."""

    def trials_by_value(
        self,
        study_id: int,
        *,
        descending: bool = False,
        after: FrozenTrial | None = None,
        limit: int = 100,
    ) -> list[FrozenTrial]:
        """At most `limit` complete trials of a single-objective study by value; indexed."""

    def counts(self, study_id: int) -> Mapping[TrialState, int]:
        """How many trials are in each state; kept, not counted."""

    def n_trials(self, study_id: int) -> int:
        """How many there are: the next trial's number."""

    def open_trials(self, study_id: int) -> list[FrozenTrial]:
        """The waiting and the running, in the order of their numbers; kept, not searched."""

    def best_trials(self, study_id: int) -> list[FrozenTrial]:
        """The best feasible complete trial (the Pareto front for several objectives), or none."""

    def reloads(self, study_id: int) -> int:
        """Rises when the study was read again from the database: drop what was derived from it."""

    def commit_seconds(self) -> list[float]:
        """How long the latest commits took, the oldest first."""

    def close(self) -> None:
        """Write what is pending and let go of the database."""


class Stores(Protocol):
    """Where studies are kept; `optunapi.storage` has two: a file each, or one database for all."""

    def open(self) -> None:
        """Become the owner. Raises StorageUnavailable if somebody else is."""

    def find(self, name: str) -> tuple[Store, int] | None:
        """The store that has this study, and its id there; None if there is none."""

    def for_new(self, name: str) -> Store:
        """The store in which a study of this name is to be created."""

    def names(self) -> Iterable[str]:
        """The studies there are, as far as that can be known without opening what is closed."""

    def discard(self, name: str) -> None:
        """Remove what is left of a study that was deleted."""

    def release(self, name: str) -> None:
        """Let go of a study's database for now, if it has one of its own."""

    def unavailable(self) -> str | None:
        """Why not every open store can be read and written now, or None."""

    def close(self) -> None:
        """Close every store."""
