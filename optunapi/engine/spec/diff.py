"""What differs between two specifications, and which differences a study's trials do not allow."""

from collections.abc import Mapping
from typing import Any

from optunapi.engine.spec.distributions import distribution_to_wire
from optunapi.engine.spec.model import StudySpec, canonical_json, comparable


def differences(old: StudySpec, new: StudySpec) -> list[dict[str, Any]]:
    """Everything that differs, as `key`, `old` and `new`; parameters and their settings one by one.

    What one of them lacks is null there. The order of the parameters does not count.
    """
    before, after = comparable(old), comparable(new)
    former, latter = before.pop("parameters"), after.pop("parameters")
    found = _differences(before, after, "")
    for change in _differences(former, latter, "parameters."):
        both = change["old"] and change["new"]
        found += (
            _differences(change["old"], change["new"], f"{change['key']}.") if both else [change]
        )
    return found


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str
) -> list[dict[str, Any]]:
    return [
        {"key": f"{prefix}{name}", "old": old.get(name), "new": new.get(name)}
        for name in {**old, **new}
        if canonical_json(old.get(name)) != canonical_json(new.get(name))
    ]


def incompatibilities(old: StudySpec, new: StudySpec) -> list[dict[str, Any]]:
    """What in `new` does not fit trials made by `old`, as `key`, `old`, `new` and `reason`.

    Bounds, steps and conditions may change, parameters may come and go. Objectives must not change,
    nor a parameter's type, choices or `log`.
    """
    found: list[dict[str, Any]] = []
    before, after = old.to_json()["objectives"], new.to_json()["objectives"]
    if before != after:
        reason = "a study's objectives are fixed: its trials have values for these"
        found.append({"key": "objectives", "old": before, "new": after, "reason": reason})
    former = {p.name: distribution_to_wire(p.distribution) for p in old.parameters}
    for parameter in new.parameters:
        if parameter.name not in former:
            continue
        before, after = former[parameter.name], distribution_to_wire(parameter.distribution)
        same_type = before["type"] == after["type"]
        fixed = "type" if not same_type else "choices" if "choices" in after else "log"
        if canonical_json(before[fixed]) != canonical_json(after[fixed]):
            reason = f"a parameter's {fixed} cannot change: Optuna refuses trials of both kinds"
            change = {"key": f"parameters.{parameter.name}.{fixed}", "reason": reason}
            found.append(change | {"old": before[fixed], "new": after[fixed]})
    return found
