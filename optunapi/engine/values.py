"""The arguments and results of a study's and a catalog's methods, as values that know no HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.leases import Lease
from optunapi.engine.limits import FinishedReason
from optunapi.engine.overrides import Source, SpecSource, sources
from optunapi.engine.records import StudyRecord
from optunapi.engine.spec.model import Limits, StudySpec, default_names


@dataclass(frozen=True, kw_only=True)
class AskRequest:
    """A request for one trial or several.

    `params` fixes some parameters. With `lease_seconds` None the study's lease applies; with `leased`
    False the trial has no lease, whatever the study says. `key` is an idempotency key. `digest` is of
    what the client sent: it tells a repeat from another request with the same key, and may be empty
    without a key.
    """

    worker: str | None = None
    resume: bool = False
    leased: bool = True
    lease_seconds: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """A trial as it was when it was looked at.

    `configured` has the names of the parameters of each version of the study's specification.
    """

    study: str
    study_uid: str
    trial: FrozenTrial
    lease: Lease | None
    configured: Mapping[str | None, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Told:
    """The trial of a tell, and what of the tell was not stored since the trial was finished before.

    `ignored` names the fields: `reason`, `user_attrs.cost`, `constraints.memory`.
    """

    view: TrialView
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scoreboard:
    """A study's numbers of trials and its best ones. `best` has one trial, the Pareto front, or none."""

    counts: Mapping[TrialState, int]
    best: tuple[FrozenTrial, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a report or a renewal of a lease."""

    should_prune: bool
    stop_requested: bool
    lease: Lease | None


@dataclass(frozen=True, kw_only=True)
class Version:
    """One stretch of time in which a specification was in force; one that came back has two.

    `since` is in seconds since the epoch. `first_trial` is the number that the next trial had then.
    """

    spec_version: str
    since: float | None
    first_trial: int


@dataclass(frozen=True, kw_only=True)
class SpecView:
    """A study's specification, where it is from, and which ones were in force, the present one last."""

    spec: StudySpec
    source: SpecSource
    versions: Sequence[Version]


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """A study as it was when it was looked at. Times are seconds since the epoch.

    `slug` is its name in URLs. The defaults are those of a study that was never asked from.
    """

    name: str
    slug: str
    spec: StudySpec
    limits: Limits
    limits_source: Mapping[str, Source | None]
    lease_seconds: float | None
    description: str | None
    user_attrs: Mapping[str, Any]
    uid: str | None = None
    state: Literal["open", "paused", "finished"] = "open"
    finished_reason: FinishedReason | None = None
    counts: Mapping[TrialState, int] = field(default_factory=lambda: dict.fromkeys(TrialState, 0))
    best: FrozenTrial | None = None
    config_error: str | None = None
    sampler_failure: str | None = None
    metric_names: Sequence[str] | None = None
    metric_names_error: str | None = None
    created_at: float | None = None
    last_activity_at: float | None = None
    source: SpecSource = "file"
    is_deleted: bool = False


def unasked_view(name: str, spec: StudySpec) -> StudyView:
    """A study that has a configuration and was never asked from."""
    return StudyView(
        name=name,
        slug=name,
        spec=spec,
        limits=spec.limits,
        limits_source=sources(spec, StudyRecord(), "file"),
        lease_seconds=spec.lease_seconds,
        description=spec.description,
        user_attrs=spec.user_attrs,
        metric_names=None if spec.names == default_names(len(spec.names)) else spec.names,
    )


@dataclass(frozen=True, kw_only=True)
class StudyChange:
    """A change of a study by hand.

    None leaves the state and the objectives' names as they are. Only the limits and attributes that are
    named change. `lease_seconds` and `description` hold the new value, which may be None, or nothing.
    """

    state: Literal["open", "paused", "finished"] | None = None
    metric_names: Sequence[str] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    lease_seconds: Sequence[float | None] = ()
    description: Sequence[str | None] = ()
    user_attrs: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Everything that changes but the state, by name."""
        found: dict[str, Any] = {"limits": self.limits, "user_attrs": self.user_attrs}
        found["metric_names"] = self.metric_names
        found = {name: value for name, value in found.items() if value}
        for name in ("lease_seconds", "description"):
            if given := getattr(self, name):
                found[name] = given[0]
        return found
