"""Grid and brute force where trials name their own parameters: the study ends when nothing is left."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BruteForceSampler
from optuna.trial import FrozenTrial

from optunapi.engine.space import values_of
from optunapi.engine.state.explored import is_tree_explored
from optunapi.errors import NoSlot, StudyFinished
from tests.support import scaled
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Life, done

Suggest = Callable[[str, BaseDistribution], Any]
BRUTE = {"name": "brute-force", "seed": 3}
GRID = {"name": "grid", "seed": 3, "search_space": {"a": [1, 2, 3], "c": ["p", "q"]}}


def by_run(new_life: NewLife, **spec: Any) -> Life:
    return new_life(parameters={}, **spec)


def suggest(life: Life, number: int, name: str, distribution: BaseDistribution) -> Any:
    lease = life.trial(number).lease_id
    return done(life.study.suggest(number, name, distribution, lease))


def suggested(life: Life, number: int) -> Suggest:
    return partial(suggest, life, number)


def evaluate(life: Life, objective: Callable[[Suggest], None], most: int = 200) -> int:
    """Ask, suggest and tell one by one until the study ends; return how many trials it took."""
    for asked in range(most):
        if life.view().state == "finished":
            with pytest.raises(StudyFinished) as error:
                life.ask("w")
            assert error.value.extra["finished_reason"] == "space-exhausted"
            return asked
        number = life.ask("w").number
        objective(suggested(life, number))
        life.complete(number, 1.0)
    raise AssertionError("it did not end")


def tree(draw: Suggest) -> None:
    if draw("kind", CategoricalDistribution(["float", "int", None])) == "float":
        draw("x", FloatDistribution(1, 3, step=0.5))
    elif draw("a", IntDistribution(1, 3)) < 3:
        draw("b", IntDistribution(1, 2))


def test_brute_force_in_a_define_by_run_study_ends_with_the_last_point(new_life: NewLife) -> None:
    life = by_run(new_life, sampler=BRUTE)
    assert evaluate(life, tree) == 5 + 2 * (2 * 2 + 1)
    assert len({str(sorted(seen.params.items())) for seen in life.trials()}) == 15
    life.restart()
    assert life.view().finished_reason == "space-exhausted"


def test_a_grid_in_a_define_by_run_study_ends_with_the_last_point(new_life: NewLife) -> None:
    life = by_run(new_life, sampler=GRID)

    def objective(draw: Suggest) -> None:
        draw("c", CategoricalDistribution(["p", "q"]))
        draw("a", IntDistribution(1, 3))

    assert evaluate(life, objective) == 6
    assert len({str(sorted(seen.params.items())) for seen in life.trials()}) == 6
    life.restart()
    assert life.view().finished_reason == "space-exhausted"


def test_brute_force_goes_through_further_parameters_of_a_configured_study(
    new_life: NewLife,
) -> None:
    life = new_life(parameters={"n": {"type": "int", "low": 1, "high": 3}}, sampler=BRUTE)
    assert evaluate(life, lambda draw: draw("more", IntDistribution(0, 1))) == 6


@pytest.mark.parametrize("sampler", [BRUTE, GRID], ids=["brute-force", "grid"])
def test_points_whose_trials_were_lost_come_again(
    new_life: NewLife, sampler: dict[str, Any]
) -> None:
    life = by_run(new_life, sampler=sampler, max_attempts=1)

    def objective(draw: Suggest) -> None:
        draw("a", IntDistribution(1, 3))
        draw("c", CategoricalDistribution(["p", "q"]))

    for _ in range(4):
        number = life.ask("w").number
        objective(suggested(life, number))
    life.cancel_all()
    assert evaluate(life, objective) == 6


def test_no_slot_is_free_while_the_last_points_run(new_life: NewLife) -> None:
    life = by_run(new_life, sampler=BRUTE, lease="1m")
    for _ in range(2):
        suggest(life, life.ask("w").number, "a", IntDistribution(1, 3))
    assert life.view().state == "open"
    life.complete(0, 1.0, lease=life.trial(0).lease_id)
    suggest(life, life.ask("w").number, "a", IntDistribution(1, 3))
    with pytest.raises(NoSlot):
        life.ask("w")
    for number in (1, 2):
        life.complete(number, 1.0)
    assert life.view().finished_reason == "space-exhausted"


def test_a_strict_search_does_not_count_points_that_run(new_life: NewLife) -> None:
    life = by_run(new_life, sampler={**BRUTE, "avoid_premature_stop": True}, lease="1m")
    for _ in range(2):
        suggest(life, life.ask("w").number, "a", IntDistribution(1, 2))
        assert life.view().state == "open"
    life.complete(0, 1.0)
    assert life.ask("w").number == 2
    life.complete(1, 1.0)
    assert life.view().state == "open"  # trial 2 is open
    life.cancel_all()
    assert life.view().finished_reason == "space-exhausted"


def test_a_trial_that_failed_halfway_does_not_close_what_others_go_through(
    new_life: NewLife,
) -> None:
    life = by_run(new_life, sampler=BRUTE)
    two = IntDistribution(1, 2)
    for _ in range(3):
        life.ask("w")
    a, b = (suggest(life, number, "a", two) for number in (0, 1))
    assert {a, b} == {1, 2}
    life.tell(0, "fail", reason="raised")
    suggest(life, 2, "a", two)
    suggest(life, 2, "b", two)
    life.complete(2, 1.0)
    suggest(life, 1, "b", two)
    life.complete(1, 1.0)

    def objective(draw: Suggest) -> None:
        draw("a", two)
        draw("b", two)

    assert evaluate(life, objective) <= 3
    assert life.view().sampler_failure is None


def test_an_objective_that_was_changed_begins_anew(new_life: NewLife) -> None:
    life = by_run(new_life, sampler=BRUTE)
    first = suggest(life, life.ask("w").number, "old", IntDistribution(1, 9))
    assert 1 <= first <= 9
    life.complete(0, 1.0)
    assert evaluate(life, lambda draw: draw("new", IntDistribution(1, 4))) == 4
    assert life.view().sampler_failure is None


DISTRIBUTIONS: list[BaseDistribution] = [
    IntDistribution(1, 3),
    IntDistribution(0, 4, step=2),
    CategoricalDistribution(["a", None, 1.5]),
    FloatDistribution(0, 0.2, step=0.1),
]


@st.composite
def objectives(draw: st.DrawFn) -> dict[tuple[Any, ...], tuple[str, BaseDistribution]]:
    """Which parameter follows which values."""
    found: dict[tuple[Any, ...], tuple[str, BaseDistribution]] = {}

    def grow(path: tuple[Any, ...], depth: int) -> None:
        if depth and draw(st.booleans() if path else st.just(True)):
            kind = draw(st.integers(0, len(DISTRIBUTIONS) - 1))
            distribution = DISTRIBUTIONS[kind]
            found[path] = (f"p{len(path)}{kind}", distribution)
            for value in values_of(distribution, 10) or ():
                grow((*path, value), depth - 1)

    grow((), 3)
    return found


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@settings(max_examples=scaled(25, 500), deadline=None)
@given(objectives(), st.integers(0, 99))
def test_the_tree_is_explored_when_optuna_stops(
    objective: dict[tuple[Any, ...], tuple[str, BaseDistribution]], seed: int
) -> None:
    study = optuna.create_study(sampler=BruteForceSampler(seed=seed))

    def run(trial: optuna.Trial) -> float:
        path: tuple[Any, ...] = ()
        while path in objective:
            name, distribution = objective[path]
            path = (*path, trial._suggest(name, distribution))
        return random.Random(str(path)).random()

    def check(study: optuna.Study, _: FrozenTrial) -> None:
        whole = is_tree_explored(study.get_trials(deepcopy=False), (), count_running=True)
        assert whole == study._stop_flag

    study.optimize(run, n_trials=200, callbacks=[check])
    assert is_tree_explored(study.trials, (), count_running=False)
