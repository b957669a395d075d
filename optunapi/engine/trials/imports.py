"""Import of trials from elsewhere: all of them or none, in one commit."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.documents.document import quoted
from optunapi.engine.leases import Term
from optunapi.engine.lifecycle import Result, check_values, filled_in
from optunapi.engine.records import TrialRecord, constraint_attrs, renumbered, retries_renumbered
from optunapi.engine.space import allowed, fitted
from optunapi.engine.spec.model import StudySpec, canonical_json
from optunapi.engine.spec.points import checked_params, of_item
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.store import Commit
from optunapi.engine.trials.artifacts import Artifact
from optunapi.engine.trials.idempotency import remember, trials_of_key
from optunapi.errors import Superseded, ValueInvalid
from optunapi.telemetry.events import TrialsImported

LATEST = 253_402_214_400.0  # a datetime can hold this in any time zone
STEPS = range(2**63)  # those of a column of SQLite

Distributions = dict[str, BaseDistribution]


@dataclass(frozen=True, kw_only=True)
class ImportedTrial:
    """A trial that was finished elsewhere. Times are seconds since the epoch, by default now.

    `distributions` are needed if the study has no configured parameters.
    """

    result: Result
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportedTrial:
    """A trial of another study, in any state, with everything that it had there.

    `trial` has its number there, its parameters but not their distributions, and no times.
    `distributions` are those that the study may not have. `lease_until`, `started_at` and `finished_at`
    are seconds since the epoch. The `artifacts` have no ids, since their bytes do not come along.
    """

    trial: FrozenTrial
    record: TrialRecord
    distributions: Mapping[str, BaseDistribution]
    lease_until: float | None
    started_at: float | None
    finished_at: float | None
    artifacts: Sequence[Artifact]


Item = ImportedTrial | ExportedTrial


@dataclass(frozen=True, kw_only=True)
class Template:
    """A trial that is to be added, its record, and for an exported one its lease's end and former number."""

    trial: FrozenTrial
    record: TrialRecord
    lease_until: float | None = None
    number: int | None = None
    artifacts: Sequence[Artifact] = ()


def import_trials(
    state: StudyState, items: Sequence[Item], *, key: str | None, digest: str
) -> tuple[int, Commit]:
    """Add the trials; return how many. Limits do not apply.

    Raises:
        ValueInvalid: one of them does not fit the study; none is added.
        KeyReused: the key came before with another request.
    """
    with state.unit() as unit:
        known = trials_of_key(state, key, digest)
    if known:
        return len(items), unit.commit
    spec = state.spec
    templates = imported(spec, items, state.clock.time())  # slow, so outside of a unit
    with state.unit() as unit:
        if state.spec is not spec:
            raise Superseded("the study's specification has changed meanwhile")
        if not trials_of_key(state, key, digest):
            first = state.store.n_trials(state.id)
            numbers = {template.number: first + place for place, template in enumerate(templates)}
            trials = [
                _add(state, place, _renumbered(template, numbers))
                for place, template in enumerate(templates)
            ]
            remember(state, trials[:1], key, digest)
            if trials:
                state.note(TrialsImported, trials=len(trials))
    return len(items), unit.commit


def imported(spec: StudySpec, items: Sequence[Item], now: float) -> list[Template]:
    """The items as trials of a study of `spec`.

    Raises:
        ValueInvalid: one of them does not fit; the error says which.
    """
    known: Distributions = {}
    found = []
    for place, item in enumerate(items):
        try:
            if isinstance(item, ExportedTrial):
                template = _restored(spec, item)
            else:
                params, distributions = _placed(spec, item)
                trial = _template(spec, item, now)
                trial.params, trial.distributions = params, distributions
                record = TrialRecord(created_at=now, fail_reason=item.result.reason)
                template = Template(trial=trial, record=record)
            for name, distribution in template.trial.distributions.items():
                _check_kind(name, known.setdefault(name, distribution), distribution)
        except ValueInvalid as error:
            raise of_item(place, error) from None
        found.append(template)
    return found


def _add(state: StudyState, place: int, template: Template) -> FrozenTrial:
    record = template.record
    for artifact in template.artifacts:
        template.trial.system_attrs |= replace(artifact, artifact_id=state.new_id()).attrs()
    try:
        trial = state.add(template.trial, record)
    except (TypeError, ValueError) as error:
        # Without configured parameters, a name may be another kind of parameter in the study's trials.
        raise of_item(place, ValueInvalid(str(error))) from None
    if trial.state == TrialState.RUNNING:
        term, until = None, template.lease_until
        if until is not None and record.lease is not None and record.lease_seconds is not None:
            now = state.clock.now()
            # Not more than a term: where it was exported, another time may be shown.
            left = min(until - state.clock.time_of(now), record.lease_seconds)
            term = Term(record.lease, record.lease_seconds, now + left - record.lease_seconds)
        state.deadlines.resume(trial, term, state.limits.trial_timeout)
    return trial


def _renumbered(template: Template, numbers: Mapping[int | None, int]) -> Template:
    """The template, where it names other trials naming them by their new numbers.

    A trial that is not imported along is not named any more.
    """
    if template.number is None:
        return template
    template.trial.user_attrs = renumbered(template.trial.user_attrs, numbers)
    template.trial.system_attrs = retries_renumbered(template.trial.system_attrs, numbers)
    named = {
        name: numbers.get(value)
        for name in ("late", "retry_of")
        if (value := getattr(template.record, name, None)) is not None
    }
    return replace(template, record=template.record.with_(**named))


def _restored(spec: StudySpec, item: ExportedTrial) -> Template:
    """An exported trial as one of a study of `spec`."""
    own = {parameter.name: parameter.distribution for parameter in spec.parameters}
    trial = copy.copy(item.trial)
    times = [time for time in (item.started_at, item.finished_at) if time is not None]
    if not all(0 <= time <= LATEST for time in times):
        raise ValueInvalid("the trial's times must lie between the years 1970 and 9999")
    if trial.state.is_finished() and item.finished_at is None:
        raise ValueInvalid("a finished trial has a time in `finished_at`")
    if trial.state == TrialState.COMPLETE and trial.values is None:
        raise ValueInvalid("a complete trial has `values`")
    if trial.values is not None and len(trial.values) != len(spec.objectives):
        raise ValueInvalid(
            f"the study has {len(spec.objectives)} objective(s), and `values` has {len(trial.values)}: "
            f"{quoted(list(trial.values))}"
        )
    started, finished = item.started_at, item.finished_at
    trial.datetime_start = None if started is None else datetime.fromtimestamp(started)
    trial.datetime_complete = None if finished is None else datetime.fromtimestamp(finished)
    trial.params, trial.distributions = {}, {}
    for name, value in item.trial.params.items():
        distribution = item.distributions.get(name, own.get(name))
        if distribution is None:
            raise ValueInvalid(
                f"the study has no parameter {quoted(name)}: give it in `distributions`"
            )
        if name in own:
            _check_kind(name, own[name], distribution)
        trial.params[name] = _held_value(name, distribution, value)
        trial.distributions[name] = distribution
    return Template(
        trial=trial,
        record=(
            item.record.with_(configured=None)
            if item.record.spec_version in (None, spec.version)
            else item.record
        ),
        lease_until=item.lease_until,
        number=trial.number,
        artifacts=item.artifacts,
    )


_NUMBERS: Mapping[type, tuple[type, ...]] = {
    IntDistribution: (int,),
    FloatDistribution: (int, float),
}


def _held_value(name: str, distribution: BaseDistribution, value: Any) -> Any:
    """The value as the trial had it. A number may be out of range, as in Optuna."""
    if isinstance(distribution, CategoricalDistribution):
        written = canonical_json(value)
        for choice in distribution.choices:
            if canonical_json(choice) == written:
                return choice
    if (fits := fitted(distribution, value)) is not None:
        return fits[0]
    kinds = _NUMBERS.get(type(distribution), ())
    if type(value) not in kinds or value != value:
        raise ValueInvalid(f"{name}: {quoted(value)} is not {allowed(distribution)}")
    return value


def _template(spec: StudySpec, item: ImportedTrial, now: float) -> FrozenTrial:
    """The item as a trial, without its parameters."""
    times = [time for time in (item.started_at, item.finished_at) if time is not None] or [now]
    started = times[0]
    finished = times[-1] if item.finished_at is not None else max(now, started)
    if finished < started:
        raise ValueInvalid("the trial is finished before it is started: look at its times")
    if not 0 <= started <= finished <= LATEST:
        raise ValueInvalid("the trial's times must lie between the years 1970 and 9999")
    if any(step not in STEPS for step in item.intermediate_values):
        raise ValueInvalid(
            f"a step of `intermediate_values` must be a whole number from 0 to {STEPS.stop - 1}"
        )
    template = blank_trial(-1, datetime.fromtimestamp(started), item.result.state)
    template.datetime_complete = datetime.fromtimestamp(finished)
    template.intermediate_values = dict(item.intermediate_values)
    check_values(item.result, len(spec.objectives))
    result = filled_in(item.result, template, len(spec.objectives))
    template.user_attrs = dict(result.user_attrs)
    template.system_attrs = dict(constraint_attrs(result.constraints, {}))
    if result.values is not None:
        template.values = list(result.values)
    return template


def _placed(spec: StudySpec, item: ImportedTrial) -> tuple[dict[str, Any], Distributions]:
    """The parameters as their distributions hold them, and the distributions."""
    if spec.parameters:
        own = {parameter.name: parameter.distribution for parameter in spec.parameters}
        params = checked_params(spec, item.params)
        for name in own.keys() & item.distributions.keys():
            _check_kind(name, own[name], item.distributions[name])
        return params, {name: own[name] for name in params}
    params = {}
    for name, value in item.params.items():
        distribution = item.distributions.get(name)
        if distribution is None:
            raise ValueInvalid(
                f"the study has no parameter {quoted(name)}: give it in `distributions`"
            )
        fits = fitted(distribution, value)
        if fits is None:
            raise ValueInvalid(f"{name}: {quoted(value)} is not {allowed(distribution)}")
        params[name] = fits[0]
    return params, {name: item.distributions[name] for name in params}


def _check_kind(name: str, known: BaseDistribution, given: BaseDistribution) -> None:
    if known is given:
        return
    try:
        check_distribution_compatibility(known, given)
    except ValueError:
        raise ValueInvalid(
            f"{quoted(name)} is another kind of parameter in this study, or has other choices"
        ) from None
