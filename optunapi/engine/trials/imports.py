"""Import of trials that were finished elsewhere: all of them or none, in one commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.trial import FrozenTrial

from optunapi.engine.documents.document import quoted
from optunapi.engine.lifecycle import Result, check_values, filled_in
from optunapi.engine.records import TrialRecord, constraint_attrs
from optunapi.engine.space import allowed, fitted
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import checked_params, of_item
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.store import Commit
from optunapi.engine.trials.idempotency import remember, trials_of_key
from optunapi.errors import Superseded, ValueInvalid

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


def import_trials(
    state: StudyState, items: Sequence[ImportedTrial], *, key: str | None, digest: str
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
    templates = imported(spec, items, state.clock())  # slow, so outside of a unit
    with state.unit() as unit:
        if state.spec is not spec:
            raise Superseded("the study's specification has changed meanwhile")
        if not trials_of_key(state, key, digest):
            trials = [_add(state, place, template) for place, template in enumerate(templates)]
            remember(state, trials[:1], key, digest)
    return len(items), unit.commit


def imported(
    spec: StudySpec, items: Sequence[ImportedTrial], now: float
) -> list[tuple[FrozenTrial, TrialRecord]]:
    """The items as trials of a study of `spec`.

    Raises:
        ValueInvalid: one of them does not fit; the error says which.
    """
    known: Distributions = {}
    found = []
    for place, item in enumerate(items):
        try:
            params, distributions = _placed(spec, item)
            for name, distribution in distributions.items():
                _check_kind(name, known.setdefault(name, distribution), distribution)
            template = _template(spec, item, now)
        except ValueInvalid as error:
            raise of_item(place, error) from None
        template.params, template.distributions = params, distributions
        found.append((template, TrialRecord(created_at=now, fail_reason=item.result.reason)))
    return found


def _add(state: StudyState, place: int, item: tuple[FrozenTrial, TrialRecord]) -> FrozenTrial:
    template, record = item
    try:
        return state.add(template, record)
    except ValueError as error:
        # Without configured parameters, a name may be another kind of parameter in the study's trials.
        raise of_item(place, ValueInvalid(str(error))) from None


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
