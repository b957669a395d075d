"""Settings made by hand, beside those of the specification: of the two, the later one counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from optunapi.engine.records import StudyRecord
from optunapi.engine.spec.model import Limits, StudySpec, renamed

SpecSource = Literal["file", "http", "optuna"]
Source = Literal["file", "http", "optuna", "patch"]


def limits_in_force(spec: StudySpec, record: StudyRecord) -> Limits:
    """The limits that count."""
    return replace(spec.limits, **record.limits)


def limits_renamed(
    limits: Mapping[str, Any], names: Sequence[str], new_names: Sequence[str]
) -> Mapping[str, Any]:
    """Limits that were set by hand, with a target by the new names of the objectives."""
    if "target" not in limits:
        return limits
    return {**limits, "target": renamed(limits["target"], names, new_names)}


def lease_in_force(spec: StudySpec, record: StudyRecord) -> float | None:
    """The length of a lease that does not name its own, in seconds."""
    return record.lease_seconds[0] if record.lease_seconds else spec.lease_seconds


def description_in_force(spec: StudySpec, record: StudyRecord) -> str | None:
    """What the study is about."""
    return record.description[0] if record.description else spec.description


def sources(
    spec: StudySpec, record: StudyRecord, spec_source: SpecSource
) -> Mapping[str, Source | None]:
    """For each limit, and for `lease_seconds` and `description`, where its value is from.

    None is for what neither the specification nor a change by hand sets.
    """
    found: dict[str, Source | None] = {
        name: None if value is None else spec_source for name, value in _settings(spec).items()
    }
    by_hand = [*record.limits, *(name for name in _LISTED if getattr(record, name))]
    return found | dict.fromkeys(by_hand, "patch")


def kept(record: StudyRecord, former: StudySpec, spec: StudySpec) -> dict[str, Any]:
    """The changes by hand that outlive a change of the specification: those of settings that it leaves.

    They are returned as changes of the record.
    """
    before, after = _settings(former.with_names(spec.names)), _settings(spec)
    changed = {name for name in after if before[name] != after[name]}
    limits = {name: v for name, v in record.limits.items() if name not in changed}
    return {
        "limits": limits_renamed(limits, former.names, spec.names),
        **{name: [] for name in _LISTED if name in changed},
    }


_LISTED = ("lease_seconds", "description")


def _settings(spec: StudySpec) -> dict[str, Any]:
    return {
        **spec.limits.to_json(),
        "lease_seconds": spec.lease_seconds,
        "description": spec.description,
    }
