"""Several objectives and constraints: which trials are best, and what samplers see."""

import math
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from optunapi.engine.spec.read import spec_from_mapping
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Life, done, optuna_study

TWO = {"accuracy": "maximize", "latency": "minimize"}
SPACE: dict[str, Any] = {
    "x": {"type": "float", "low": 0, "high": 1},
    "n": {"type": "int", "low": 1, "high": 9},
    "c": {"type": "categorical", "choices": ["a", "b", "d"]},
}


def best(life: Life, n: int | None = None) -> list[int]:
    return [view.trial.number for view in done(life.study.best(n))]


def tell_results(life: Life, *results: tuple[tuple[float, ...], float]) -> None:
    for values, constraint in results:
        number = life.ask("w").number
        life.complete(number, *values, constraints={"c": constraint})


def test_the_best_of_several_objectives_are_the_whole_front_of_the_feasible(
    new_life: NewLife,
) -> None:
    life = new_life(objectives=TWO)
    tell_results(
        life,
        ((0.5, 5.0), 0.0),
        ((0.9, 9.0), -1.0),
        ((0.4, 6.0), 0.0),  # dominated by 0
        ((1.0, 1.0), 0.1),  # would dominate all, but is not feasible
        ((0.1, 1.0), 0.0),
    )
    assert best(life) == [0, 1, 4]
    assert best(life, 2) == [0, 1]
    assert best(life, 10) == [0, 1, 4]
    life.restart()
    assert best(life) == [0, 1, 4]
    assert [t.number for t in optuna_study(life).best_trials] == [0, 1, 4]


def test_the_best_of_one_objective_is_feasible(new_life: NewLife) -> None:
    life = new_life()
    tell_results(life, ((3.0,), 0.0), ((1.0,), 0.5), ((2.0,), 0.0))
    assert (best(life), best(life, 5)) == ([2], [2, 0])


def test_a_constraints_first_value_is_kept(new_life: NewLife) -> None:
    life = new_life()
    trial = life.ask("w").trial
    with life.state.unit():
        life.state.update(trial, system_attrs={"constraints:size": 2.0})
    life.complete(0, 1.0, constraints={"size": -1.0, "time": -2.0})
    assert life.trial(0).trial.constraints == {"size": 2.0, "time": -2.0}
    assert best(life) == []


def feasibility(params: dict[str, Any]) -> float:
    return float(params["x"]) - 0.6


def scores(params: dict[str, Any], n: int) -> list[float]:
    x, whole, letter = params["x"], params["n"], params["c"]
    return [x * whole + len(letter), (1 - x) * (10 - whole) + (letter == "a")][:n]


def local(sampler: BaseSampler, n_objectives: int, n: int) -> list[optuna.trial.FrozenTrial]:
    """A local Optuna study with the same results."""
    spec = spec_from_mapping({"parameters": SPACE})
    space: dict[str, BaseDistribution] = {p.name: p.distribution for p in spec.parameters}
    study = optuna.create_study(directions=["minimize"] * n_objectives, sampler=sampler)
    for _ in range(n):
        trial = study.ask(space)
        trial.set_constraint("size", feasibility(trial.params))
        study.tell(trial, scores(trial.params, n_objectives))
    return study.trials


def attrs_of(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """The attributes that Optuna keeps with a trial, without ours."""
    return {k: v for k, v in trial.system_attrs.items() if not k.startswith("optunapi:")}


@pytest.mark.parametrize("n_objectives", [1, 2])
@pytest.mark.parametrize(
    ("sampler", "make", "n"),
    [
        ({"name": "tpe", "engine": "optuna"}, TPESampler, 30),
        ({"name": "nsga2"}, NSGAIISampler, 60),
    ],
    ids=["tpe", "nsga2"],
)
def test_samplers_see_constraints_and_values_as_in_a_local_study(
    new_life: NewLife,
    sampler: dict[str, Any],
    make: type[BaseSampler],
    n: int,
    n_objectives: int,
) -> None:
    expected = local(make(seed=7), n_objectives, n)  # type: ignore[call-arg]
    life = new_life(
        parameters=SPACE,
        objectives={f"o{i}": "minimize" for i in range(n_objectives)},
        sampler={**sampler, "seed": 7},
        avoid_duplicates="off",
    )
    for _ in range(n):
        trial = life.ask("w")
        values = scores(trial.params, n_objectives)
        life.complete(trial.number, *values, constraints={"size": feasibility(trial.params)})
    found = [seen.trial for seen in life.trials()]
    assert [t.params for t in found] == [t.params for t in expected]
    assert [t.constraints for t in found] == [t.constraints for t in expected]
    assert [attrs_of(t) for t in found] == [t.system_attrs for t in expected]
    assert any(math.copysign(1, t.constraints["size"]) > 0 for t in found)
