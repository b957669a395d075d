"""Duplicate points are avoided where configured, and every point of a space is found."""

import random
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.state import transitions
from optunapi.engine.state.taken_points import Points, point_of
from optunapi.errors import StudyFinished
from tests.support import scaled
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import THREE, Caller, Life

STEPS = {
    "f": {"type": "float", "low": 0, "high": 0.9, "step": 0.1},
    "g": {"type": "float", "low": -0.35, "high": 0.7, "step": 0.35},
}
MIXED = {
    "n": {"type": "int", "low": 2, "high": 8, "step": 3},
    "log": {"type": "int", "low": 1, "high": 4, "log": True},
    "c": {"type": "categorical", "choices": ["a", None, True, 1.5]},
}
CONDITIONAL = {
    "kind": {"type": "categorical", "choices": ["a", "b", "c"]},
    "n": {"type": "int", "low": 1, "high": 3, "when": {"kind": "a"}},
    "f": {"type": "float", "low": 0, "high": 0.3, "step": 0.1, "when": {"kind": ["a", "b"]}},
}
SIZES = [(THREE, 3), (STEPS, 40), (MIXED, 48), (CONDITIONAL, 17)]
NAMES = ["three", "steps", "mixed", "conditional"]


def points_of(life: Life) -> list[Any]:
    return [point_of(seen.params, seen.trial.distributions) for seen in life.trials()]


def evaluate_all(life: Life, most: int) -> int:
    """Ask and tell one by one until the space is exhausted; return how many it took."""
    asked = 0
    while asked < most and life.view().state == "open":
        life.complete(life.ask("w").number, 1.0)
        asked += 1
    with pytest.raises(StudyFinished) as error:
        life.ask("w")
    assert error.value.extra["finished_reason"] == "space-exhausted"
    return asked


@pytest.mark.parametrize(("parameters", "size"), SIZES, ids=NAMES)
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_where_all_duplicates_are_avoided_every_point_comes_once(
    new_life: NewLife, parameters: dict[str, Any], size: int, sampler: str
) -> None:
    life = new_life(
        parameters=parameters, avoid_duplicates="all", sampler={"name": sampler, "seed": 3}
    )
    assert evaluate_all(life, size + 1) == size
    assert len(set(points_of(life))) == size
    life.assert_sound()


@pytest.mark.parametrize(("parameters", "size"), SIZES, ids=NAMES)
def test_brute_force_goes_through_every_point_once(
    new_life: NewLife, parameters: dict[str, Any], size: int
) -> None:
    life = new_life(parameters=parameters, sampler={"name": "brute-force", "seed": 3})
    assert evaluate_all(life, size + 1) == size
    assert len(set(points_of(life))) == size


@pytest.mark.parametrize(("parameters", "size"), SIZES[:3], ids=NAMES[:3])
def test_a_grid_is_gone_through_once(
    new_life: NewLife, parameters: dict[str, Any], size: int
) -> None:
    life = new_life(parameters=parameters, sampler={"name": "grid", "seed": 3})
    assert evaluate_all(life, size + 1) == size
    assert len(set(points_of(life))) == size


def test_a_grid_that_was_given_is_all_that_is_gone_through(new_life: NewLife) -> None:
    grid = {"n": [8, 2], "log": [1, 3], "c": [True]}
    life = new_life(parameters=MIXED, sampler={"name": "grid", "search_space": grid})
    assert evaluate_all(life, 5) == 4
    assert len(set(points_of(life))) == 4
    assert all(seen.params["c"] is True for seen in life.trials())


@pytest.mark.parametrize("name", ["grid", "brute-force"])
def test_points_that_were_lost_come_again_in_an_exhaustive_search(
    new_life: NewLife, name: str
) -> None:
    life = new_life(parameters=THREE, sampler={"name": name, "seed": 3}, max_attempts=1)
    for _ in range(3):
        life.ask("w")
    life.complete(0, 1.0)
    life.tell(1, "fail", reason="oom")
    life.cancel_all()
    assert life.ask("w").params == life.trial(2).params
    with pytest.raises(StudyFinished):
        life.ask("w")


def test_a_reported_failure_was_an_evaluation_and_a_lost_worker_none(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="all")
    for _ in range(2):
        life.ask("w")
    life.tell(0, "fail", reason="diverged")
    life.tell(1, "fail", reason="stopped")
    assert evaluate_all(life, 3) == 2
    numbers = [seen.params["n"] for seen in life.trials()]
    assert numbers.count(numbers[0]) == 1
    assert numbers.count(numbers[1]) == 2


def test_no_two_open_trials_are_alike_while_a_point_is_unused(new_life: NewLife) -> None:
    life = new_life(parameters=STEPS)
    for _ in range(40):
        life.ask("w")
    assert len(set(points_of(life))) == 40
    life.complete(7, 1.0)
    assert points_of(life)[7] == point_of(life.ask("w").params, life.trial(40).trial.distributions)
    life.ask("w")
    assert len(set(points_of(life))) == 40
    life.assert_sound()


def test_without_avoidance_points_may_repeat(new_life: NewLife) -> None:
    life = new_life(parameters={"n": {"type": "int", "low": 1, "high": 1}}, avoid_duplicates="off")
    assert [life.ask("w").params["n"] for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid", "brute-force"])
def test_sixty_four_askers_at_once_get_no_two_points_alike(new_life: NewLife, sampler: str) -> None:
    parameters = {
        "n": {"type": "int", "low": 1, "high": 8},
        "f": {"type": "float", "low": 0, "high": 0.7, "step": 0.1},
    }
    life = new_life(parameters=parameters, sampler={"name": sampler, "seed": 1})
    callers = [Caller(lambda: life.ask("w")) for _ in range(64)]
    assert sorted(caller.outcome().number for caller in callers) == list(range(64))
    assert len(set(points_of(life))) == 64
    life.assert_sound()


def test_sixty_four_askers_on_a_space_of_ten_points_that_may_not_repeat_get_ten(
    new_life: NewLife,
) -> None:
    life = new_life(parameters={"f": STEPS["f"]}, avoid_duplicates="all")

    def ask() -> str:
        try:
            return life.ask("w").state
        except StudyFinished as error:
            return str(error.extra["finished_reason"])

    outcomes = [caller.outcome() for caller in [Caller(ask) for _ in range(64)]]
    assert sorted(outcomes) == ["running"] * 10 + ["space-exhausted"] * 54
    assert len(set(points_of(life))) == 10


def test_a_stepped_value_is_one_point_however_it_was_added_up() -> None:
    distribution = {"f": FloatDistribution(0, 0.9, step=0.1)}
    assert point_of({"f": 0.1 + 0.1 + 0.1}, distribution) == point_of({"f": 0.3}, distribution)
    assert point_of({"f": 0.3}, distribution) != point_of({"f": 0.4}, distribution)
    shifted = {"f": FloatDistribution(-0.1, 0.9, step=0.2)}
    assert point_of({"f": 3 * 0.1}, distribution) == point_of({"f": -0.1 + 2 * 0.2}, shifted)


def test_values_that_python_calls_equal_are_points_of_their_own() -> None:
    choices = optuna.distributions.CategoricalDistribution((1.5, None, True, "1"))
    points = {point_of({"c": value}, {"c": choices}) for value in choices.choices}
    assert len(points) == 4


@pytest.mark.parametrize(("parameters", "size"), SIZES, ids=NAMES)
def test_an_untaken_point_is_found_as_long_as_there_is_one(
    parameters: dict[str, Any], size: int
) -> None:
    spec = spec_from_mapping({"parameters": parameters, "avoid_duplicates": "all"})
    points, rng = Points(spec), random.Random(1)
    assert points.size == size
    found = set()
    distributions = {p.name: p.distribution for p in spec.parameters}
    while (params := points.untaken(rng)) is not None:
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=params,
            distributions={name: distributions[name] for name in params},
        )
        assert not points.exhausted
        points.replace(None, trial)
        found.add(point_of(params, distributions))
    assert len(found) == size
    assert points.exhausted


def test_a_space_with_a_float_has_no_end(new_life: NewLife) -> None:
    life = new_life(avoid_duplicates="all")
    assert life.state.derived.points.size is None
    for number in range(scaled(20, 200)):
        life.complete(life.ask("w").number, float(number))
    assert life.view().state == "open"


def test_a_value_between_two_steps_is_a_point_of_its_own(new_life: NewLife) -> None:
    life = new_life(parameters=STEPS, avoid_duplicates="all", enqueue=[])
    with life.state.unit() as unit:  # as Optuna queues it, unchecked
        transitions.enqueue(life.state, {"f": 0.31, "g": 0.0})
    unit.commit.result()
    assert evaluate_all(life, 42) == 41
