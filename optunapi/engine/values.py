"""What the engine is asked, and what it answers: values without HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.leases import Lease
from optunapi.engine.lifecycle import FinishedReason
from optunapi.engine.spec.read import Limits, StudySpec


@dataclass(frozen=True, kw_only=True)
class AskRequest:
    """A request for a trial.

    `params` fixes some parameters. `lease_seconds` None takes the study's; `leased` False holds the
    trial without a lease whatever the study says. `key` makes repeating the request harmless; `digest`
    stands for what the client sent, to tell a repeat from another request under the same key; without
    a key it may be empty. `place`
    is the request's among those that were sent as one.
    """

    worker: str | None = None
    resume: bool = False
    leased: bool = True
    lease_seconds: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    digest: str = ""
    place: int = 0


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """A trial as it was when it was looked at."""

    study: str
    trial: FrozenTrial
    lease: Lease | None


@dataclass(frozen=True, kw_only=True)
class Scoreboard:
    """How a study stood at one moment. `best` has one trial, or the Pareto front, or none."""

    counts: Mapping[TrialState, int]
    best: tuple[FrozenTrial, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker learns from a report or a renewal."""

    should_prune: bool
    stop_requested: bool
    lease: Lease | None


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """A study as it was when it was looked at. Times are seconds since the epoch."""

    name: str
    spec: StudySpec
    state: Literal["open", "paused", "finished"]
    finished_reason: FinishedReason | None
    limits: Limits
    lease_seconds: float | None
    counts: Mapping[TrialState, int]
    best: FrozenTrial | None
    config_error: str | None
    user_attrs: Mapping[str, Any]
    created_at: float | None
    last_activity_at: float | None


@dataclass(frozen=True, kw_only=True)
class StudyChange:
    """What a PATCH says; None leaves the state alone, and limits are changed one by one."""

    state: Literal["open", "paused", "finished"] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    lease_seconds: float | Literal["unchanged"] | None = "unchanged"
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


def unasked(name: str, spec: StudySpec) -> StudyView:
    """A study that has a configuration and was never asked from."""
    return StudyView(
        name=name,
        spec=spec,
        state="open",
        finished_reason=None,
        limits=spec.limits,
        lease_seconds=spec.lease_seconds,
        counts=dict.fromkeys(TrialState, 0),
        best=None,
        config_error=None,
        user_attrs=spec.user_attrs,
        created_at=None,
        last_activity_at=None,
    )
