"""Points between a draw and the best trial."""

import math
from collections import Counter
from typing import Any

import pytest

from optunapi.engine.samplers.axes import axis_of
from optunapi.engine.samplers.mixing import KEPT, MIXED, mixed
from optunapi.engine.samplers.native import TPE
from tests.unit.samplers.support import follow, sampler_of, score, spec_of

SPEC = spec_of("tpe")
AXES = {p.name: axis_of(p.distribution) for p in SPEC.parameters}
DRAWN = {"kind": "b", "layers": 4, "width": 16, "dropout": 0.0, "rate": 1e-5, "x": -3.0}
BEST = {"kind": None, "layers": 1, "width": 1024, "dropout": 0.6, "rate": 1.0, "x": 3.0}
POINTS = [mixed(AXES, DRAWN, BEST, seed) for seed in range(3000)]


def test_so_many_of_the_draws_stay_as_they_are() -> None:
    share = sum(point == DRAWN for point in POINTS) / len(POINTS)
    assert share == pytest.approx(1 - MIXED * (1 - KEPT ** len(AXES) / 2), abs=0.03)


def test_a_mixed_point_is_not_the_best_trial_itself_unless_its_way_is_short() -> None:
    assert sum(point == BEST for point in POINTS) < len(POINTS) / 100


def test_every_parameter_is_kept_as_often() -> None:
    kept = Counter(name for point in POINTS for name in AXES if point[name] == BEST[name])
    shares = [kept[name] / len(POINTS) for name in ("kind", "width", "rate", "x")]
    assert shares == pytest.approx([MIXED * KEPT] * 4, abs=0.04)


def test_a_number_lies_between_both_and_a_choice_is_one_of_them() -> None:
    for point in POINTS:
        assert point["kind"] in (DRAWN["kind"], BEST["kind"])
        for parameter in SPEC.parameters:
            value: Any = point[parameter.name]
            assert parameter.distribution._contains(parameter.distribution.to_internal_repr(value))
    between = [point["x"] for point in POINTS if -3 < point["x"] < 3]
    assert len(between) > len(POINTS) / 20


def test_the_way_of_a_logarithm_is_one_of_logarithms() -> None:
    axis = AXES["rate"]
    assert axis.between(1e-4, 1.0, 0.5) == pytest.approx(1e-2)
    assert axis.between(1e-4, 1.0, 0.0) == pytest.approx(1e-4)
    assert AXES["width"].between(16, 1024, 0.5) == round(math.sqrt(16 * 1024))
    assert AXES["layers"].between(1, 4, 0.4) == 2
    assert AXES["dropout"].between(0.0, 0.6, 0.5) == pytest.approx(0.3)


def test_the_same_seed_mixes_the_same() -> None:
    assert [mixed(AXES, DRAWN, BEST, seed) for seed in range(50)] == POINTS[:50]


def test_a_mixed_point_is_taken_only_where_no_trial_was() -> None:
    """Two parameters of two values: a mixed point is soon one that was tried; TPE's draws go on."""
    parameters = {
        name: {"type": "categorical", "choices": [0.0, 1.0]} for name in ("one", "another")
    }
    spec = spec_of({"name": "tpe", "seed": 1, "n_startup_trials": 4}, parameters)
    sampler = sampler_of(spec)
    assert isinstance(sampler, TPE)
    follow(sampler, spec, 40)
    assert {tuple(p.values()) for p in follow(sampler_of(spec), spec, 40)} == {
        (a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)
    }
    seeds = sampler._seeds
    for number in range(40, 60):
        point = sampler.sample(number, {})
        seeds._given.clear()
        assert point == dict(sampler.drawn(seeds.of(number, 0), number)[0])
        seeds._given.clear()


def test_draws_are_mixed_with_the_best_trial() -> None:
    spec = spec_of({"name": "tpe", "seed": 4})
    sampler = sampler_of(spec)
    points = follow(sampler, spec, 60)
    best = min(points, key=score)
    drawn = [sampler.sample(number, {}) for number in range(60, 460)]
    shared = sum(point["rate"] == best["rate"] for point in drawn)
    assert shared > len(drawn) * MIXED * KEPT / 2
    assert all(point["rate"] != best["rate"] for point in points[:10] if point is not best)
