"""Points that are fixed or imported, checked against the space."""

from collections.abc import Mapping, Sequence
from typing import Any

from optunapi.engine.space import Parameter, fitted_point, misfits
from optunapi.engine.spec.model import StudySpec
from optunapi.errors import ValueInvalid


def checked_point(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """A point to evaluate, with its values as the distributions hold them.

    Raises:
        ValueInvalid: a name or value is outside the space, or the sampler needs more parameters.
    """
    point = checked_params(spec, params)
    if reason := lack(spec.parameters, spec.sampler["name"], params):
        raise ValueInvalid(reason, errors=[{"location": ["params"], "reason": reason}])
    return point


def checked_params(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters, with their values as the distributions hold them.

    Raises:
        ValueInvalid: a name or value is outside the space.
    """
    if reasons := misfits(spec.parameters, params):
        raise ValueInvalid(
            "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
            errors=[{"location": ["params", name], "reason": why} for name, why in reasons.items()],
        )
    return fitted_point(spec.parameters, params)


def flaw(spec: StudySpec, fixed: Mapping[str, Any] | None) -> str | None:
    """Why a queued point, which was not checked, cannot become a trial; None if it can.

    A number outside the bounds is accepted, as Optuna does: they may be narrower by now.
    """
    if fixed is None:
        return None
    for parameter in spec.parameters:
        if parameter.name in fixed:
            try:
                parameter.distribution.to_internal_repr(fixed[parameter.name])
            except (TypeError, ValueError) as error:
                return f"{parameter.name}: {error}"
    return lack(spec.parameters, spec.sampler["name"], fixed)


def lack(parameters: Sequence[Parameter], sampler: str, point: Mapping[str, Any]) -> str | None:
    """What is missing in a point that the sampler cannot complete."""
    missing = [p.name for p in parameters if p.name not in point and p.applies(point)]
    if not missing or sampler != "grid":  # Optuna's grid sampler has complete points only
        return None
    return f"it lacks {', '.join(missing)}: with the grid sampler a point gives every parameter"


def of_item(place: int, error: ValueInvalid) -> ValueInvalid:
    """The error of one of a request's items, at its place among them."""
    errors = [
        {**each, "location": ["items", place, *each["location"]]}
        for each in error.extra.get("errors", ())
    ] or [{"location": ["items", place], "reason": error.detail}]
    return ValueInvalid(f"item {place}: {error.detail}", errors=errors)
