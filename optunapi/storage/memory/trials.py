"""Trials as values: a new one from a template, and one with changes. Nothing is changed in place."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage.encoding import Distributions, normal_attrs, normal_value

_STEPS = range(-(2**63), 2**63)


def new_trial(
    template: FrozenTrial, number: int, trial_id: int, distributions: Distributions
) -> FrozenTrial:
    """The template as it would come back from the database, sharing nothing mutable with it.

    Raises:
        TypeError, ValueError: the database could not hold it.
    """
    if template.params.keys() != template.distributions.keys():
        raise ValueError("every parameter needs a distribution, and every distribution a parameter")
    shared = distributions.shared(template.distributions)
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


def running_trial(start: datetime) -> FrozenTrial:
    """The template of a trial about which nothing is known yet."""
    return FrozenTrial(
        number=-1,
        state=TrialState.RUNNING,
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


def changed_trial(
    trial: FrozenTrial,
    known: Distributions,
    *,
    state: TrialState,
    values: Sequence[float] | None,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    intermediate_values: Mapping[int, float],
    clear_intermediate_values: bool,
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
    drop_system_attrs: Collection[str],
    datetime_start: datetime | None,
    datetime_complete: datetime | None,
) -> FrozenTrial:
    """The trial with these changes; what is not changed is shared with it.

    Raises:
        TypeError, ValueError: the database could not hold it.
    """
    if params.keys() != distributions.keys():
        raise ValueError("every parameter needs a distribution, and every distribution a parameter")
    all_params, all_distributions = trial.params, trial.distributions
    if params:
        all_distributions = known.shared({**all_distributions, **distributions})
        new = {name: normal_value(all_distributions[name], params[name]) for name in params}
        all_params = {**all_params, **new}
    noted = trial.system_attrs
    if drop_system_attrs:
        noted = {key: value for key, value in noted.items() if key not in drop_system_attrs}
    reports = {} if clear_intermediate_values else trial.intermediate_values
    if intermediate_values:
        reports = {**reports, **_intermediate_values(intermediate_values)}
    return FrozenTrial(
        number=trial.number,
        state=state,
        value=None,
        values=trial.values if values is None else _values(values),
        datetime_start=datetime_start,
        datetime_complete=datetime_complete,
        params=all_params,
        distributions=all_distributions,
        user_attrs=_merged(trial.user_attrs, user_attrs),
        system_attrs=_merged(noted, system_attrs),
        intermediate_values=reports,
        trial_id=trial._trial_id,
    )


def private_copy(trial: FrozenTrial) -> FrozenTrial:
    """The trial with dicts of its own: Optuna's Trial writes into those of the one it works on."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=dict(trial.params),
        distributions=dict(trial.distributions),
        user_attrs=dict(trial.user_attrs),
        system_attrs=dict(trial.system_attrs),
        intermediate_values=dict(trial.intermediate_values),
        trial_id=trial._trial_id,
    )


def _merged(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {**old, **normal_attrs(new)} if new else old


def _values(values: Sequence[float] | None) -> list[float] | None:
    if values is None:
        return None
    floats = [float(value) + 0.0 for value in values]  # a zero loses its sign in SQLite
    if any(math.isnan(value) for value in floats):
        raise ValueError("an objective's value cannot be NaN: Optuna could not read it again")
    return floats


def _intermediate_values(values: Mapping[int, float]) -> dict[int, float]:
    floats = {int(step): float(value) + 0.0 for step, value in values.items()}  # see `_values`
    if any(step not in _STEPS for step in floats):
        raise ValueError("a step must fit in 64 bits")
    return floats
