"""Points, checked against a space."""

from collections.abc import Mapping
from typing import Any

from optunapi.engine.space import fitted_point, misfits
from optunapi.engine.spec.model import StudySpec
from optunapi.errors import ValueInvalid


def checked_point(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that are to be fixed, as the space holds them.

    Raises:
        ValueInvalid: a name or value that is not of the space, or too few for the sampler.
    """
    point = checked_params(spec, params)
    if reason := _lack(spec, params):
        raise ValueInvalid(reason, errors=[{"location": ["params"], "reason": reason}])
    return point


def checked_params(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's parameters as the space holds them.

    Raises:
        ValueInvalid: a name or value that is not of the space.
    """
    if reasons := misfits(spec.parameters, params):
        raise ValueInvalid(
            "; ".join(reasons.values()),
            errors=[{"location": ["params", name], "reason": why} for name, why in reasons.items()],
        )
    return fitted_point(spec.parameters, params)


def flaw(spec: StudySpec, fixed: Mapping[str, Any] | None) -> str | None:
    """Why no trial can be made of a point that was queued unchecked, or None.

    A number beyond the bounds is no flaw: Optuna takes it, and they may have been narrowed since.
    """
    if fixed is None:
        return None
    for parameter in spec.parameters:
        if parameter.name in fixed:
            try:
                parameter.distribution.to_internal_repr(fixed[parameter.name])
            except (TypeError, ValueError) as error:
                return f"{parameter.name}: {error}"
    return _lack(spec, fixed)


def _lack(spec: StudySpec, fixed: Mapping[str, Any]) -> str | None:
    """What a point lacks that the sampler could not add."""
    missing = [p.name for p in spec.parameters if p.name not in fixed and p.applies(fixed)]
    if not missing or spec.sampler["name"] != "grid":
        return None
    # Optuna's grid sampler has whole points, and nothing to complete others with.
    return f"it lacks {', '.join(missing)}: with the grid sampler a point gives every parameter"


def of_item(place: int, error: ValueInvalid) -> ValueInvalid:
    """The error of one of the items of a request, saying of which."""
    errors = [
        {**each, "location": ["items", place, *each["location"]]}
        for each in error.extra.get("errors", ())
    ] or [{"location": ["items", place], "reason": error.detail}]
    return ValueInvalid(f"item {place}: {error.detail}", errors=errors)
