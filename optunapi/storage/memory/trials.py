"""Trials as values: a new one from a template, and one with changes. Nothing is changed in place."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage.encoding import Distributions, normal_attrs, normal_value

_INT64 = range(-(2**63), 2**63)


class TrialChanges(TypedDict, total=False):
    """What can be changed of a trial. What is absent stays as it is, and so does what is None.

    Mappings are merged into those of the trial, after `clear_intermediate_values` and
    `drop_system_attrs` are applied. `params` and `distributions` have the same keys.
    """

    state: TrialState
    values: Sequence[float] | None
    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    intermediate_values: Mapping[int, float]
    clear_intermediate_values: bool
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    drop_system_attrs: Collection[str]
    datetime_start: datetime | None
    datetime_complete: datetime | None


def new_trial(
    template: FrozenTrial, number: int, trial_id: int, known: Distributions
) -> FrozenTrial:
    """The template as the database would return it, sharing nothing mutable with it.

    Raises:
        TypeError, ValueError: the database could not hold it.
    """
    _check_same_names(template.params, template.distributions)
    shared = known.shared(template.distributions)
    return FrozenTrial(
        number=number,
        state=template.state,
        value=None,
        values=_values(template.values),
        datetime_start=template.datetime_start,
        datetime_complete=template.datetime_complete,
        params={name: normal_value(shared[name], template.params[name]) for name in shared},
        distributions=shared,
        user_attrs=normal_attrs(template.user_attrs),
        system_attrs=normal_attrs(template.system_attrs),
        intermediate_values=_intermediate_values(template.intermediate_values),
        trial_id=trial_id,
    )


def changed_trial(trial: FrozenTrial, known: Distributions, new: TrialChanges) -> FrozenTrial:
    """The trial with these changes; what is not changed is shared with it.

    Unless the changes give the times, a trial that begins to run starts now, one that finishes is
    complete now, and one that goes back to waiting has no start.

    Raises:
        TypeError, ValueError: the database could not hold it.
    """
    state = new.get("state", trial.state)
    start, complete = trial.datetime_start, trial.datetime_complete
    if state != trial.state and state.is_finished():
        complete = datetime.now()
    elif state != trial.state:
        start = datetime.now() if state == TrialState.RUNNING else None
    params, distributions = new.get("params", {}), new.get("distributions", {})
    _check_same_names(params, distributions)
    all_params, all_distributions = trial.params, trial.distributions
    if params:
        all_distributions = known.shared({**all_distributions, **distributions})
        normal = {name: normal_value(all_distributions[name], params[name]) for name in params}
        all_params = {**all_params, **normal}
    system_attrs = trial.system_attrs
    if dropped := new.get("drop_system_attrs"):
        system_attrs = {key: value for key, value in system_attrs.items() if key not in dropped}
    reports = {} if new.get("clear_intermediate_values") else trial.intermediate_values
    if new_reports := new.get("intermediate_values"):
        reports = {**reports, **_intermediate_values(new_reports)}
    values = new.get("values")
    return FrozenTrial(
        number=trial.number,
        state=state,
        value=None,
        values=trial.values if values is None else _values(values),
        datetime_start=new.get("datetime_start") or start,
        datetime_complete=new.get("datetime_complete") or complete,
        params=all_params,
        distributions=all_distributions,
        user_attrs=_merged(trial.user_attrs, new.get("user_attrs")),
        system_attrs=_merged(system_attrs, new.get("system_attrs")),
        intermediate_values=reports,
        trial_id=trial._trial_id,
    )


def _check_same_names(params: Mapping[str, Any], distributions: Mapping[str, Any]) -> None:
    if params.keys() != distributions.keys():
        raise ValueError("every parameter needs a distribution, and every distribution a parameter")


def _merged(old: dict[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**old, **normal_attrs(new)} if new else old


def _values(values: Sequence[float] | None) -> list[float] | None:
    if values is None:
        return None
    floats = [float(value) + 0.0 for value in values]  # a zero loses its sign in SQLite
    if any(math.isnan(value) for value in floats):
        raise ValueError("an objective's value cannot be NaN: Optuna could not read it again")
    return floats


def _intermediate_values(values: Mapping[int, float]) -> dict[int, float]:
    floats = {int(step): float(value) + 0.0 for step, value in values.items()}  # as in `_values`
    if any(step not in _INT64 for step in floats):
        raise ValueError("a step must fit in 64 bits")
    return floats
