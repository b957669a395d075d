"""The candidates of a Gaussian process: near the best, new, and the same for the same history."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from optunapi.engine.samplers.native import screening
from optunapi.engine.samplers.native import tpe as native
from optunapi.engine.samplers.native.axes import axis_of
from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.samplers.native.screening import N_LEADERS, N_NEAR, N_UNIFORM, Screening
from optunapi.engine.samplers.native.tpe import TPE
from optunapi.engine.samplers.native.window import Changes
from optunapi.engine.samplers.ranking import Rank
from tests.unit.samplers.support import MIXED, follow, sampler_of, score, spec_of, trial_of

SPEC = spec_of("tpe")
AXES = {p.name: axis_of(p.distribution) for p in SPEC.parameters}
POINTS = follow(sampler_of(spec_of({"name": "random", "seed": 3})), SPEC, 40)


def changes(
    points: Mapping[int, Mapping[str, Any]],
    removed: Sequence[int] = (),
    running: frozenset[int] = frozenset(),
) -> Changes:
    added = {
        number: (point, Rank(0.0, (math.inf if number in running else score(point),), number))
        for number, point in points.items()
    }
    return Changes(added=added, removed=removed, running=running)


def updated(points: Sequence[Mapping[str, Any]] = POINTS) -> Screening:
    found = Screening(AXES)
    found.update(changes(dict(enumerate(points))))
    return found


def screening_of(sampler: NativeSampler) -> Screening:
    assert isinstance(sampler, TPE)
    assert sampler._screening is not None
    return sampler._screening


def firsts(one: Screening, number: int = 50, count: int = 30) -> list[Mapping[str, Any]]:
    return [next(iter(one.points(seed, number))) for seed in range(count)]


def test_every_point_is_one_of_the_space() -> None:
    found = [point for seed in range(40) for point in updated().points(seed, 50)]
    assert len(found) == 40 * (N_NEAR + N_UNIFORM)
    for point in found:
        assert point.keys() == MIXED.keys()
        for parameter in SPEC.parameters:
            value = point[parameter.name]
            assert parameter.distribution._contains(parameter.distribution.to_internal_repr(value))
    for name in ("kind", "layers"):
        assert {point[name] for point in found} == {
            *(["a", "b", None, True] if name == "kind" else [1, 2, 3, 4])
        }


def test_a_value_s_share_draws_that_value() -> None:
    for point in POINTS:
        for name, axis in AXES.items():
            again = axis.from_unit(axis.to_unit(value := point[name]))
            assert again == value or again == pytest.approx(value, rel=1e-9)


def test_points_share_parameters_with_the_best_trials_and_with_no_others() -> None:
    ranked = sorted(POINTS, key=score)
    rates = {point["rate"] for seed in range(200) for point in updated().points(seed, 50)}
    kept = [place for place, point in enumerate(ranked) if point["rate"] in rates]
    assert kept == [*range(N_LEADERS)]


def test_the_uniform_candidates_lie_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "FREE", 0.0)  # each nearby point changes one parameter
    leaders = sorted(POINTS, key=score)[:N_LEADERS]
    known = {name: {point[name] for point in leaders} for name in ("rate", "x")}
    points = [point for seed in range(20) for point in updated().points(seed, 50)]
    anywhere = [p for p in points if all(p[name] not in known[name] for name in known)]
    assert len(anywhere) == 20 * N_UNIFORM
    assert min(p["x"] for p in anywhere) < -2.8
    assert max(p["x"] for p in anywhere) > 2.8


def test_what_promises_most_is_better_than_what_is_merely_near() -> None:
    chosen = firsts(updated(), count=100)
    near = [[*updated().points(seed, 50)][-1] for seed in range(100)]
    assert sum(map(score, chosen)) < 0.8 * sum(map(score, near))


def test_the_same_seed_and_trials_give_the_same_points() -> None:
    again = updated(POINTS[:20])
    again.update(changes({number: POINTS[number] for number in range(20, 40)}))
    assert [*updated().points(7, 50)] == [*again.points(7, 50)]
    assert [*updated().points(7, 50)] != [*updated().points(8, 50)]


def test_what_is_running_is_chosen_again_less_often() -> None:
    again = 0
    for seed, chosen in enumerate(firsts(updated())):
        beside = updated()
        beside.update(changes({40: chosen}, running=frozenset({40})))
        again += next(iter(beside.points(seed, 50))) == chosen
    assert again < 25


def test_what_left_the_window_counts_no_more() -> None:
    found = updated()
    found.update(changes({40: {**POINTS[0], "rate": 0.5}}))
    found.update(changes({}, removed=[40]))
    assert [*found.points(1, 50)] == [*updated().points(1, 50)]


def test_no_more_trials_are_looked_at_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "MAX_TRIALS", 12)
    trials: list[screening._Trial] = [
        ((0.5,), Rank(0.0, (float(number),), number)) for number in range(40)
    ]
    seen = [rank.number for _, rank in screening._best_and_newest(trials)]
    assert seen == [0, 1, *range(30, 40)]
    assert screening._best_and_newest(trials[:12]) == trials[:12]


def test_the_kernel_is_fitted_to_trials_before_a_round_number() -> None:
    """The kernel changes only at every tenth number (every fiftieth above a hundred)."""
    found = updated(POINTS[:39])
    firsts(found, 39, 1)
    expected = found._fitted
    assert expected[0] == 30
    again = updated(POINTS[:31])
    firsts(again, 31, 1)
    assert again._fitted == expected
    firsts(found, 149, 1)
    assert found._fitted[0] == 100


def test_a_long_study_goes_on_as_it_would_have_gone_on_after_a_restart_too() -> None:
    sampler = {"name": "tpe", "seed": 6}
    spec = spec_of(sampler)
    one = sampler_of(spec)
    points = follow(one, spec, 199)
    again = sampler_of(spec)
    for number, point in enumerate(points):
        again.replace(None, trial_of(spec, number, point, score(point)))
    drawn = [[each.sample(199, {}, attempt) for attempt in range(12)] for each in (one, again)]
    assert drawn[0] == drawn[1]
    chosen = [screening_of(each)._fitted for each in (one, again)]
    assert chosen[0] == chosen[1]
    assert chosen[0][0] == 150


def test_with_fewer_finished_trials_than_leaders_the_others_are_no_leaders() -> None:
    found = updated(POINTS[:2])
    found.update(changes({2: POINTS[2]}, running=frozenset({2})))
    rates = {point["rate"] for seed in range(100) for point in found.points(seed, 3)}
    assert {POINTS[0]["rate"], POINTS[1]["rate"]} <= rates
    assert POINTS[2]["rate"] not in rates


def test_what_the_kernel_is_chosen_by_is_in_the_window_until_the_next_choice() -> None:
    assert screening.N_FITTED + 50 - 1 <= native.HISTORY - native.N_BEST


def test_all_choices_of_a_parameter_weigh_the_same() -> None:
    found = updated()
    firsts(found, 50, 1)
    weights = found._fitted[1].weights
    assert len(weights) == len(AXES) - 1 + 4  # a coordinate for each choice
    assert len({*weights[-4:]}) == 1
    assert len({*weights[:-4]}) > 2


def test_choices_are_distinguished() -> None:
    trials = {number: {**POINTS[number % 40], "kind": "a"} for number in range(4)}
    trials |= {number: {**POINTS[number % 40], "kind": "b"} for number in range(4, 40)}
    found = Screening(AXES)
    added = {n: (p, Rank(0.0, (float(p["kind"] == "b"),), n)) for n, p in trials.items()}
    found.update(Changes(added=added, removed=(), running=frozenset()))
    assert sum(point["kind"] == "b" for point in firsts(found, 9, 60)) < 6


def near_alone(monkeypatch: pytest.MonkeyPatch, exponent: float) -> None:
    """The distance of every parameter of every point to the nearest leader's."""
    for name, value in {"FREE": 1.0, "ANYWHERE": 0.0, "N_UNIFORM": 0}.items():
        monkeypatch.setattr(screening, name, value)
    monkeypatch.setattr(screening, "NEAREST", exponent)
    monkeypatch.setattr(screening, "FARTHEST", exponent)


def test_at_a_bound_points_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    near_alone(monkeypatch, -1.0)
    found = updated([{**point, "x": 2.9, "rate": 1.2e-5} for point in POINTS])
    points = [point for seed in range(20) for point in found.points(seed, 50)]
    assert not any(point["x"] > 3 - 1e-9 or point["rate"] < 1e-5 + 1e-14 for point in points)


def test_what_lies_near_is_at_least_about_a_step_away(monkeypatch: pytest.MonkeyPatch) -> None:
    near_alone(monkeypatch, -9.0)
    found = updated([{**point, "layers": 2, "x": 0.0} for point in POINTS])
    points = [point for seed in range(20) for point in found.points(seed, 50)]
    assert sum(point["layers"] != 2 for point in points) > len(points) / 3
    assert all(abs(point["x"]) < 1e-6 for point in points)


def test_one_draw_of_three_is_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    points = Screening.points

    def counted(self: Screening, seed: int, number: int) -> Any:
        seeds.append(seed)
        return points(self, seed, number)

    monkeypatch.setattr(Screening, "points", counted)
    spec = spec_of({"name": "tpe", "seed": 4})
    follow(sampler_of(spec), spec, 10)
    assert seeds == [], "not before TPE begins"
    follow(sampler_of(spec), spec, 310)
    assert len(seeds) == pytest.approx(100, abs=25)
    assert native.SCREENED == 3
