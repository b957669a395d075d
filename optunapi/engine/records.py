"""What is stored beside Optuna's own fields: one system attribute for a trial, a few for a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from optuna.trial import FrozenTrial

TRIAL = "optunapi:trial"
CONSTRAINT = "constraints:"  # where Optuna's `Trial.set_constraint` keeps one, followed by its name
FIRST_FAILED = (
    "failed_trial"  # where Optuna's `RetryFailedTrialCallback` keeps the first one retried
)
RETRIED = "retry_history"  # and all of them, the latest last
SPEC = "optunapi:spec"
VERSIONS = "optunapi:versions"  # what was in force, and since when
SPEC_OF = "optunapi:spec:"  # followed by a version: its specification
STUDY = "optunapi:study"
LATE_FOR = "late_for"  # a user attribute: the number of the failed trial whose late result this is


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What OptunAPI stores of a trial. Times are seconds since the epoch, UTC.

    `attempt` counts how often the trial was handed out, `expiries` how many of those leases expired.
    `lease` and `lease_seconds` belong to the present attempt. A renewal is not stored, since a restart
    gives every open lease a full term. `lease_key` makes the ids of the trial's leases; a trial that an
    older server handed out has none. `prune_at` is the step whose report was answered with "prune" in
    this attempt. `late` is the number of the trial that keeps a result which came after this one had
    failed. `retry_of` is the number of the failed trial that this one repeats. `configured` has the names
    of the configured parameters of a trial from another study, whose specification this one may never
    have had. `keys` maps each
    idempotency key that led to this trial to the attempt it started (None if it started none), a digest
    of the request, and the trial's places in the reply.
    """

    created_at: float | None = None
    spec_version: str | None = None
    worker: str | None = None
    attempt: int = 0
    expiries: int = 0
    lease: str | None = None
    lease_seconds: float | None = None
    lease_key: str | None = None
    stop_requested: bool = False
    timed_out_at: float | None = None
    prune_at: int | None = None
    fail_reason: str | None = None
    late: int | None = None
    retry_of: int | None = None
    configured: Sequence[str] | None = None
    keys: Mapping[str, tuple[int | None, str, *tuple[int, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, trial: FrozenTrial) -> Self:
        """The record of `trial`; a default one for a trial that Optuna made."""
        stored = trial.system_attrs.get(TRIAL)
        if not isinstance(stored, Mapping):
            return cls()
        return cls(**{name: value for name, value in stored.items() if name in _DEFAULTS})

    @staticmethod
    def keys_of(trial: FrozenTrial) -> Mapping[str, tuple[int | None, str, *tuple[int, ...]]]:
        """The record's `keys`, read without the rest of the record."""
        stored = trial.system_attrs.get(TRIAL)
        return stored.get("keys", {}) if isinstance(stored, Mapping) else {}

    def with_(self, **changes: Any) -> Self:
        """A copy with `changes`."""
        return replace(self, **changes)

    def attrs(self) -> dict[str, Any]:
        """The system attribute that stores this record; fields with their default are left out."""
        return {TRIAL: {k: v for k, v in vars(self).items() if v != _DEFAULTS[k]}}


_DEFAULTS = vars(TrialRecord())


def retry_of(record: TrialRecord, system_attrs: Mapping[str, Any]) -> int | None:
    """The number of the failed trial that a trial repeats, whether Optuna repeats it or this server."""
    if record.retry_of is not None:
        return record.retry_of
    retried = _retried(system_attrs)
    return retried[-1] if retried else None


def retry_attrs(failed: FrozenTrial) -> dict[str, Any]:
    """The system attributes by which Optuna knows a trial that repeats a failed one."""
    return _retry_attrs([*_retried(failed.system_attrs), failed.number])


def retries_renumbered(
    system_attrs: Mapping[str, Any], numbers: Mapping[int | None, int]
) -> dict[str, Any]:
    """System attributes in another study, where the trials that were retried have other numbers.

    Trials that are not there are not named any more.
    """
    retried = [numbers[number] for number in _retried(system_attrs) if number in numbers]
    rest = {k: v for k, v in system_attrs.items() if k not in (FIRST_FAILED, RETRIED)}
    return rest | _retry_attrs(retried)


def _retry_attrs(retried: Sequence[int]) -> dict[str, Any]:
    return {FIRST_FAILED: retried[0], RETRIED: list(retried)} if retried else {}


def _retried(system_attrs: Mapping[str, Any]) -> list[int]:
    found = system_attrs.get(RETRIED)
    return (
        [n for n in found if type(n) is int and 0 <= n < 2**53] if isinstance(found, list) else []
    )


def constraint_attrs(
    constraints: Mapping[str, float], present: Mapping[str, Any]
) -> dict[str, float]:
    """Constraints as Optuna's `Trial.set_constraint` stores them; those `present` keep their first value."""
    return {
        key: value
        for name, value in constraints.items()
        if (key := CONSTRAINT + name) not in present
    }


def renumbered(user_attrs: Mapping[str, Any], numbers: Mapping[int | None, int]) -> dict[str, Any]:
    """User attributes in another study, where the trial that `late_for` names has another number.

    A trial that is not there is not named any more. Only a whole number names a trial: anything else
    under this name is a user's own.
    """
    late_for = user_attrs.get(LATE_FOR)
    if type(late_for) is not int:
        return dict(user_attrs)
    if late_for in numbers:
        return {**user_attrs, LATE_FOR: numbers[late_for]}
    return {name: value for name, value in user_attrs.items() if name != LATE_FOR}


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What OptunAPI stores of a study. Times are seconds since the epoch, UTC.

    `limits`, `lease_seconds` and `description` were set by hand and take precedence over the
    specification, until a later one sets them to something else. `lease_seconds` and `description` are in
    lists, since null is a value too.
    """

    created_at: float | None = None
    first_ask_at: float | None = None
    state: Literal["paused", "stopped"] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    lease_seconds: list[float | None] = field(default_factory=list)
    description: list[str | None] = field(default_factory=list)

    @classmethod
    def of(cls, system_attrs: Mapping[str, Any]) -> Self:
        """The record among a study's system attributes; a default one for a study that Optuna made."""
        return cls(**system_attrs.get(STUDY, {}))

    def with_(self, **changes: Any) -> Self:
        """A copy with `changes`."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The value stored under `STUDY`."""
        return dict(vars(self))
