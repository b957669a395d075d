"""A study anew under another name: a specification, and of a history what fits it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.records import TRIAL, StudyRecord, TrialRecord
from optunapi.engine.space import fitted
from optunapi.engine.spec.read import Objective, StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.trials.artifacts import ARTIFACT

LATE_FOR = "late_for"
_CONSTRAINTS = ("constraints", "constraints:")

Values = list[float] | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is forked: a study as it was, with what was set of it by hand."""

    spec: StudySpec
    trials: Sequence[FrozenTrial] = ()
    record: StudyRecord = field(default_factory=StudyRecord)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


def origin_of(state: StudyState) -> Origin:
    """The study as it is now, to be called inside a unit of the state."""
    return Origin(
        spec=state.spec,
        trials=state.store.get_all_trials(state.id, deepcopy=False),
        record=state.record,
        user_attrs=state.store.get_study_user_attrs(state.id),
    )


def fitting_history(origin: Origin, spec: StudySpec) -> list[FrozenTrial]:
    """The finished trials that a study of `spec` could have, as templates in their order.

    A trial fits if every parameter of it that the space knows has a value there, under its conditions,
    and the objectives can be found again. Its parameters get the space's own distributions, so other
    choices, another type or a switched `log` shut out only the trials beyond them. A parameter the
    space does not know (it came by `suggest`, or was dropped) is kept as it is.
    """
    values_of = _values_of(origin.spec.objectives, spec.objectives)
    if values_of is None:
        return []
    fits = [
        (trial, point)
        for trial in origin.trials
        if trial.state.is_finished() and (point := _point(trial, spec)) is not None
    ]
    numbers = {trial.number: number for number, (trial, _) in enumerate(fits)}
    notes_hold = _notes_hold(origin.spec, spec)
    return [
        _template(trial, point, values_of(trial), numbers, notes_hold=notes_hold)
        for trial, point in fits
    ]


def _values_of(
    old: Sequence[Objective], new: Sequence[Objective]
) -> Callable[[FrozenTrial], Values] | None:
    """How a trial's values become those of the new objectives; None if they cannot.

    They are found by name, else by place if the directions are the same: then they were renamed.
    """
    places = {objective.name: place for place, objective in enumerate(old)}
    if all(objective.name in places for objective in new):
        chosen = [places[objective.name] for objective in new]
    elif [o.direction for o in old] == [o.direction for o in new]:
        chosen = list(range(len(new)))
    else:
        return None

    def values(trial: FrozenTrial) -> Values:
        return [trial.values[place] for place in chosen] if trial.values else None

    return values


Point = tuple[dict[str, Any], dict[str, BaseDistribution]]


def _point(trial: FrozenTrial, spec: StudySpec) -> Point | None:
    """The trial's parameters with the distributions of the space, None if they are not in it."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    for parameter in spec.parameters:
        if parameter.name not in params:
            continue
        found = fitted(parameter.distribution, params[parameter.name])
        if found is None or not parameter.applies(params):
            return None
        params[parameter.name] = found[0]
        distributions[parameter.name] = parameter.distribution
    return params, distributions


def _notes_hold(old: StudySpec, new: StudySpec) -> bool:
    """Whether what samplers and pruners noted with trials is true in the new study as well."""
    return (old.parameters, old.objectives, old.sampler, old.pruner) == (
        new.parameters,
        new.objectives,
        new.sampler,
        new.pruner,
    )


def _template(
    trial: FrozenTrial,
    point: Point,
    values: Values,
    numbers: Mapping[int, int],
    *,
    notes_hold: bool,
) -> FrozenTrial:
    template = blank_trial(-1, trial.datetime_start, trial.state)
    template.datetime_complete = trial.datetime_complete
    template.params, template.distributions = point
    template.values = values
    template.intermediate_values = dict(trial.intermediate_values)
    template.user_attrs = dict(trial.user_attrs)
    late_for = numbers.get(template.user_attrs.pop(LATE_FOR, None))
    if late_for is not None:
        template.user_attrs[LATE_FOR] = late_for
    record = TrialRecord.of(trial)
    late = None if record.late is None else numbers.get(record.late)
    # A request's key led to the other study's trial.
    record = replace(record, lease=None, lease_seconds=None, keys={}, late=late)
    template.system_attrs = {
        key: value
        for key, value in trial.system_attrs.items()
        # Files stay with the trial they were uploaded to.
        if key != TRIAL and not key.startswith(ARTIFACT) and (notes_hold or _is_constraint(key))
    } | record.attrs()
    return template


def _is_constraint(key: str) -> bool:
    whole, prefix = _CONSTRAINTS
    return key == whole or key.startswith(prefix)
