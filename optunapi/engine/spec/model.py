"""A study's specification as values: what to optimise, how to sample it, and when to end."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from optuna.study import StudyDirection

from optunapi.engine.pruners.registry import PRUNERS
from optunapi.engine.samplers.problem import Problem
from optunapi.engine.samplers.registry import SAMPLERS
from optunapi.engine.space import Parameter
from optunapi.engine.spec.distributions import distribution_to_spec, distribution_to_wire

Direction = Literal["minimize", "maximize"]
AvoidDuplicates = Literal["off", "running", "all"]

AVOID_DUPLICATES: tuple[AvoidDuplicates, ...] = ("off", "running", "all")
DIRECTIONS: tuple[Direction, ...] = ("minimize", "maximize")
DEFAULT_OBJECTIVE = "score"


def default_names(n_objectives: int) -> list[str]:
    """The names of objectives that nobody named: `score`, or `score_0`, `score_1` and so on."""
    if n_objectives == 1:
        return [DEFAULT_OBJECTIVE]
    return [f"{DEFAULT_OBJECTIVE}_{i}" for i in range(n_objectives)]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What one of a trial's values stands for, and which direction is better."""

    name: str
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a study, None if not set; their rules are in `engine.limits`. Times are in seconds."""

    max_trials: int | None = None
    max_running: int | None = None
    max_duration: float | None = None
    max_failed_trials: int | None = None
    max_cost: float | None = None
    trial_timeout: float | None = None
    target: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Every limit by its name; those not set are null."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """Everything that a configuration says, with the defaults filled in."""

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
        """The JSON that reads again as this specification."""
        return {
            "description": self.description,
            "objectives": [asdict(objective) for objective in self.objectives],
            "sampler": dict(self.sampler),
            "pruner": dict(self.pruner),
            **self.limits.to_json(),
            "lease": self.lease_seconds,
            "max_attempts": self.max_attempts,
            "avoid_duplicates": self.avoid_duplicates,
            "user_attrs": dict(self.user_attrs),
            "enqueue": [dict(point) for point in self.enqueue],
            "parameters": {
                parameter.name: {
                    **parameter_to_wire(parameter),
                    **distribution_to_spec(parameter.distribution),
                }
                for parameter in self.parameters
            },
        }

    @cached_property
    def version(self) -> str:
        """12 hexadecimal digits that differ where the study's trials would differ.

        They are the start of the SHA-256 of the specification as canonical JSON: without its
        description, its user attributes, the names of its objectives and the order of its parameters,
        and without arguments of the sampler and pruner that equal their default.
        """
        found = comparable(self.with_names(default_names(len(self.objectives))))
        del found["description"], found["user_attrs"]
        return hashlib.sha256(canonical_json(found).encode()).hexdigest()[:12]

    @property
    def names(self) -> list[str]:
        """The objectives' names."""
        return [objective.name for objective in self.objectives]

    def with_names(self, names: Sequence[str]) -> Self:
        """The specification with other names of the objectives, in their order."""
        if list(names) == self.names:
            return self
        return replace(
            self,
            objectives=tuple(
                replace(objective, name=name)
                for objective, name in zip(self.objectives, names, strict=True)
            ),
            limits=replace(self.limits, target=renamed(self.limits.target, self.names, names)),
        )

    @property
    def directions(self) -> list[StudyDirection]:
        """The objectives' directions, as Optuna names them."""
        return [StudyDirection[objective.direction.upper()] for objective in self.objectives]

    @property
    def problem(self) -> Problem:
        """What a sampler needs to know."""
        return Problem(parameters=self.parameters, directions=self.directions, sampler=self.sampler)


def renamed(
    target: Mapping[str, float] | None, names: Sequence[str], new_names: Sequence[str]
) -> Mapping[str, float] | None:
    """A target by the new names of the objectives."""
    if target is None:
        return None
    new = dict(zip(names, new_names, strict=True))
    return {new.get(name, name): value for name, value in target.items()}


def parameter_to_wire(parameter: Parameter) -> dict[str, Any]:
    """The parameter as clients and configurations write it."""
    wire = distribution_to_wire(parameter.distribution)
    if parameter.when:
        wire["when"] = {name: list(values) for name, values in parameter.when.items()}
    return wire


def comparable(spec: StudySpec) -> dict[str, Any]:
    """`to_json` without arguments that equal their default: the same for equal specifications."""
    found = spec.to_json()
    found["parameters"] = {each.name: parameter_to_wire(each) for each in spec.parameters}
    found["sampler"] = SAMPLERS[spec.sampler["name"]].without_defaults(spec.sampler)
    found["pruner"] = PRUNERS[spec.pruner["name"]].without_defaults(spec.pruner)
    return found


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values, and differs for 1, 1.0 and true.

    Optuna allows choices that are not finite: they are written as Python writes them.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
