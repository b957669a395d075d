"""A range of the objective beside another one: of the configuration, of the trial, of other trials.

Optuna's own distributions say what is compatible, and which values a range has.
"""

import random
import warnings
from collections.abc import Iterator
from itertools import product
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.samplers import RandomSampler
from optuna.study import Study

from optunapi import Trial
from optunapi.errors import ValueInvalid
from optunapi.ranges import range_in_words
from tests.client.conftest import MakeStudy
from tests.support import scaled

FIXED: list[dict[str, Any]] = [
    {"type": "float", "low": 0, "high": 1},
    {"type": "float", "low": 0.25, "high": 0.5},
    {"type": "float", "low": -5, "high": 0.5},
    {"type": "float", "low": 7, "high": 9},
    {"type": "float", "low": 0, "high": 1, "step": 0.1},
    {"type": "float", "low": 0, "high": 1, "step": 0.2},
    {"type": "float", "low": 0.05, "high": 0.95, "step": 0.1},
    {"type": "float", "low": 0.1, "high": 1, "log": True},
    {"type": "float", "low": 0.5, "high": 10, "log": True},
    {"type": "int", "low": 0, "high": 1},
    {"type": "int", "low": 0, "high": 9},
    {"type": "int", "low": 0, "high": 8, "step": 2},
    {"type": "int", "low": 0, "high": 8, "step": 4},
    {"type": "int", "low": 1, "high": 9, "step": 2},
    {"type": "int", "low": 1, "high": 9, "log": True},
    {"type": "categorical", "choices": ["a", "b"]},
    {"type": "categorical", "choices": ["b", "a"]},
    {"type": "categorical", "choices": ["a", "b", "c"]},
    {"type": "categorical", "choices": [0, 1]},
    {"type": "categorical", "choices": ["0", None]},
]


def random_ranges(count: int, seed: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(seed)
    for _ in range(count):
        low, length, step = dice.randint(0, 6), dice.randint(0, 6), dice.choice([None, 1, 2, 3])
        match dice.randrange(4):
            case 0:
                choices = dice.sample(["a", "b", 1, 0.5, None, "é" * 400], dice.randint(1, 6))
                yield {"type": "categorical", "choices": choices}
            case 1:
                yield {
                    "type": "int",
                    "low": low,
                    "high": low + length * (step or 1),
                    "step": step or 1,
                }
            case 2:
                size = step and step / 10
                yield {
                    "type": "float",
                    "low": low,
                    "high": round(low + length * (size or 1), 6),
                    "step": size,
                }
            case 3:
                kind = dice.choice(["int", "float"])
                yield {"type": kind, "low": low + 1, "high": low + 1 + length, "log": True}


RANGES = FIXED + list(random_ranges(scaled(5, 60), seed=28))


def suggest(trial: Trial, name: str, wire: dict[str, Any]) -> Any:
    match wire:
        case {"type": "categorical"}:
            return trial.suggest_categorical(name, wire["choices"])
        case {"type": "int"}:
            step, log = wire.get("step", 1), wire.get("log", False)
            return trial.suggest_int(name, wire["low"], wire["high"], step=step, log=log)
    step, log = wire.get("step"), wire.get("log", False)
    return trial.suggest_float(name, wire["low"], wire["high"], step=step, log=log)


def in_optuna(wire: dict[str, Any]) -> BaseDistribution:
    given = {key: value for key, value in wire.items() if key != "type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a high that is no step
        match wire["type"]:
            case "categorical":
                return CategoricalDistribution(**given)
            case "int":
                return IntDistribution(**given)
    return FloatDistribution(**given)


def are_one_kind(one: dict[str, Any], other: dict[str, Any]) -> bool:
    try:
        check_distribution_compatibility(in_optuna(one), in_optuna(other))
    except ValueError:
        return False
    return True


def holds(wire: dict[str, Any], value: Any) -> bool:
    distribution = in_optuna(wire)
    return bool(distribution._contains(distribution.to_internal_repr(value)))


def includes(outer: dict[str, Any], inner: dict[str, Any]) -> bool:
    """Whether the outer range has each of many values of the inner one."""
    study = Study.__new__(Study)  # the sampler does not look at it
    trial, space = optuna.trial.create_trial(value=0), in_optuna(inner)
    sampler = RandomSampler(seed=1)
    drawn = (sampler.sample_independent(study, trial, "", space) for _ in range(60))
    return all(holds(outer, value) for value in drawn)


def assert_names_both(refusal: ValueInvalid, name: str, one: Any, other: Any) -> None:
    said = str(refusal)
    assert f'"{name}": ' in said
    for wire in (one, other):
        assert range_in_words(wire) in said
    assert "change one of them" in said


def test_a_range_of_the_objective_beside_that_of_the_configuration(make_study: MakeStudy) -> None:
    names = [f"p{i}" for i in range(len(RANGES))]
    study = make_study({"parameters": dict(zip(names, RANGES, strict=True))})
    for asked in RANGES:
        trial = study.ask()
        for name, configured in zip(names, RANGES, strict=True):
            value = trial.params[name]
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("ignore")  # of a high that is no step
                warnings.filterwarnings("always", ".* is ignored")
                if are_one_kind(configured, asked) and holds(asked, value):
                    assert suggest(trial, name, asked) == value
                    # A part of the objective's range is what the configuration is for.
                    assert bool(warned) == (not includes(asked, configured))
                    continue
                with pytest.raises(ValueInvalid) as refusal:
                    suggest(trial, name, asked)
            assert not warned
            assert_names_both(refusal.value, name, configured, asked)
            assert "in the study's configuration" in str(refusal.value)
        trial.fail()


def test_a_range_beside_one_that_the_trial_or_another_trial_has(make_study: MakeStudy) -> None:
    study = make_study({"parameters": {}})
    pairs = random.Random(1).sample(list(product(RANGES, RANGES)), scaled(80, 2000))
    with study.ask() as first:
        for i, (known, _) in enumerate(pairs):
            suggest(first, f"{i}", known)
        first.tell(1)
    trial = study.ask()
    for i, (known, asked) in enumerate(pairs):
        name = f"{i}"
        if are_one_kind(known, asked):
            assert holds(asked, suggest(trial, name, asked))
            continue
        with pytest.raises(ValueInvalid) as refusal:
            suggest(trial, name, asked)
        assert_names_both(refusal.value, name, known, asked)
        assert "in the study's other trials" in str(refusal.value)
        suggest(trial, name, known)
        with pytest.raises(ValueInvalid) as refusal:
            suggest(trial, name, asked)
        assert_names_both(refusal.value, name, known, asked)
        assert "in this trial" in str(refusal.value)
    trial.fail()
