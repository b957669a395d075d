"""Pruners by name: each is made and used, or refused where it cannot prune the study."""

import warnings
from typing import Any

import optuna
import pytest
from optuna import pruners

from optunapi.engine.pruners.registry import make_pruner
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid


def spec_of(pruner: Any, **settings: Any) -> StudySpec:
    return spec_from_mapping({"pruner": pruner, "parameters": {}, **settings})


def refusals(pruner: Any, **settings: Any) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as caught:
        spec_of(pruner, **settings)
    return {error["key"]: error["reason"] for error in caught.value.extra["errors"]}


def pruned_at(spec: StudySpec, *, steps: int = 12) -> int | None:
    """The step at which a trial far worse than the eight before it is pruned."""
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(
        sampler=sampler, pruner=make_pruner(spec.pruner), study_name="fixed"
    )
    for number in range(8):
        trial = study.ask()
        for step in range(1, steps + 1):
            trial.report(0.01 * number + 1 / step, step)
            trial.should_prune()  # halving stores the trial's rung here
        study.tell(trial, 0.01 * number)
    trial = study.ask()
    for step in range(1, steps + 1):
        trial.report(100.0 + step, step)
        if trial.should_prune():
            return step
    return None


@pytest.mark.parametrize(
    ("pruner", "kind", "step"),
    [
        ("none", pruners.NopPruner, None),
        ("median", pruners.MedianPruner, 1),
        ({"name": "median", "n_startup_trials": 9}, pruners.MedianPruner, None),
        ({"name": "median", "n_warmup_steps": 4, "interval_steps": 2}, pruners.MedianPruner, 4),
        ({"name": "percentile", "percentile": 25}, pruners.PercentilePruner, 1),
        (
            {"name": "hyperband", "min_resource": 2, "max_resource": 9, "reduction_factor": 3},
            pruners.HyperbandPruner,
            2,
        ),
        (
            {"name": "successive-halving", "min_resource": 2, "reduction_factor": 2},
            pruners.SuccessiveHalvingPruner,
            2,
        ),
        ("successive-halving", pruners.SuccessiveHalvingPruner, 1),
        ({"name": "threshold", "upper": 103.5}, pruners.ThresholdPruner, 4),
        ({"name": "wilcoxon", "p_threshold": 0.05}, pruners.WilcoxonPruner, 5),
        ({"name": "patient", "patience": 3}, pruners.PatientPruner, 5),
        (
            {"name": "patient", "patience": 2, "min_delta": 0.5, "wrapped": {"name": "median"}},
            pruners.PatientPruner,
            4,
        ),
        (
            {"name": "patient", "patience": 1, "wrapped": {"name": "patient", "patience": 4}},
            pruners.PatientPruner,
            6,
        ),
    ],
    ids=str,
)
def test_every_pruner_is_made_by_its_name_and_prunes_when_it_should(
    pruner: Any, kind: type[pruners.BasePruner], step: int | None
) -> None:
    spec = spec_of(pruner)
    assert type(make_pruner(spec.pruner)) is kind
    assert pruned_at(spec) == step


def test_hyperband_is_made_by_its_bare_name() -> None:
    assert type(make_pruner(spec_of("hyperband").pruner)) is pruners.HyperbandPruner


def test_without_a_pruner_nothing_is_pruned() -> None:
    spec = spec_of(None)
    assert spec.pruner == {"name": "none"}
    assert pruned_at(spec) is None


def test_making_a_pruner_leaves_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    make_pruner(spec_of({"name": "patient", "patience": 1}).pruner)
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("pruner", "key", "words"),
    [
        ("mediam", "pruner", 'did you mean "median"?'),
        (5, "pruner", "5 is neither a pruner's name nor a mapping"),
        ({"n_startup_trials": 5}, "pruner", "`name` is missing"),
        ({"name": "median", "n_warmup": 5}, "pruner.n_warmup", 'did you mean "n_warmup_steps"?'),
        ({"name": "median", "n_warmup_steps": -1}, "pruner.n_warmup_steps", "below 0"),
        ({"name": "median", "interval_steps": 0}, "pruner.interval_steps", "at least 1"),
        ({"name": "median", "n_min_trials": 1.5}, "pruner.n_min_trials", "not a whole number"),
        ({"name": "percentile"}, "pruner", 'needs the argument "percentile"'),
        ({"name": "percentile", "percentile": 101}, "pruner.percentile", "between 0 and 100"),
        ({"name": "hyperband", "reduction_factor": 1}, "pruner.reduction_factor", "below 2"),
        ({"name": "hyperband", "min_resource": 0}, "pruner.min_resource", "below 1"),
        ({"name": "hyperband", "max_resource": "autp"}, "pruner.max_resource", '"auto"?'),
        (
            {"name": "hyperband", "min_resource": 9, "max_resource": 3},
            "pruner.max_resource",
            "3 is below `min_resource`, 9",
        ),
        ({"name": "hyperband", "bootstrap_count": 1}, "pruner.bootstrap_count", "incompatible"),
        ({"name": "successive-halving", "min_resource": 0}, "pruner.min_resource", "below 1"),
        ({"name": "threshold"}, "pruner", "lower or upper"),
        ({"name": "threshold", "lower": 2, "upper": 1}, "pruner.lower", "smaller"),
        ({"name": "wilcoxon", "p_threshold": 2}, "pruner.p_threshold", "between 0 and 1"),
        ({"name": "patient"}, "pruner", 'needs the argument "patience"'),
        (
            {"name": "patient", "patience": 1, "wrapped": {"name": "medan"}},
            "pruner.wrapped.name",
            'did you mean "median"?',
        ),
        (
            {"name": "patient", "patience": 1, "wrapped": {"name": "threshold"}},
            "pruner.wrapped",
            "lower or upper",
        ),
        (
            {"name": "patient", "patience": 1, "wrapped_pruner": "median"},
            "pruner.wrapped_pruner",
            "is a Python object",
        ),
    ],
    ids=str,
)
def test_an_argument_that_is_none_is_refused_at_its_key(pruner: Any, key: str, words: str) -> None:
    assert words in refusals(pruner)[key]


def test_several_objectives_cannot_be_pruned() -> None:
    objectives = {"accuracy": "maximize", "latency": "minimize"}
    assert "median cannot prune 2 objectives" in refusals("median", objectives=objectives)["pruner"]
    assert spec_of("none", objectives=objectives).pruner == {"name": "none"}
