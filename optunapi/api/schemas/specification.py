"""A study's specification: what a `PUT` of a study takes, and how it is shown.

The reading of it is the engine's alone, so the schema says which keys there are and no more: what a
value may be often depends on its neighbours.
"""

from typing import Any, Literal

from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, Time, example, time_of
from optunapi.engine.values import SpecView

_LIMITS = {
    "max_trials": "How many trials may wait, run, be complete or pruned.",
    "max_running": "How many may run at once.",
    "max_duration": "How long from the first ask, in seconds or as 90s, 5m, 12h, 2d.",
    "max_failed_trials": "After how many failures the study ends.",
    "max_cost": "After which sum of the trials' user attribute `cost` it ends.",
    "trial_timeout": "How long one attempt may take.",
    "target": "The value that ends the study, or one for each objective named.",
}
_SETTINGS = {
    "description": "What the study is about.",
    "objectives": "Their names with `minimize` or `maximize`; by default `score`, minimised.",
    "direction": "`minimize` or `maximize`, for the one objective `score`.",
    "sampler": "Its `name` (tpe, random, gp, cmaes, qmc, grid, brute-force, nsga2, nsga3) and arguments.",
    "pruner": "Its `name` (none, median, percentile, hyperband, successive-halving, threshold, "
    "wilcoxon, patient) and arguments.",
    **_LIMITS,
    "lease": "How long a trial is held without a sign of life; by default for ever.",
    "max_attempts": "How many leases may run out before the trial fails; by default 3.",
    "avoid_duplicates": "`off`, `running` (no two open trials alike) or `all`.",
    "user_attrs": "Attributes of the study.",
    "enqueue": "Points that are tried first.",
}
_PARAMETER = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "name": {"description": "The parameter's name; rules over the key it stands under."},
        "type": {"enum": ["float", "int", "categorical"]},
        "low": {"description": "The least value."},
        "high": {"description": "The greatest value."},
        "step": {"description": "The distance between values."},
        "log": {"description": "Whether to sample in the logarithm."},
        "choices": {"description": "What a categorical parameter may be: scalars."},
        "when": {"description": "Earlier parameters' values with which this one applies."},
    },
}
_EXAMPLE = {
    "objectives": {"accuracy": "maximize"},
    "sampler": {"name": "tpe", "seed": 42},
    "max_trials": 200,
    "lease": "5m",
    "parameters": {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    },
}

SPEC_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "title": "Specification",
            "required": ["parameters"],
            "properties": {
                **{name: {"description": text} for name, text in _SETTINGS.items()},
                "parameters": {
                    "description": "The parameters by name, or a list of them; without any they come "
                    "by `suggest`.",
                    "anyOf": [
                        {"type": "object", "additionalProperties": _PARAMETER},
                        {"type": "array", "items": _PARAMETER},
                        {"enum": [None, ""]},
                    ],
                },
            },
            "additionalProperties": False,
        },
        {
            "type": "object",
            "title": "Parameters alone",
            "minProperties": 1,
            "additionalProperties": _PARAMETER,
        },
        {"type": "array", "title": "A list of parameters", "minItems": 1, "items": _PARAMETER},
    ],
    "examples": [_EXAMPLE],
}

SPEC_BODY = {
    "requestBody": {
        "required": True,
        "description": "A study's specification, as in its configuration file.",
        "content": {
            "application/json": {"schema": SPEC_SCHEMA},
            "application/yaml": {"schema": SPEC_SCHEMA},
        },
    }
}

NEW_SPEC_BODY = {
    "requestBody": {
        "required": True,
        "description": "A whole specification, or the version of an earlier one.",
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        *SPEC_SCHEMA["anyOf"],
                        {
                            "type": "object",
                            "title": "An earlier one",
                            "required": ["version"],
                            "properties": {"version": {"type": "string"}},
                            "additionalProperties": False,
                        },
                    ],
                    "examples": [_EXAMPLE, {"version": "9f2c41d07a6b"}],
                }
            },
            "application/yaml": {"schema": SPEC_SCHEMA},
        },
    }
}


class VersionReply(Reply):
    """A specification that is or was in force. `first_trial` is the first number it could give out."""

    spec_version: str
    since: Time | None
    first_trial: int


class SpecReply(Reply):
    """A study's specification with the defaults filled in, where it is from, and those before it."""

    model_config = ConfigDict(
        json_schema_extra=example(
            spec=_EXAMPLE,
            spec_version="9f2c41d07a6b",
            source="http",
            versions=[
                {
                    "spec_version": "9f2c41d07a6b",
                    "since": "2026-11-21T08:00:00.000Z",
                    "first_trial": 0,
                }
            ],
        )
    )

    spec: dict[str, Any]
    spec_version: str
    source: Literal["file", "http", "optuna"]
    versions: list[VersionReply]


SHOWN_SPEC: dict[int | str, dict[str, Any]] = {
    200: {
        "model": SpecReply,
        "description": "The specification",
        "content": {
            "application/yaml": {
                "schema": {"type": "string"},
                "example": "max_trials: 200\nparameters:\n  lr: {type: float, low: 0.1, high: 1}\n",
            }
        },
    }
}


def spec_of(view: SpecView) -> dict[str, Any]:
    """A SpecReply."""
    return {
        "spec": view.spec.to_json(),
        "spec_version": view.spec.version,
        "source": view.source,
        "versions": [
            {
                "spec_version": version.spec_version,
                "since": time_of(version.since),
                "first_trial": version.first_trial,
            }
            for version in view.versions
        ],
    }
