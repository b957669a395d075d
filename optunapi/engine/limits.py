"""The rules of a study's limits, such as `max_trials` and `max_running`: what a request may get.

The rules are functions of values: `Limits` are those of the specification, `Usage` is what they are
compared with. `allowance` is the rule of an ask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from optunapi.engine.spec.model import Limits, Objective
from optunapi.errors import NoSlot, StudyFinished

FinishedReason = Literal[
    "stopped",
    "target",
    "max_duration",
    "max_failed_trials",
    "max_cost",
    "max_trials",
    "space-exhausted",
]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the limits are compared with.

    `places` counts trials that take a place of `max_trials`: all but failed ones. `leased` counts leases,
    expired ones too. `duration` is in seconds since the first ask, 0 before it.
    """

    waiting: int
    running: int
    places: int
    leased: int
    failures: int
    cost: Fraction
    duration: float
    target_reached: bool
    unused_points: bool
    stopped: bool


def stop_reason(limits: Limits, usage: Usage) -> FinishedReason | None:
    """Why nothing is handed out any more, not even a waiting trial, or None."""
    if usage.stopped:
        return "stopped"
    if usage.target_reached:
        return "target"
    if limits.max_duration is not None and usage.duration >= limits.max_duration:
        return "max_duration"
    if limits.max_failed_trials is not None and usage.failures >= limits.max_failed_trials:
        return "max_failed_trials"
    if limits.max_cost is not None and usage.cost >= limits.max_cost:
        return "max_cost"
    return None


def full_reason(limits: Limits, usage: Usage) -> FinishedReason | None:
    """Why no new trial may be sampled, though waiting ones are still handed out, or None."""
    if not places_left(limits, usage.places, 1):
        return "max_trials"
    if not usage.unused_points:
        return "space-exhausted"
    return None


def places_left(limits: Limits, taken: int, count: int) -> int:
    """How many of `count` more trials `max_trials` allows, with `taken` places taken already."""
    if limits.max_trials is None:
        return count
    return max(0, min(count, limits.max_trials - taken))


def finished_reason(limits: Limits, usage: Usage) -> FinishedReason | None:
    """Why an ask is refused with `study-finished`, or None.

    A full study is not finished while a trial is leased, which may fail and free its place, or be
    handed on; nor while a trial waits, which is still handed out.
    """
    if reason := stop_reason(limits, usage):
        return reason
    return None if usage.waiting or usage.leased else full_reason(limits, usage)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many trials a request gets: running ones again, waiting ones, and new ones."""

    again: int
    waiting: int
    new: int


def allowance(
    limits: Limits, usage: Usage, *, count: int, again: int, takes_waiting: bool
) -> Allowance:
    """What a request for `count` trials gets when `again` running ones can be handed out again.

    Running trials come first and count towards no limit. Then come waiting trials, unless `takes_waiting`
    is False, then new ones. `max_running` limits these two, and `max_trials` the new ones.

    Raises:
        StudyFinished: nothing is handed out any more; `finished_reason` says why.
        NoSlot: nothing is free now, but something may become free.
    """
    reason = stop_reason(limits, usage) if again else finished_reason(limits, usage)
    if reason:
        raise study_finished(reason)
    again = min(again, count)
    room = count - again
    if limits.max_running is not None:
        room = max(0, min(room, limits.max_running - usage.running))
        if not again and not room:
            raise NoSlot(f"{usage.running} trials are running, which is the limit: ask again")
    waiting = min(room, usage.waiting) if takes_waiting else 0
    new = places_left(limits, usage.places, room - waiting) if usage.unused_points else 0
    if not again and not waiting and not new:
        raise NoSlot("every place is taken, but an open trial may still free its place: ask again")
    return Allowance(again=again, waiting=waiting, new=new)


def check_places(limits: Limits, taken: int, count: int) -> None:
    """Refuse to queue `count` more trials if `max_trials` does not allow all of them.

    Raises:
        StudyFinished: `max_trials` does not allow them.
    """
    if places_left(limits, taken, count) < count:
        raise StudyFinished(
            f"{count} more trial(s) would exceed max_trials: "
            f"{taken} of {limits.max_trials} places are taken",
            finished_reason="max_trials",
        )


def study_finished(reason: FinishedReason) -> StudyFinished:
    """The error for a study that hands out nothing more."""
    return StudyFinished(f"the study is finished: {reason}", finished_reason=reason)


def meets_target(
    target: Mapping[str, float], objectives: Sequence[Objective], values: Sequence[float]
) -> bool:
    """Whether a trial's values are as good as the target in every objective that the target names.

    No value is as good as a target for an objective that the study does not have.
    """
    if not target.keys() <= {objective.name for objective in objectives}:
        return False
    for objective, value in zip(objectives, values, strict=True):
        goal = target.get(objective.name)
        if goal is None:
            continue
        if value > goal if objective.direction == "minimize" else value < goal:
            return False
    return True
