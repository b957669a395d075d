"""Points between a draw and the best trial."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from optunapi.engine.samplers.native import mixing
from optunapi.engine.samplers.native import tpe as native
from optunapi.engine.samplers.native.axes import axis_of
from optunapi.engine.samplers.native.mixing import ALL_FROM, KEPT, MIXED, PARTIAL, UNIFORM, mixed
from optunapi.engine.samplers.native.tpe import TPE
from optunapi.engine.samplers.native.window import TRIALS_PER_LEADER
from tests.unit.samplers.support import follow, sampler_of, score, spec_of

SPEC = spec_of("tpe")
AXES = {p.name: axis_of(p.distribution) for p in SPEC.parameters}
DRAWN = {"kind": "b", "layers": 4, "width": 16, "dropout": 0.0, "rate": 1e-5, "x": -3.0}
BEST = {"kind": None, "layers": 1, "width": 1024, "dropout": 0.6, "rate": 1.0, "x": 3.0}
POINTS = [mixed(AXES, lambda: DRAWN, [BEST], seed, ALL_FROM) for seed in range(6000)]
MADE = [point for point in POINTS if point != DRAWN]


@pytest.fixture
def nothing_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SCREENED", 2**64)


def shares_of(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[float]:
    """The share of the points that have the best trial's value, for each parameter."""
    kept = Counter(name for point in points for name in names if point[name] == BEST[name])
    return [kept[name] / len(points) for name in names]


def test_the_configured_part_of_the_draws_is_not_mixed() -> None:
    assert 1 - len(MADE) / len(POINTS) == pytest.approx(1 - MIXED, abs=0.02)


@pytest.mark.parametrize("number", [0, 30, 60, 90, 500])
def test_the_earlier_the_trial_the_fewer_are_mixed(number: int) -> None:
    points = [mixed(AXES, lambda: DRAWN, [BEST], seed, number) for seed in range(3000)]
    share = sum(point != DRAWN for point in points) / len(points)
    assert share == pytest.approx(MIXED * min(1.0, number / ALL_FROM), abs=0.03)


def test_a_mixed_point_is_seldom_the_best_trial_itself() -> None:
    """At least one parameter is replaced, but its new value may equal the best trial's."""
    assert sum(point == BEST for point in MADE) < len(MADE) / 15


def test_every_parameter_is_kept_as_often() -> None:
    # Where all parameters would be kept, one is replaced all the same.
    expected = KEPT - KEPT ** len(AXES) / len(AXES)
    assert shares_of(MADE, ("rate", "x")) == pytest.approx([expected] * 2, abs=0.02)
    steps = shares_of(MADE, ("kind", "width", "layers", "dropout"))
    assert all(expected - 0.02 < share < expected + 0.1 for share in steps)


def test_the_configured_part_of_the_points_has_uniform_parameters() -> None:
    """Only a choice that is neither the best trial's nor the draw's must be uniform."""
    others = sum(point["kind"] in ("a", True) for point in MADE) / len(MADE)
    free = 1 - KEPT + KEPT ** len(AXES) / len(AXES)
    assert others == pytest.approx(UNIFORM * free / 2, abs=0.01)
    assert {point["kind"] for point in MADE} == {"a", "b", None, True}


def test_half_of_the_points_that_are_not_uniform_go_all_the_way_to_the_draw() -> None:
    free = 1 - KEPT + KEPT ** len(AXES) / len(AXES)
    arrived = sum(point["x"] == DRAWN["x"] for point in MADE) / len(MADE)
    assert arrived == pytest.approx((1 - UNIFORM) * (1 - PARTIAL) * free, abs=0.02)


def test_numbers_that_go_part_of_the_way_go_the_same_fraction() -> None:
    """Two free parameters, neither uniform, move by the same fraction of the way."""
    axes = {name: AXES[name] for name in ("rate", "x")}
    ways = []
    for seed in range(3000):
        point = mixed(axes, lambda: DRAWN, [BEST], seed, ALL_FROM)
        if BEST["x"] != point["x"] != DRAWN["x"] and BEST["rate"] != point["rate"]:
            ways.append((point["x"] - 3) / -6 - math.log10(point["rate"]) / -5)
    alike = sum(abs(way) < 1e-9 for way in ways) / len(ways)
    whole = (1 - UNIFORM) * PARTIAL
    assert alike == pytest.approx(whole / (whole + UNIFORM), abs=0.1)


def test_numbers_that_go_part_of_the_way_lie_anywhere_on_it() -> None:
    between = [point["x"] for point in MADE if -3 < point["x"] < 3]
    for start in (-3.0, -1.5, 0.0, 1.5):
        assert sum(start <= x < start + 1.5 for x in between) > len(between) / 8


def test_every_value_is_one_of_its_parameter() -> None:
    for point in POINTS:
        for parameter in SPEC.parameters:
            value: Any = point[parameter.name]
            assert parameter.distribution._contains(parameter.distribution.to_internal_repr(value))


def test_all_leaders_are_equally_likely() -> None:
    leaders = [BEST | {"rate": rate} for rate in (1e-1, 1e-2, 1e-3)]
    points = [mixed(AXES, lambda: DRAWN, leaders, seed, ALL_FROM) for seed in range(3000)]
    taken = Counter(point["rate"] for point in points)
    shares = [taken[each["rate"]] / len(points) for each in leaders]
    expected = MIXED * (KEPT - KEPT ** len(AXES) / len(AXES)) / 3
    assert shares == pytest.approx([expected] * 3, abs=0.03)


def test_the_way_of_a_logarithm_is_one_of_logarithms() -> None:
    axis = AXES["rate"]
    assert axis.interpolate(1e-4, 1.0, 0.5) == pytest.approx(1e-2)
    assert axis.interpolate(1e-4, 1.0, 0.0) == pytest.approx(1e-4)
    assert AXES["width"].interpolate(16, 1024, 0.5) == round(math.sqrt(16 * 1024))
    assert AXES["layers"].interpolate(1, 4, 0.4) == 2
    assert AXES["dropout"].interpolate(0.0, 0.6, 0.5) == pytest.approx(0.3)


def test_the_same_seed_mixes_the_same() -> None:
    assert [mixed(AXES, lambda: DRAWN, [BEST], seed, ALL_FROM) for seed in range(50)] == POINTS[:50]


@pytest.mark.usefixtures("nothing_screened")
def test_a_mixed_point_is_taken_only_where_no_trial_was() -> None:
    """With four points in all, a mixed point is soon a known one; then TPE's own draw is used."""
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
        seeds._n_taken.clear()
        assert point == dict(sampler.draw_tpe(seeds.take(number, 0)))
        seeds._n_taken.clear()


@pytest.mark.usefixtures("nothing_screened")
def test_draws_are_mixed_with_the_best_trial() -> None:
    spec = spec_of({"name": "tpe", "seed": 4})
    sampler = sampler_of(spec)
    points = follow(sampler, spec, 60)
    best = min(points, key=score)
    drawn = [sampler.sample(number, {}) for number in range(60, 460)]
    shared = sum(point["rate"] == best["rate"] for point in drawn)
    assert shared > len(drawn) * MIXED * KEPT / 2
    assert all(point["rate"] != best["rate"] for point in points[:10] if point is not best)


@pytest.mark.usefixtures("nothing_screened")
def test_where_nothing_better_came_draws_are_mixed_with_others_of_the_best_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mixing, "ALL_FROM", 1)
    spec = spec_of({"name": "tpe", "seed": 4, "n_startup_trials": 30})
    sampler = sampler_of(spec)
    points = follow(sampler, spec, 30)
    best = sorted(points, key=score)
    number = points.index(best[0]) + 2 * TRIALS_PER_LEADER
    drawn = [sampler.sample(number, {}, attempt) for attempt in range(300)]
    taken = [sum(point["rate"] == each["rate"] for point in drawn) for each in best[:4]]
    assert min(taken[:3]) > len(drawn) / 20
    assert taken[3] == 0
