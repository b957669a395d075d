"""Files kept with trials: what is known of them stands with the trial, where Optuna keeps it too.

`optuna.artifacts` and Optuna Dashboard find them there; size, SHA-256 and time are ours beside their
fields. The bytes are in a store of their own, and are there before, and until after, a trial says so.
"""

import json
import mimetypes
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO, Protocol

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.reports.pages import best_of
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.errors import ArtifactNotFound, TooLarge

ARTIFACT = "artifacts:"  # where Optuna keeps an artifact, followed by its id
FILENAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,254}")


class Incoming(Protocol):
    """Bytes on their way into the store; nobody sees them before `keep`."""

    @property
    def id(self) -> str:
        """What the artifact will be called in the store."""

    @property
    def size(self) -> int:
        """How many bytes came so far."""

    @property
    def sha256(self) -> str:
        """Their SHA-256, in hexadecimal."""

    def write(self, chunk: bytes) -> None:
        """Add some. Raises StorageUnavailable if there is no room for them."""

    def keep(self) -> None:
        """Make them the artifact, on disk for good."""

    def listed(self) -> None:
        """A trial has the artifact now."""

    def drop(self) -> None:
        """Leave nothing of them, kept or not."""

    def close(self) -> None:
        """Leave them as they are: whether a trial has the artifact is not known."""


class ArtifactFiles(Protocol):
    """Where the bytes are. Every method may be called from any thread, and uses the disk."""

    max_file: int
    max_study: int

    def open(self) -> None:
        """Remove what former owners left half written."""

    def settle(self, is_listed: Callable[[str, str], bool | None]) -> None:
        """Remove what they left that no trial has; None where that cannot be said of a study's."""

    def receive(self, study: str) -> Incoming:
        """Begin another artifact of this study."""

    def size(self, artifact_id: str) -> int | None:
        """How many bytes it has, or None if it is not there."""

    def read(self, artifact_id: str) -> BinaryIO:
        """Raises ArtifactNotFound if there is none. What is open can be read to its end."""

    def remove(self, artifact_ids: Iterable[str]) -> None:
        """Remove some, as far as they are there."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What is known of a file. The last three are None for one that Optuna itself uploaded.

    `uploaded_at` is in seconds since the epoch.
    """

    artifact_id: str
    filename: str
    mimetype: str
    encoding: str | None
    size: int | None = None
    sha256: str | None = None
    uploaded_at: float | None = None

    def attrs(self) -> dict[str, str]:
        """The system attribute that stores it."""
        return {self.key: json.dumps(asdict(self))}

    @property
    def key(self) -> str:
        """That attribute's name."""
        return ARTIFACT + self.artifact_id


def artifacts_of(trial: FrozenTrial) -> list[Artifact]:
    """The trial's artifacts, in the order of their upload."""
    stored = [_read(value) for key, value in trial.system_attrs.items() if key.startswith(ARTIFACT)]
    return [artifact for artifact in stored if artifact is not None]


def _read(stored: Any) -> Artifact | None:
    """One artifact; None where there is none: Optuna Dashboard leaves a null for one it deleted."""
    known = json.loads(stored) if isinstance(stored, str) else None
    if not isinstance(known, dict):
        return None
    found: dict[str, Any] = {each.name: known.get(each.name) for each in fields(Artifact)}
    return Artifact(**found)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Artifacts that no trial knows any more: their bytes are to go."""

    artifacts: tuple[Artifact, ...] = ()

    @property
    def ids(self) -> list[str]:
        """Their names in the store."""
        return [artifact.artifact_id for artifact in self.artifacts]

    @property
    def size(self) -> int:
        """How many bytes they had."""
        return sum(artifact.size or 0 for artifact in self.artifacts)


class Artifacts:
    """The artifacts of one study's trials. Every method may be called from any thread."""

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._size = 0
        self._seen_reloads = -1

    def room(self, number: int, filename: str, limit: int) -> tuple[int, Commit]:
        """How many bytes a file of this name may have for the study to stay within `limit`.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        state = self._state
        with state.unit() as unit:
            present = _named(state.trial(number), filename)
            room = limit - self._total() + Removed(artifacts=present).size
        return max(0, room), unit.commit

    def received(self, filename: str, incoming: Incoming) -> Artifact:
        """What is known of a file that has just come."""
        mimetype, encoding = mimetypes.guess_type(filename)
        return Artifact(
            artifact_id=incoming.id,
            filename=filename,
            mimetype=mimetype or "application/octet-stream",
            encoding=encoding,
            size=incoming.size,
            sha256=incoming.sha256,
            uploaded_at=self._state.clock(),
        )

    def add(self, number: int, artifact: Artifact, limit: int) -> tuple[Removed, Commit]:
        """Let the trial have the artifact, finished or not, in the place of one of the same name.

        Raises:
            TrialNotFound: the study has no such trial.
            TooLarge: the study's artifacts would have more than `limit` bytes.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            present = tuple(a for a in _named(trial, artifact.filename) if a != artifact)
            total = self._total() - Removed(artifacts=present).size + (artifact.size or 0)
            if total > limit:
                raise too_large_for_study(limit)
            state.update(
                trial,
                system_attrs=artifact.attrs(),
                drop_system_attrs=[former.key for former in present],
            )
            self._size = total
        return Removed(artifacts=present), unit.commit

    def find(self, number: int, filename: str) -> tuple[Artifact, Commit]:
        """The trial's artifact of this name.

        Raises:
            TrialNotFound: the study has no such trial.
            ArtifactNotFound: the trial has no such artifact.
        """
        state = self._state
        with state.unit() as unit:
            present = _present(state.trial(number), filename)
        return present[-1], unit.commit

    def of_trial(self, number: int) -> tuple[list[Artifact], Commit]:
        """The trial's artifacts, in the order of their upload.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        state = self._state
        with state.unit() as unit:
            found = artifacts_of(state.trial(number))
        return found, unit.commit

    def has(self, artifact_id: str) -> tuple[bool, Commit]:
        """Whether one of the study's trials has this artifact."""
        with self._state.unit() as unit:
            found = any(artifact.artifact_id == artifact_id for artifact in self._all())
        return found, unit.commit

    def delete(self, number: int, filename: str) -> tuple[Removed, Commit]:
        """Take an artifact from its trial.

        Raises:
            TrialNotFound: the study has no such trial.
            ArtifactNotFound: the trial has no such artifact.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            removed = self._take_away(trial, _present(trial, filename))
        return removed, unit.commit

    def prune(self, older_than: float, keep_best: int) -> tuple[Removed, Commit]:
        """Take away what was uploaded more than `older_than` seconds ago, but of the best trials.

        The best are the first `keep_best`, or so many of the Pareto front; running trials keep
        theirs too, and so does every trial those of which the time is not known.
        """
        state = self._state
        before = state.clock() - older_than
        removed: list[Artifact] = []
        with state.unit() as unit:
            best = best_of(state.store, state.id, keep_best) if keep_best else ()
            kept = {trial.number for trial in best}
            for trial in state.store.get_all_trials(state.id, deepcopy=False):
                if trial.number in kept or trial.state == TrialState.RUNNING:
                    continue
                old = [
                    artifact
                    for artifact in artifacts_of(trial)
                    if artifact.uploaded_at is not None and artifact.uploaded_at < before
                ]
                if old:
                    removed += self._take_away(trial, old).artifacts
        return Removed(artifacts=tuple(removed)), unit.commit

    def all(self) -> Removed:
        """Those of the whole study, which is about to be deleted in the unit this is called in."""
        return Removed(artifacts=tuple(self._all()))

    def _all(self) -> Iterator[Artifact]:
        state = self._state
        for trial in state.store.get_all_trials(state.id, deepcopy=False):
            yield from artifacts_of(trial)

    def _take_away(self, trial: FrozenTrial, gone: Collection[Artifact]) -> Removed:
        removed = Removed(artifacts=tuple(gone))
        total = self._total() - removed.size
        self._state.update(trial, drop_system_attrs=[artifact.key for artifact in gone])
        self._size = total
        return removed

    def _total(self) -> int:
        """The bytes of the study's artifacts; kept, and made anew whenever memory was."""
        reloads = self._state.reloads()
        if reloads != self._seen_reloads:
            self._size = Removed(artifacts=tuple(self._all())).size
            self._seen_reloads = reloads
        return self._size


def too_large_for_study(limit: int) -> TooLarge:
    """What an upload is told when the study is full."""
    return TooLarge(
        f"the study's artifacts may have {limit} bytes together: delete some, or prune the old ones"
    )


def _named(trial: FrozenTrial, filename: str) -> tuple[Artifact, ...]:
    return tuple(artifact for artifact in artifacts_of(trial) if artifact.filename == filename)


def _present(trial: FrozenTrial, filename: str) -> tuple[Artifact, ...]:
    found = _named(trial, filename)
    if not found:
        raise ArtifactNotFound(f"trial {trial.number} has no artifact of this name")
    return found
