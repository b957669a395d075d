"""Trials that are not stored yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.model import StudySpec

FIXED = "fixed_params"  # where Optuna keeps the parameters of an enqueued trial


@dataclass(frozen=True, kw_only=True)
class Relative:
    """Values that a sampler drew together for one trial, from `space`, and the trial does not use yet."""

    space: Mapping[str, BaseDistribution]
    params: Mapping[str, Any]


def waiting_trial(
    point: Mapping[str, Any], spec: StudySpec, now: float
) -> tuple[FrozenTrial, TrialRecord]:
    """A trial to be queued, with these parameters fixed, and its record."""
    template = blank_trial(-1, None, TrialState.WAITING)
    template.system_attrs = {FIXED: dict(point)}
    return template, TrialRecord(created_at=now, spec_version=spec.version)


def given_params(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial: those that it was queued with, until it has its own."""
    return {**(trial.system_attrs.get(FIXED) or {}), **trial.params}


def blank_trial(number: int, start: datetime | None, state: TrialState) -> FrozenTrial:
    """A trial of this number, without parameters."""
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        datetime_start=start,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=-1,
    )
