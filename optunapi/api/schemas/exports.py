"""A trial as `export` writes it and `import` takes it back: what a reply shows, and all else it has.

Beside the fields of a TrialReply a line has these, each only where there is something to say:

    artifacts    the files kept with the trial, without their bytes
    not_finite   the numbers that JSON cannot hold: a JSON Pointer (RFC 6901) for each, and its name
    kept         what no reply shows: notes of samplers, distributions that are not those of the
                 specification in force, the rest of OptunAPI's own record
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, get_type_hints

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from optunapi.api.schemas.fields import (
    WHOLE,
    Constraints,
    Moment,
    NewAttrs,
    Steps,
    Worker,
    by_step,
    time_of,
)
from optunapi.api.schemas.trials import trial_of
from optunapi.engine.records import CONSTRAINT, TRIAL, TrialRecord, constraint_attrs
from optunapi.engine.spec.distributions import distribution_from_wire, distribution_to_wire
from optunapi.engine.state.templates import FIXED, blank_trial
from optunapi.engine.trials.artifacts import ARTIFACT, Artifact, artifacts_of
from optunapi.engine.trials.imports import ExportedTrial
from optunapi.engine.values import TrialView

# What a TrialReply shows of a record; idempotency keys belong to the study that got the requests.
_SHOWN = frozenset(
    {"created_at", "spec_version", "worker", "attempt", "lease", "stop_requested", "fail_reason"}
    | {"retry_of", "keys", "configured"}
)
_RECORD = {
    name: TypeAdapter(hint) for name, hint in get_type_hints(TrialRecord).items() if name != "keys"
}


def exported_of(view: TrialView, in_force: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """A line of an export; `in_force` has the parameters of the specification in force.

    It may have numbers that are not finite: see `with_pointers`.
    """
    trial, line = view.trial, trial_of(view)
    line["values"] = trial.values
    line["intermediate_values"] = {
        str(step): value for step, value in sorted(trial.intermediate_values.items())
    }
    line["constraints"] = dict(trial.constraints)
    if artifacts := artifacts_of(trial):
        line["artifacts"] = [
            {**asdict(each), "uploaded_at": time_of(each.uploaded_at)} for each in artifacts
        ]
        for each in line["artifacts"]:
            del each["artifact_id"]
    if kept := _kept(trial, line, in_force):
        line["kept"] = kept
    return line


def _kept(
    trial: FrozenTrial, line: Mapping[str, Any], in_force: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    is_queued = trial.state == TrialState.WAITING and not trial.params
    attrs = {
        key: value
        for key, value in trial.system_attrs.items()
        if key != TRIAL
        and not key.startswith((CONSTRAINT, ARTIFACT))
        and not (key == FIXED and is_queued and value)  # these are its `params`
    }
    distributions = {
        name: distribution_to_wire(distribution)
        for name, distribution in trial.distributions.items()
        if name not in line["distributions"] and distribution != in_force.get(name)
    }
    record = TrialRecord.of(trial).attrs()[TRIAL]
    found: dict[str, Any] = {
        "system_attrs": attrs,
        "distributions": distributions,
        "record": {name: value for name, value in record.items() if name not in _SHOWN},
        # A trial that was given back has parameters of its own beside those it was queued with.
        "sampled": list(trial.params) if trial.state == TrialState.WAITING else [],
    }
    return {name: value for name, value in found.items() if value}


def with_pointers(line: dict[str, Any]) -> dict[str, Any]:
    """The line as strict JSON can hold it: numbers that are not finite are null and in `not_finite`."""
    pointers: dict[str, str] = {}
    found: dict[str, Any] = _replaced(line, "", pointers)
    return {**found, "not_finite": pointers} if pointers else found


def _replaced(value: Any, pointer: str, pointers: dict[str, str]) -> Any:
    match value:
        case float() if not math.isfinite(value):
            pointers[pointer] = _name(value)
            return None
        case dict():
            return {k: _replaced(v, f"{pointer}/{_escaped(k)}", pointers) for k, v in value.items()}
        case list() | tuple():
            return [_replaced(v, f"{pointer}/{i}", pointers) for i, v in enumerate(value)]
    return value


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _without_pointers(line: Any) -> Any:
    """The inverse of `with_pointers`."""
    if not isinstance(line, dict) or not line.get("not_finite"):
        return line
    pointers = line["not_finite"]
    if not isinstance(pointers, dict):
        raise ValueError("`not_finite` maps JSON Pointers to NaN, Infinity and -Infinity")
    for pointer, name in pointers.items():
        place: Any = line
        try:
            *parts, last = map(_unescaped, pointer.split("/")[1:])
            for part in parts:
                place = place[int(part)] if isinstance(place, list) else place[part]
            key = int(last) if isinstance(place, list) else last
            if place[key] is not None:
                raise ValueError
            place[key] = _NUMBERS[name]
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"`not_finite` names {pointer!r}, where there is no null") from None
    return line


class _Lenient(BaseModel):
    """A part of a line. Fields that it does not know are ignored: a later version may have added them."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class ExportedLease(_Lenient):
    """The lease that a running trial had."""

    id: Annotated[str, Field(max_length=255)]
    expires_at: Moment


class ExportedArtifact(_Lenient):
    """A file that was kept with the trial."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    mimetype: str | None = None
    encoding: str | None = None
    size: Annotated[int, Field(ge=0), WHOLE] | None = None
    sha256: str | None = None
    uploaded_at: Moment | None = None


class ExportedRest(_Lenient):
    """What no reply shows."""

    system_attrs: NewAttrs = Field(default_factory=dict)
    distributions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    record: dict[str, Any] = Field(default_factory=dict)
    sampled: list[str] = Field(default_factory=list)


class ExportedBody(_Lenient):
    """A trial as `export` writes it, in any state. It is told by its `study` and `number`."""

    @model_validator(mode="before")
    @classmethod
    def _read_pointers(cls, line: Any) -> Any:
        return _without_pointers(line)

    study: str
    number: Annotated[int, Field(ge=0), WHOLE]
    state: Literal["waiting", "running", "complete", "pruned", "fail"]
    params: NewAttrs
    distributions: dict[str, dict[str, Any]] = Field(default_factory=dict)
    values: list[float] | None = None
    intermediate_values: Steps = Field(default_factory=dict)
    constraints: Constraints = Field(default_factory=dict)
    user_attrs: NewAttrs = Field(default_factory=dict)
    worker: Worker | None = None
    attempt: Annotated[int, Field(ge=0, lt=2**53), WHOLE] = 0
    lease: ExportedLease | None = None
    stop_requested: bool = False
    fail_reason: Annotated[str, Field(max_length=10_000)] | None = None
    retry_of: Annotated[int, WHOLE] | None = None
    spec_version: Annotated[str, Field(max_length=255)] | None = None
    created_at: Moment | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    artifacts: list[ExportedArtifact] = Field(default_factory=list)
    kept: ExportedRest = Field(default_factory=ExportedRest)

    def trial(self) -> ExportedTrial:
        """The trial as the engine takes it.

        Raises:
            ValueError: a part of it is none.
        """
        template = blank_trial(self.number, None, TrialState[self.state.upper()])
        params, kept = dict(self.params), self.kept
        attrs = {k: v for k, v in kept.system_attrs.items() if not k.startswith(_OURS)}
        if template.state == TrialState.WAITING:
            queued = {name: v for name, v in params.items() if name not in kept.sampled}
            params = {name: params[name] for name in kept.sampled if name in params}
            if queued and not params:
                attrs[FIXED] = queued
        if not isinstance(attrs.get(FIXED, {}), dict):
            raise ValueError(f"`{FIXED}` is an object")
        template.params = params
        template.values = self.values
        template.intermediate_values = by_step(self.intermediate_values)
        template.user_attrs = dict(self.user_attrs)
        # Optuna shows the constraints of a `constraints_func`, which are in a list, by their places.
        listed = attrs.get("constraints")
        places = {*map(str, range(len(listed)))} if isinstance(listed, list) else set()
        named = {k: v for k, v in self.constraints.items() if k not in places}
        template.system_attrs = attrs | constraint_attrs(named, {})
        shown = {name: getattr(self, name) for name in _SHOWN - {"keys", "lease", "configured"}}
        # With the same specification, its version is enough to know them.
        shown["configured"] = sorted(params.keys() - self.distributions.keys())
        shown["lease"] = None if self.lease is None else self.lease.id
        record = {
            name: kind.validate_python({**kept.record, **shown}[name])
            for name, kind in _RECORD.items()
            if name in kept.record or name in shown
        }
        return ExportedTrial(
            trial=template,
            distributions={
                name: distribution_from_wire(wire)
                for name, wire in (kept.distributions | self.distributions).items()
            },
            record=TrialRecord(**record),
            lease_until=None if self.lease is None else self.lease.expires_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            artifacts=[
                Artifact(artifact_id="", **{**dict(each), "mimetype": each.mimetype or ""})
                for each in self.artifacts
            ],
        )


_OURS = ("optunapi:", CONSTRAINT, ARTIFACT)
