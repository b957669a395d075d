"""A study's specification as values: what is asked for, how it is sampled, when it ends."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from optuna.study import StudyDirection

from optunapi.engine.pruners.registry import PRUNERS
from optunapi.engine.samplers.problem import Problem
from optunapi.engine.samplers.registry import SAMPLERS
from optunapi.engine.space import Parameter, distribution_to_wire

Direction = Literal["minimize", "maximize"]
AvoidDuplicates = Literal["off", "running", "all"]

AVOID_DUPLICATES: tuple[AvoidDuplicates, ...] = ("off", "running", "all")
DIRECTIONS: tuple[Direction, ...] = ("minimize", "maximize")
DEFAULT_OBJECTIVE = "score"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a trial's value stands for, and which way is better."""

    name: str
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a study ends or holds back; None where it does not. Times are seconds."""

    max_trials: int | None = None
    max_running: int | None = None
    max_duration: float | None = None
    max_failed_trials: int | None = None
    max_cost: float | None = None
    trial_timeout: float | None = None
    target: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Every limit by its name, those not set as null."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return found | {"target": None if self.target is None else dict(self.target)}


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Everything a configuration says, defaults filled in."""

    description: str | None = None
    objectives: tuple[Objective, ...] = (Objective(name=DEFAULT_OBJECTIVE, direction="minimize"),)
    parameters: tuple[Parameter, ...] = ()
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"name": "tpe"})
    pruner: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    limits: Limits = Limits()
    lease_seconds: float | None = None
    max_attempts: int = 3
    avoid_duplicates: AvoidDuplicates = "running"
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    enqueue: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The body of a PUT that gives this specification again."""
        return {
            "description": self.description,
            "objectives": [
                {"name": objective.name, "direction": objective.direction}
                for objective in self.objectives
            ],
            "sampler": dict(self.sampler),
            "pruner": dict(self.pruner),
            **self.limits.to_json(),
            "lease": self.lease_seconds,
            "max_attempts": self.max_attempts,
            "avoid_duplicates": self.avoid_duplicates,
            "user_attrs": dict(self.user_attrs),
            "enqueue": [dict(point) for point in self.enqueue],
            "parameters": {
                parameter.name: parameter_to_wire(parameter) for parameter in self.parameters
            },
        }

    @cached_property
    def version(self) -> str:
        """12 hexadecimal digits that change with whatever changes what trials the study makes.

        They are the start of the SHA-256 of the specification as canonical JSON, without the
        description and user attributes, without the order of the parameters, and with a sampler's
        or pruner's argument that states its default left out.
        """
        found = comparable(self)
        del found["description"], found["user_attrs"]
        canonical = canonical_json(found)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def directions(self) -> list[StudyDirection]:
        """The objectives' directions, as Optuna names them."""
        return [StudyDirection[objective.direction.upper()] for objective in self.objectives]

    @property
    def problem(self) -> Problem:
        """What a sampler needs to know."""
        return Problem(parameters=self.parameters, directions=self.directions, sampler=self.sampler)


def parameter_to_wire(parameter: Parameter) -> dict[str, Any]:
    """The parameter as clients and configurations write it."""
    wire = distribution_to_wire(parameter.distribution)
    if parameter.when:
        wire["when"] = {name: list(values) for name, values in parameter.when.items()}
    return wire


def comparable(spec: StudySpec) -> dict[str, Any]:
    """`to_json` but for arguments that state their default: equal where two specifications are."""
    found = spec.to_json()
    found["sampler"] = SAMPLERS[spec.sampler["name"]].without_defaults(spec.sampler)
    found["pruner"] = PRUNERS[spec.pruner["name"]].without_defaults(spec.pruner)
    return found


def canonical_json(value: Any) -> str:
    """JSON that is equal for equal values, and tells 1 from 1.0 and from true.

    A choice that is not finite, which Optuna allows, stands as Python writes it.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
