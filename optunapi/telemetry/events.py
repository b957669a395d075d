"""Every event of a server, as a class: its level, its message, and its fields.

An event says what has happened, so it is emitted when the change is committed. The log is rendered from
it; whatever else is made of events is made of the same ones, so that they cannot disagree.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from optunapi.telemetry.context import request_id


@dataclass(frozen=True, kw_only=True)
class Event:
    """What has happened. `request_id` is the id of the request that caused it, if one did.

    With `is_repeatable` an event with the same fields may occur again and again for one cause.
    """

    level: ClassVar[int] = logging.INFO
    message: ClassVar[str]
    is_repeatable: ClassVar[bool] = False

    request_id: str | None = field(default_factory=request_id.get)

    def content(self) -> dict[str, Any]:
        """The fields that have a value, the request id last."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found["request_id"] = found.pop("request_id")
        return {name: value for name, value in found.items() if value is not None}


# The server


@dataclass(frozen=True, kw_only=True)
class ServerStarting(Event):
    """The server is about to become the owner of its databases."""

    message = "server starting"
    version: str
    home: str
    configs: str
    studies_in: str


@dataclass(frozen=True, kw_only=True)
class ServerStarted(ServerStarting):
    """The server accepts requests. `address` is None if the ASGI server does not say it."""

    message = "server started"
    address: str | None
    studies: int


@dataclass(frozen=True, kw_only=True)
class ServerStopped(Event):
    """The server has written everything and closed its databases."""

    message = "server stopped"
    seconds: float


@dataclass(frozen=True, kw_only=True)
class VariableUnknown(Event):
    """An environment variable is named like a setting and is none; `near` is the one that may be meant."""

    level = logging.WARNING
    message = "environment variable has no effect"
    variable: str
    near: str | None


@dataclass(frozen=True, kw_only=True)
class SweepFailed(Event):
    """Deadlines could not be applied; they are tried again."""

    level = logging.ERROR
    message = "sweep failed, it is tried again"
    is_repeatable = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class DescriptorsScarce(Event):
    """A request or connection was refused: the process may open too few files."""

    level = logging.WARNING
    message = "too few file descriptors: raise the limit (ulimit -n, LimitNOFILE=)"
    is_repeatable = True
    refused: str


@dataclass(frozen=True, kw_only=True)
class RequestFailed(Event):
    """A request was answered with 500 because of an error in the server."""

    level = logging.ERROR
    message = "request failed"
    method: str
    path: str
    error: str


@dataclass(frozen=True, kw_only=True)
class ResultRefused(Event):
    """A result of a training was not stored."""

    level = logging.WARNING
    message = "result refused"
    is_repeatable = True
    study: str
    trial: int
    code: str
    reason: str


# Databases


@dataclass(frozen=True, kw_only=True)
class DatabaseFailed(Event):
    """A commit failed: what was not committed is refused."""

    level = logging.ERROR
    message = "database cannot be written"
    is_repeatable = True
    database: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DatabaseStillFails(Event):
    """The database cannot be used again yet."""

    level = logging.WARNING
    message = "database still cannot be used"
    is_repeatable = True
    database: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DatabaseRecovered(Event):
    """The database can be read and written again."""

    level = logging.WARNING
    message = "database can be used again"
    is_repeatable = True
    database: str


@dataclass(frozen=True, kw_only=True)
class DatabaseGone(Event):
    """The file of an open database was removed, or another one was put in its place."""

    level = logging.WARNING
    message = "database closed: its studies are looked for again"
    database: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileUnusable(Event):
    """The studies in a database file cannot be served."""

    level = logging.ERROR
    message = "database file cannot be served"
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileRepaired(Event):
    """The studies in a database file can be served again."""

    message = "database file can be served again"
    file: str


# Studies


@dataclass(frozen=True, kw_only=True)
class StudyEvent(Event):
    """Something happened to a study."""

    study: str


@dataclass(frozen=True, kw_only=True)
class StudyCreated(StudyEvent):
    """A study was created."""

    message = "study created"
    spec_version: str
    sampler: str
    engine: str
    trials: int


@dataclass(frozen=True, kw_only=True)
class StudyOpened(StudyEvent):
    """A study was read from its database."""

    level = logging.DEBUG
    message = "study opened"
    sampler: str
    engine: str


@dataclass(frozen=True, kw_only=True)
class SpecChanged(StudyEvent):
    """Another specification is in force. `changed` names what differs."""

    message = "study has a new specification"
    spec_version: str
    changed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StudyChanged(StudyEvent):
    """Limits, attributes or other settings were changed by hand."""

    message = "study changed"
    changed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StudyPaused(StudyEvent):
    """Asks are refused until the study is resumed."""

    message = "study paused"


@dataclass(frozen=True, kw_only=True)
class StudyResumed(StudyEvent):
    """A paused study, or a finished one, hands out trials again."""

    message = "study resumed"


@dataclass(frozen=True, kw_only=True)
class StudyFinished(StudyEvent):
    """The study hands out no more trials."""

    message = "study finished"
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialsQueued(StudyEvent):
    """So many trials were put into the queue by hand."""

    message = "trials queued"
    trials: int


@dataclass(frozen=True, kw_only=True)
class TrialsImported(StudyEvent):
    """So many trials came from elsewhere."""

    message = "trials imported"
    trials: int


@dataclass(frozen=True, kw_only=True)
class ArtifactsPruned(StudyEvent):
    """So many old files were deleted, which had `size` bytes."""

    message = "artifacts pruned"
    files: int
    size: int


@dataclass(frozen=True, kw_only=True)
class StudyDeleted(StudyEvent):
    """A study was deleted with its trials."""

    message = "study deleted"
    trials: int


@dataclass(frozen=True, kw_only=True)
class SamplerFailed(StudyEvent):
    """The study's sampler raised: values are drawn at random until it works again."""

    level = logging.ERROR
    message = "sampler failed, values are drawn at random"
    sampler: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StudyUnavailable(StudyEvent):
    """A study could not be opened."""

    level = logging.ERROR
    message = "study cannot be opened"
    is_repeatable = True
    reason: str


@dataclass(frozen=True, kw_only=True)
class ConfigBroken(Event):
    """A configuration file is not a valid study. `errors` has a line for each error."""

    level = logging.ERROR
    message = "config file is not valid"
    file: str
    errors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ConfigConflict(StudyEvent):
    """A configuration file does not fit the study's trials: asks are refused."""

    level = logging.ERROR
    message = "config file does not fit the study's trials"
    reason: str


@dataclass(frozen=True, kw_only=True)
class ConfigRepaired(Event):
    """A configuration file that was not valid is valid again, or is gone."""

    message = "config file is valid again"
    file: str


@dataclass(frozen=True, kw_only=True)
class ConfigFits(StudyEvent):
    """The study's configuration, which did not fit its trials, does so now or is gone."""

    message = "config file fits the study's trials again"


# Trials


@dataclass(frozen=True, kw_only=True)
class TrialEvent(StudyEvent):
    """Something happened to a trial. `worker` is the one that has it, or had it."""

    trial: int
    worker: str | None
    attempt: int | None


@dataclass(frozen=True, kw_only=True)
class TrialHandedOut(TrialEvent):
    """A worker got the trial."""

    level = logging.DEBUG
    message = "trial handed out"


@dataclass(frozen=True, kw_only=True)
class TrialHandedOn(TrialEvent):
    """A worker got a trial whose lease had expired; `former_worker` had it."""

    message = "trial handed on"
    former_worker: str | None


@dataclass(frozen=True, kw_only=True)
class TrialReported(TrialEvent):
    """A worker reported an intermediate value."""

    level = logging.DEBUG
    message = "trial reported"
    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class TrialReleased(TrialEvent):
    """The trial waits for its next attempt."""

    level = logging.DEBUG
    message = "trial released"


@dataclass(frozen=True, kw_only=True)
class TrialCompleted(TrialEvent):
    """The trial has its result."""

    level = logging.DEBUG
    message = "trial completed"
    values: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class TrialPruned(TrialCompleted):
    """The trial was pruned."""

    message = "trial pruned"


@dataclass(frozen=True, kw_only=True)
class LateResultKept(TrialEvent):
    """A result of a trial that had failed by then is kept as the trial `kept_as`."""

    message = "late result kept"
    kept_as: int


@dataclass(frozen=True, kw_only=True)
class LeaseExpired(TrialEvent):
    """The trial's lease was not renewed: the next ask gets the trial."""

    level = logging.WARNING
    message = "lease expired"


@dataclass(frozen=True, kw_only=True)
class StopRequested(TrialEvent):
    """The trial's worker is told to end it; `reason` is `request` or `timeout`."""

    message = "trial asked to stop"
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialFailed(TrialEvent):
    """The trial ended without a result. `detail` says more than the reason that the trial has."""

    level = logging.WARNING
    message = "trial failed"
    reason: str | None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrialGivenUp(TrialFailed):
    """The lease of the trial's last attempt expired."""

    message = "trial given up"


@dataclass(frozen=True, kw_only=True)
class TrialTimedOut(TrialFailed):
    """The trial did not end within `trial_timeout` and a term of grace."""

    message = "trial timed out"


@dataclass(frozen=True, kw_only=True)
class TrialCancelled(TrialFailed):
    """The trial was cancelled, by a request or because its queued point no longer fits the study."""

    level = logging.INFO
    message = "trial cancelled"


@dataclass(frozen=True, kw_only=True)
class TrialStopped(TrialFailed):
    """The worker ended the trial because it was told to."""

    level = logging.INFO
    message = "trial stopped"
