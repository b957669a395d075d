"""Files that are kept with trials. What is known of a file is stored with its trial, where Optuna does.

`optunapi.storage.artifacts` keeps the bytes. They are on the disk before a trial lists the file, and are
removed after it lists it no more. `optuna.artifacts` and Optuna Dashboard find the files; size, SHA-256
and time are our additions to their fields.
"""

import json
import mimetypes
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.state.best import best_of
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit, Upload
from optunapi.errors import ArtifactNotFound, TooLarge
from optunapi.telemetry.events import ArtifactsPruned

ARTIFACT = "artifacts:"  # Optuna's prefix of the system attribute, followed by the artifact's id
FILENAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,254}")


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What is known of a file. The last three are None if Optuna itself uploaded it.

    `size` is in bytes, `sha256` in hexadecimal, `uploaded_at` in seconds since the epoch.
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
        """The name of that attribute."""
        return ARTIFACT + self.artifact_id


def artifacts_of(trial: FrozenTrial) -> list[Artifact]:
    """The trial's artifacts, in the order of their upload."""
    stored = [_read(value) for key, value in trial.system_attrs.items() if key.startswith(ARTIFACT)]
    return [artifact for artifact in stored if artifact is not None]


def _read(stored: Any) -> Artifact | None:
    """One artifact, or None: Optuna Dashboard leaves a null in the place of one that it deleted."""
    known = json.loads(stored) if isinstance(stored, str) else None
    if not isinstance(known, dict):
        return None
    found: dict[str, Any] = {each.name: known.get(each.name) for each in fields(Artifact)}
    return Artifact(**found)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Artifacts that no trial lists any more: their files must be removed."""

    artifacts: tuple[Artifact, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The ids by which their files are known."""
        return [artifact.artifact_id for artifact in self.artifacts]

    @property
    def size(self) -> int:
        """How many bytes they have together."""
        return _size(self.artifacts)


class Artifacts:
    """The artifacts of one study's trials. Every method may be called from any thread."""

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._size = 0
        self._seen_reloads = -1

    def room(self, number: int, filename: str, limit: int) -> tuple[int, Commit]:
        """How many bytes a file of this name may have if the study's files may have `limit` together.

        Raises:
            TrialNotFound: the study has no such trial.
        """
        state = self._state
        with state.unit() as unit:
            replaced = _named(state.trial(number), filename)
            room = limit - self._total() + _size(replaced)
        return max(0, room), unit.commit

    def received(self, filename: str, upload: Upload) -> Artifact:
        """What is known of a file that was just uploaded."""
        mimetype, encoding = mimetypes.guess_type(filename)
        return Artifact(
            artifact_id=upload.id,
            filename=filename,
            mimetype=mimetype or "application/octet-stream",
            encoding=encoding,
            size=upload.size,
            sha256=upload.sha256,
            uploaded_at=self._state.clock.time(),
        )

    def add(self, number: int, artifact: Artifact, limit: int) -> tuple[Removed, Commit]:
        """List the artifact with a trial, finished or not; it replaces one of the same name.

        Raises:
            TrialNotFound: the study has no such trial.
            TooLarge: the study's files would have more than `limit` bytes together.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            # A former attempt to add this artifact may have been refused and have reached the disk.
            known = _named(trial, artifact.filename)
            replaced = tuple(a for a in known if a.artifact_id != artifact.artifact_id)
            total = self._total() - _size(replaced) + (artifact.size or 0)
            if total > limit:
                raise too_large_for_study(limit, artifact.size)
            state.update(
                trial,
                system_attrs=artifact.attrs(),
                drop_system_attrs=[former.key for former in replaced],
            )
            self._size = total
        return Removed(artifacts=replaced), unit.commit

    def find(self, number: int, filename: str) -> tuple[Artifact, Commit]:
        """The trial's artifact of this name.

        Raises:
            TrialNotFound: the study has no such trial.
            ArtifactNotFound: the trial has no such artifact.
        """
        state = self._state
        with state.unit() as unit:
            found = _existing(state.trial(number), filename)
        return found[-1], unit.commit

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
        """Whether a trial of the study lists this artifact."""
        with self._state.unit() as unit:
            found = any(artifact.artifact_id == artifact_id for artifact in self._all())
        return found, unit.commit

    def delete(self, number: int, filename: str) -> tuple[Removed, Commit]:
        """Remove an artifact from its trial's list.

        Raises:
            TrialNotFound: the study has no such trial.
            ArtifactNotFound: the trial has no such artifact.
        """
        state = self._state
        with state.unit() as unit:
            trial = state.trial(number)
            removed = _existing(trial, filename)
            self._remove(trial, removed)
        return Removed(artifacts=removed), unit.commit

    def prune(self, older_than: float, keep_best: int) -> tuple[Removed, Commit]:
        """Remove the artifacts that were uploaded more than `older_than` seconds ago.

        The `keep_best` best trials (with several objectives, trials of the Pareto front) keep theirs, as
        do running trials. An artifact whose time is not known is kept too.
        """
        state = self._state
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
                    if artifact.uploaded_at is not None
                    and state.clock.since(artifact.uploaded_at) > older_than
                ]
                if old:
                    self._remove(trial, old)
                    removed += old
            pruned = Removed(artifacts=tuple(removed))
            if removed:
                state.note(ArtifactsPruned, files=len(removed), size=pruned.size)
        return pruned, unit.commit

    def all(self) -> Removed:
        """Every artifact of the study. Call it in the unit that deletes the study."""
        return Removed(artifacts=tuple(self._all()))

    def _all(self) -> Iterator[Artifact]:
        state = self._state
        for trial in state.store.get_all_trials(state.id, deepcopy=False):
            yield from artifacts_of(trial)

    def _remove(self, trial: FrozenTrial, removed: Collection[Artifact]) -> None:
        total = self._total() - _size(removed)
        self._state.update(trial, drop_system_attrs=[artifact.key for artifact in removed])
        self._size = total

    def _total(self) -> int:
        """The bytes of the study's artifacts, counted again only when the study was read again."""
        reloads = self._state.reloads()
        if reloads != self._seen_reloads:
            self._size = _size(self._all())
            self._seen_reloads = reloads
        return self._size


def too_large_for_study(limit: int, size: int | None = None) -> TooLarge:
    """The error of an upload, of `size` bytes if that is known, for which the study has no room."""
    of = "" if size is None else f" for {size} bytes"
    return TooLarge(
        f"the study has no room{of}: its artifacts may have {limit} bytes together. Delete some, prune "
        "the old ones, or have the server's OPTUNAPI_MAX_STUDY_ARTIFACTS raised"
    )


def _size(artifacts: Iterable[Artifact]) -> int:
    return sum(artifact.size or 0 for artifact in artifacts)


def _named(trial: FrozenTrial, filename: str) -> tuple[Artifact, ...]:
    return tuple(artifact for artifact in artifacts_of(trial) if artifact.filename == filename)


def _existing(trial: FrozenTrial, filename: str) -> tuple[Artifact, ...]:
    found = _named(trial, filename)
    if not found:
        raise ArtifactNotFound(f"trial {trial.number} has no artifact of this name")
    return found
