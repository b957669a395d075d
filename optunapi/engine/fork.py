"""A study copied under another name: which of its trials fit a specification, and how they change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.overrides import limits_renamed
from optunapi.engine.records import (
    FIRST_FAILED,
    RETRIED,
    TRIAL,
    StudyRecord,
    TrialRecord,
    renumbered,
    retries_renumbered,
)
from optunapi.engine.space import fitted
from optunapi.engine.spec.model import Objective, StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.trials.artifacts import ARTIFACT

Values = list[float] | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A study that is forked, as it was, with what was set by hand."""

    spec: StudySpec
    trials: Sequence[FrozenTrial] = ()
    record: StudyRecord = field(default_factory=StudyRecord)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)


def origin_of(state: StudyState) -> Origin:
    """The study as it is now. Call it inside a unit of the state."""
    return Origin(
        spec=state.spec,
        trials=state.store.get_all_trials(state.id, deepcopy=False),
        record=state.record.with_(
            limits=limits_renamed(
                state.record.limits, state.configured_spec.names, state.spec.names
            )
        ),
        user_attrs=state.store.get_study_user_attrs(state.id),
    )


def fitting_history(origin: Origin, spec: StudySpec) -> list[FrozenTrial]:
    """The finished trials that a study with `spec` could have, in order, as templates for `add_trial`.

    A trial fits if its objectives can be mapped to the new ones, and each of its parameters that the
    new space has is in its range and meets its condition. Such a parameter gets the new distribution:
    a change of choices, type or `log` excludes only the trials whose values are not in it. A parameter
    that the new space does not have (it came by `suggest`, or was dropped) is kept as it is.
    """
    values_of = _values_of(origin.spec.objectives, spec.objectives)
    if values_of is None:
        return []
    fits = [
        (trial, point)
        for trial in origin.trials
        if trial.state.is_finished() and (point := _point(trial, spec)) is not None
    ]
    numbers: dict[int | None, int] = {t.number: number for number, (t, _) in enumerate(fits)}
    notes_hold = _notes_hold(origin.spec, spec)
    return [
        _template(trial, point, values_of(trial), numbers, notes_hold=notes_hold)
        for trial, point in fits
    ]


def _values_of(
    old: Sequence[Objective], new: Sequence[Objective]
) -> Callable[[FrozenTrial], Values] | None:
    """A function that returns a trial's values of the new objectives; None if they cannot be mapped.

    Objectives are mapped by name. If some names are unknown but the directions are the same, the
    objectives were renamed: they are mapped in order.
    """
    index = {objective.name: i for i, objective in enumerate(old)}
    if all(objective.name in index for objective in new):
        chosen = [index[objective.name] for objective in new]
    elif [o.direction for o in old] == [o.direction for o in new]:
        chosen = list(range(len(new)))
    else:
        return None

    def values(trial: FrozenTrial) -> Values:
        return [trial.values[i] for i in chosen] if trial.values else None

    return values


Point = tuple[dict[str, Any], dict[str, BaseDistribution]]


def _point(trial: FrozenTrial, spec: StudySpec) -> Point | None:
    """The trial's parameters with the new distributions; None if one of them does not fit."""
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
    """Whether what samplers and pruners noted with the trials holds in the new study too."""
    keys = ("parameters", "objectives", "sampler", "pruner")
    return all(getattr(old, key) == getattr(new, key) for key in keys)


def _template(
    trial: FrozenTrial,
    point: Point,
    values: Values,
    numbers: Mapping[int | None, int],
    *,
    notes_hold: bool,
) -> FrozenTrial:
    template = blank_trial(-1, trial.datetime_start, trial.state)
    template.datetime_complete = trial.datetime_complete
    template.params, template.distributions = point
    template.values = values
    template.intermediate_values = dict(trial.intermediate_values)
    template.user_attrs = renumbered(trial.user_attrs, numbers)
    record = TrialRecord.of(trial)
    # Leases and idempotency keys belong to the trial of the other study.
    record = replace(
        record,
        lease=None,
        lease_seconds=None,
        lease_key=None,
        keys={},
        late=numbers.get(record.late),
        retry_of=numbers.get(record.retry_of),
    )
    template.system_attrs = {
        key: value
        for key, value in retries_renumbered(trial.system_attrs, numbers).items()
        # Files stay with the trial to which they were uploaded.
        if key != TRIAL and not key.startswith(ARTIFACT) and (notes_hold or _is_kept(key))
    } | record.attrs()
    return template


def _is_kept(key: str) -> bool:
    """Whether Optuna keeps there what holds in any space: which trials were retried, or constraints."""
    is_constraint = key == "constraints" or key.startswith("constraints:")
    return is_constraint or key in (FIRST_FAILED, RETRIED)
