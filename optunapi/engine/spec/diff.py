"""What differs between two specifications, and what of it a study's history cannot live with."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from optunapi.engine.space import distribution_to_wire
from optunapi.engine.spec.model import StudySpec, canonical_json, comparable


def differences(old: StudySpec, new: StudySpec) -> list[dict[str, Any]]:
    """Everything that differs, as `key`, `old` and `new`; parameters and their settings one by one.

    What is absent on a side is null there. The order of the parameters does not count.
    """
    one, other = comparable(old), comparable(new)
    found = _differences(one.pop("parameters"), other.pop("parameters"), "parameters.")
    return _differences(one, other, "", deep=False) + found


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str, *, deep: bool = True
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in [*old, *(name for name in new if name not in old)]:
        one, other = old.get(name), new.get(name)
        if canonical_json(one) == canonical_json(other):
            continue
        if deep and isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differences(one, other, f"{prefix}{name}.", deep=False)
        else:
            found.append({"key": f"{prefix}{name}", "old": one, "new": other})
    return found


def incompatibilities(old: StudySpec, new: StudySpec) -> list[dict[str, Any]]:
    """What in `new` a history made by `old` cannot live with, as `key`, `old`, `new`, `reason`.

    Bounds, steps and conditions may change, parameters may come and go; objectives may not change,
    and no parameter's type, choices or `log`.
    """
    found: list[dict[str, Any]] = []
    before, after = old.to_json(), new.to_json()
    if before["objectives"] != after["objectives"]:
        reason = "a study's objectives are fixed: its trials have values for these"
        found.append(_change("objectives", before["objectives"], after["objectives"], reason))
    former = {parameter.name: parameter.distribution for parameter in old.parameters}
    for parameter in new.parameters:
        if parameter.name in former:
            key = f"parameters.{parameter.name}"
            found += _conflicts(key, former[parameter.name], parameter.distribution)
    return found


def _conflicts(key: str, old: BaseDistribution, new: BaseDistribution) -> list[dict[str, Any]]:
    before, after = distribution_to_wire(old), distribution_to_wire(new)
    if before["type"] != after["type"]:
        fixed = "type"
    elif isinstance(new, CategoricalDistribution):
        fixed = "choices"
    else:
        fixed = "log"
    if canonical_json(before[fixed]) == canonical_json(after[fixed]):
        return []
    reason = f"a parameter's {fixed} cannot change within a study: Optuna refuses a history of both"
    return [_change(f"{key}.{fixed}", before[fixed], after[fixed], reason)]


def _change(key: str, old: Any, new: Any, reason: str) -> dict[str, Any]:
    return {"key": key, "old": old, "new": new, "reason": reason}
