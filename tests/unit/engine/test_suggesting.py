"""Define-by-run: parameters are suggested one by one, with the values of a local Optuna study."""

# ruff: noqa: ARG002  # Optuna's interface has arguments that this sampler ignores

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optunapi.errors import (
    LeaseLost,
    StorageUnavailable,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
    ValueInvalid,
)
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import (
    LINE,
    Caller,
    Clock,
    Life,
    done,
    held_at,
    optuna_study,
    put_gate,
    sample_with,
)
from tests.unit.engine.test_races import broken, wait_until_available
from tests.unit.storage.support import take_in_foreign_writes

Suggest = Callable[[str, BaseDistribution], Any]
Objective = Callable[[Suggest], tuple[float, ...]]

X = FloatDistribution(-5, 5)
UNIT = FloatDistribution(0, 1)


def define_by_run(new_life: NewLife, **spec: Any) -> Life:
    return new_life(parameters={}, **spec)


def suggest(
    life: Life, number: int, name: str, distribution: BaseDistribution, lease: str | None = None
) -> Any:
    return done(life.study.suggest(number, name, distribution, lease))


def suggested(life: Life, number: int, **known: Any) -> Suggest:
    """A function that suggests a parameter, unless the ask already returned it."""

    def ask(name: str, distribution: BaseDistribution) -> Any:
        return known[name] if name in known else suggest(life, number, name, distribution)

    return ask


# Same values as a local study


def layers(suggest: Suggest) -> tuple[float, ...]:
    """A conditional space with a loop: log, stepped and single-valued parameters."""
    score = 0.0
    if suggest("kind", CategoricalDistribution(["mlp", "tree", None])) == "mlp":
        for layer in range(suggest("layers", IntDistribution(1, 3))):
            score += math.log(suggest(f"units_{layer}", IntDistribution(8, 64, log=True)))
        score += suggest("dropout", FloatDistribution(0, 0.5, step=0.25))
    else:
        score += suggest("depth", IntDistribution(2, 10, step=2))
    suggest("fixed", IntDistribution(3, 3))
    return (score + abs(math.log10(suggest("lr", FloatDistribution(1e-5, 1, log=True))) + 2),)


def plane(suggest: Suggest) -> tuple[float, ...]:
    x, y = suggest("x", X), suggest("y", X)
    return (x**2 + (y - 1) ** 2 + suggest("n", IntDistribution(0, 5)),)


def front(suggest: Suggest) -> tuple[float, ...]:
    x, y = suggest("x", X), suggest("y", X)
    deep = suggest("z", UNIT) if x > 0 else 0.5
    return x**2 + y + deep, (x - 2) ** 2 - y


def shifting(suggest: Suggest) -> tuple[float, ...]:
    """A range that depends on a value drawn before."""
    x = suggest("x", UNIT)
    return (x + suggest("y", FloatDistribution(0, 0.1 + x)),)


def tree(suggest: Suggest) -> tuple[float, ...]:
    a = suggest("a", IntDistribution(0, 2))
    return (a + suggest("b", CategoricalDistribution(["p", "q"])).count("q") if a else 0.0,)


ALIKE: dict[str, tuple[dict[str, Any], Callable[[], BaseSampler], Objective, int]] = {
    "random": ({"name": "random"}, lambda: RandomSampler(seed=7), layers, 12),
    "tpe": ({"name": "tpe"}, lambda: TPESampler(seed=7), plane, 25),
    "tpe, conditional": ({"name": "tpe"}, lambda: TPESampler(seed=7), layers, 30),
    "tpe, univariate": (
        {"name": "tpe", "multivariate": False},
        lambda: TPESampler(seed=7, multivariate=False),
        layers,
        25,
    ),
    "tpe, group": (
        {"name": "tpe", "multivariate": True, "group": True},
        lambda: TPESampler(seed=7, multivariate=True, group=True),
        layers,
        30,
    ),
    "tpe, shifting range": ({"name": "tpe"}, lambda: TPESampler(seed=7), shifting, 25),
    "tpe, two objectives": ({"name": "tpe"}, lambda: TPESampler(seed=7), front, 25),
    "qmc": (
        {"name": "qmc"},
        lambda: QMCSampler(seed=7, independent_sampler=RandomSampler(seed=7)),
        plane,
        12,
    ),
    "cmaes": (
        {"name": "cmaes"},
        lambda: CmaEsSampler(seed=7, independent_sampler=RandomSampler(seed=7)),
        plane,
        25,
    ),
    "nsga2": (
        {"name": "nsga2", "population_size": 6},
        lambda: NSGAIISampler(seed=7, population_size=6),
        front,
        30,
    ),
    "nsga2, conditional": (
        {"name": "nsga2", "population_size": 6},
        lambda: NSGAIISampler(seed=7, population_size=6),
        layers,
        30,
    ),
    "brute-force": ({"name": "brute-force"}, lambda: BruteForceSampler(seed=7), tree, 4),
}


def local_suggest(trial: optuna.trial.Trial) -> Suggest:
    def suggest(name: str, distribution: BaseDistribution) -> Any:
        match distribution:
            case FloatDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_float(name, low, high, log=log, step=step)
            case IntDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_int(name, low, high, log=log, step=step)
            case CategoricalDistribution(choices=choices):
                return trial.suggest_categorical(name, choices)
        raise AssertionError(distribution)

    return suggest


def shown(trial: FrozenTrial) -> Any:
    return trial.state, trial.params, trial.distributions, trial.values


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("case", ALIKE)
def test_the_same_seed_draws_the_values_of_a_local_study(new_life: NewLife, case: str) -> None:
    sampler, make_local, objective, n_trials = ALIKE[case]
    n_objectives = 2 if objective is front else 1
    life = define_by_run(
        new_life,
        sampler={**sampler, "seed": 7},
        objectives={f"o{i}": "minimize" for i in range(n_objectives)},
    )
    local = optuna.create_study(directions=["minimize"] * n_objectives, sampler=make_local())
    for turn in range(n_trials):
        number = life.ask("w").number
        values = objective(suggested(life, number))
        trial = local.ask()
        assert values == objective(local_suggest(trial))
        if turn % 7 == 5:
            life.tell(number, "fail")
            local.tell(trial, state=TrialState.FAIL)
        else:
            life.complete(number, *values)
            local.tell(trial, values)
    mine = [shown(seen.trial) for seen in life.trials()]
    assert mine == [shown(trial) for trial in local.trials]
    assert [shown(trial) for trial in optuna_study(life).trials] == mine
    life.assert_sound()


@pytest.mark.parametrize("sampler", [{"name": "tpe", "engine": "optuna"}, {"name": "cmaes"}])
def test_what_the_configuration_knows_and_what_is_suggested_are_sampled_together(
    new_life: NewLife, sampler: dict[str, Any]
) -> None:
    life = new_life(
        parameters={"x": {"type": "float", "low": -5, "high": 5}}, sampler={**sampler, "seed": 7}
    )
    local = optuna.create_study(
        sampler=TPESampler(seed=7)
        if sampler["name"] == "tpe"
        else CmaEsSampler(seed=7, independent_sampler=RandomSampler(seed=7))
    )
    for _ in range(20):
        asked = life.ask("w")
        (value,) = plane(suggested(life, asked.number, **asked.params))
        life.complete(asked.number, value)
        trial = local.ask()
        local.tell(trial, plane(local_suggest(trial)))
    assert [shown(s.trial) for s in life.trials()] == [shown(t) for t in local.trials]


class Counting(BaseSampler):
    """Draws x and y together, always at one half, and counts how often."""

    def __init__(self) -> None:
        self.drawn = self.trials_begun = 0

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.trials_begun += 1

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {"x": UNIT, "y": UNIT}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.drawn += 1
        return {"x": 0.5, "y": 0.5 + self.drawn / 100}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        study._storage.set_study_system_attr(study._study_id, "noted", param_name)
        study._storage.set_trial_system_attr(trial._trial_id, "noted", param_name)
        return 0.25


def counting(life: Life) -> Counting:
    sampler = Counting()
    sample_with(life, sampler)
    return sampler


def test_grouped_parameters_are_drawn_once_per_trial(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    sampler = counting(life)
    for number in range(3):
        life.ask()
        assert (sampler.trials_begun, sampler.drawn) == (number + 1, number)
        suggest(life, number, "x", UNIT)
        suggest(life, number, "z", UNIT)
        assert suggest(life, number, "y", UNIT) == 0.5 + (number + 1) / 100
        assert (sampler.trials_begun, sampler.drawn) == (number + 1, number + 1)


def test_what_was_drawn_with_the_configured_parameters_is_not_drawn_again(
    new_life: NewLife,
) -> None:
    life = new_life(parameters=LINE)
    sampler = counting(life)
    assert life.ask().params == {"x": 0.5}
    assert suggest(life, 0, "y", UNIT) == 0.51
    assert suggest(life, 0, "z", UNIT) == 0.25
    assert sampler.drawn == 1


def test_the_same_holds_for_a_queued_trial(new_life: NewLife) -> None:
    life = new_life(parameters={**LINE, "w": {"type": "float", "low": 0, "high": 1}})
    sampler = counting(life)
    life.enqueue(w=0.75)
    assert life.ask().params == {"x": 0.5, "w": 0.75}
    assert suggest(life, 0, "y", UNIT) == 0.51
    assert sampler.drawn == 1


def test_drawn_values_are_kept_when_the_trial_is_handed_on(new_life: NewLife, clock: Clock) -> None:
    life = new_life(parameters=LINE)
    sampler = counting(life)
    life.ask("a", lease_seconds=10)
    clock.pass_(11)
    lease = life.ask("b", lease_seconds=10).held.id
    assert suggest(life, 0, "y", UNIT, lease) == 0.51
    life.release(0, lease)
    assert life.ask("c").number == 0
    assert suggest(life, 0, "y", UNIT) == 0.51
    assert sampler.drawn == 1


def test_nothing_is_remembered_of_closed_trials(new_life: NewLife) -> None:
    life = new_life(parameters=LINE, sampler={"name": "tpe", "seed": 1})
    for number in range(4):
        life.ask()
        suggest(life, number, "y", UNIT)
    assert life.state.relative.keys() == {0, 1, 2, 3}
    life.complete(0, 1.0)
    life.tell(1, "fail")
    life.cancel_all()
    assert not life.state.relative


def test_after_a_restart_grouped_parameters_are_drawn_again(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    counting(life)
    life.ask()
    x = suggest(life, 0, "x", UNIT)
    life.restart()
    sampler = counting(life)
    assert suggest(life, 0, "x", UNIT) == x
    assert sampler.drawn == 0
    assert suggest(life, 0, "y", UNIT) == 0.51
    assert (sampler.drawn, sampler.trials_begun) == (1, 0)
    assert suggest(life, 0, "z", UNIT) == 0.25
    assert sampler.drawn == 1


def test_a_sampler_s_notes_are_kept(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    counting(life)
    life.ask()
    suggest(life, 0, "z", UNIT)
    assert life.trial(0).trial.system_attrs["noted"] == "z"
    assert life.storage.get_study_system_attrs(life.id)["noted"] == "z"
    life.assert_sound()


# The same name


def test_the_same_name_again_gives_the_same_value_whoever_holds_the_trial(
    new_life: NewLife, clock: Clock
) -> None:
    life = define_by_run(new_life)
    lease = life.ask("a", lease_seconds=10).held.id
    x = suggest(life, 0, "x", UNIT, lease)
    assert suggest(life, 0, "x", UNIT, lease) == x
    clock.pass_(11)
    lease = life.ask("b", lease_seconds=10).held.id
    assert suggest(life, 0, "x", UNIT, lease) == x
    lease = life.ask("b", resume=True, lease_seconds=10).held.id
    assert suggest(life, 0, "x", UNIT, lease) == x
    life.restart()
    assert suggest(life, 0, "x", UNIT, lease) == x
    assert life.trial(0).params == {"x": x}


def test_another_range_gives_the_first_value_and_keeps_the_first_distribution(
    new_life: NewLife,
) -> None:
    life = define_by_run(new_life)
    life.ask()
    x = suggest(life, 0, "x", UNIT)
    before = life.dump()
    assert suggest(life, 0, "x", FloatDistribution(10, 20)) == x
    assert life.dump() == before


def test_null_is_a_value(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    life.ask()
    only_null = CategoricalDistribution([None])
    assert suggest(life, 0, "c", only_null) is None
    assert suggest(life, 0, "c", only_null) is None
    assert life.trial(0).params == {"c": None}


KINDS = (
    FloatDistribution(0, 1),
    FloatDistribution(0.1, 1, log=True),
    IntDistribution(0, 1),
    IntDistribution(1, 2, log=True),
    CategoricalDistribution([0, 1]),
    CategoricalDistribution([0, 1, 2]),
)


@pytest.mark.parametrize("first", KINDS, ids=str)
def test_another_kind_is_refused_and_changes_nothing(
    new_life: NewLife, first: BaseDistribution
) -> None:
    life = define_by_run(new_life)
    life.ask()
    life.ask()
    value = suggest(life, 0, "x", first)
    life.complete(0, 1.0)
    for _ in range(2):  # first the study's other trials, then this trial
        before = life.dump()
        for other in KINDS:
            if other != first:
                with pytest.raises(ValueInvalid, match="change one of them"):
                    suggest(life, 1, "x", other)
        assert life.dump() == before
        suggest(life, 1, "x", first)
    assert life.trial(0).params == {"x": value}
    life.assert_sound()


def test_another_kind_than_the_configuration_says_is_refused(new_life: NewLife) -> None:
    life = new_life(
        parameters={
            "a": {"type": "categorical", "choices": ["p", "q"]},
            "b": {"type": "int", "low": 1, "high": 3, "when": {"a": "p"}},
        }
    )
    life.ask(params={"a": "q"})
    before = life.dump()
    with pytest.raises(ValueInvalid, match="configuration"):
        suggest(life, 0, "b", UNIT)
    assert life.dump() == before
    assert 5 <= suggest(life, 0, "b", IntDistribution(5, 9)) <= 9


def test_two_at_once_get_one_value(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    life.ask()
    gate = put_gate(life)
    with held_at(gate, lambda: suggest(life, 0, "x", UNIT)) as first:
        second = Caller(lambda: suggest(life, 0, "x", FloatDistribution(2, 3)))
    values = first.outcome(), second.outcome()
    assert values[0] == values[1]
    assert gate.arrivals == 1


# What was fixed


def test_what_the_ask_fixed_is_given(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    sampler = counting(life)
    life.ask(params={"x": 1, "c": None, "far": 7})
    assert suggest(life, 0, "x", UNIT) == 1.0
    assert isinstance(life.trial(0).params["x"], float)
    assert suggest(life, 0, "c", CategoricalDistribution(["a", None])) is None
    assert suggest(life, 0, "far", UNIT) == 7.0
    assert suggest(life, 0, "y", UNIT) == 0.51
    assert sampler.drawn == 1
    life.assert_sound()
    life.restart()
    assert life.trial(0).params == {"x": 1.0, "c": None, "far": 7.0, "y": 0.51}


def test_what_the_queue_fixed_is_given_also_by_optuna_itself(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    life.enqueue(x=0.125)
    optuna_study(life).enqueue_trial({"x": 0.375})
    take_in_foreign_writes(life.storage)
    for number, value in enumerate((0.125, 0.375)):
        assert life.ask().number == number
        assert suggest(life, number, "x", UNIT) == value


@pytest.mark.parametrize(
    ("value", "distribution", "number"),
    [
        (True, UNIT, 1.0),
        (False, IntDistribution(0, 1), 0),
        ("0.5", UNIT, 0.5),
        ("1e-3", FloatDistribution(1e-5, 1, log=True), 0.001),
        ("1e1", IntDistribution(0, 99), 10),
    ],
)
def test_a_fixed_value_that_optuna_takes_for_a_number_is_that_number(
    new_life: NewLife, value: Any, distribution: BaseDistribution, number: float
) -> None:
    life = define_by_run(new_life)
    life.ask(params={"x": value})
    found = suggest(life, 0, "x", distribution)
    assert (type(found), found) == (type(number), number)
    assert distribution.to_internal_repr(value) == number  # as Optuna reads it


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("half", UNIT),
        ("1e400", UNIT),
        (None, UNIT),
        (1.5, IntDistribution(0, 2)),
        ("c", CategoricalDistribution(["a", "b"])),
        (1, CategoricalDistribution(["1", True])),
    ],
)
def test_a_fixed_value_of_another_kind_is_refused_and_changes_nothing(
    new_life: NewLife, value: Any, distribution: BaseDistribution
) -> None:
    life = define_by_run(new_life)
    life.ask(params={"x": value})
    before = life.dump()
    with pytest.raises(ValueInvalid, match="fixed"):
        suggest(life, 0, "x", distribution)
    assert life.dump() == before


# Access


def test_only_the_holder_of_the_trial_gets_a_value(new_life: NewLife, clock: Clock) -> None:
    life = define_by_run(new_life)
    first = life.ask("a", lease_seconds=10).held.id
    clock.pass_(11)
    second = life.ask("b", lease_seconds=10).held.id
    life.enqueue(x=0.5)
    life.ask(params={"x": 0.5})
    life.complete(2, 1.0)
    before = life.dump()
    for lease in (first, None, "x"):
        with pytest.raises(LeaseLost):
            suggest(life, 0, "x", UNIT, lease)
    with pytest.raises(TrialWaiting):
        suggest(life, 1, "x", UNIT)
    with pytest.raises(TrialFinished):
        suggest(life, 2, "x", UNIT)
    with pytest.raises(TrialNotFound):
        suggest(life, 3, "x", UNIT)
    assert life.dump() == before
    life.release(0, second)
    with pytest.raises(LeaseLost):
        suggest(life, 0, "x", UNIT, second)


def test_it_renews_the_lease(new_life: NewLife, clock: Clock) -> None:
    life = define_by_run(new_life)
    lease = life.ask(lease_seconds=10).held
    for _ in range(2):  # when it samples, and when the value is known
        clock.pass_(6)
        suggest(life, 0, "x", UNIT, lease.id)
        renewed = life.trial(0).held
        assert (renewed.id, renewed.expires_at) == (lease.id, clock.time() + 10)


@pytest.mark.parametrize("end", ["complete", "handed on", "released"])
def test_a_trial_that_is_lost_while_it_samples_is_left_alone(
    new_life: NewLife, clock: Clock, end: str
) -> None:
    life = define_by_run(new_life)
    lease = life.ask("a", lease_seconds=10).held.id
    gate = put_gate(life)
    with held_at(gate, lambda: suggest(life, 0, "x", UNIT, lease)) as caller:
        if end == "complete":
            life.complete(0, 1.0)
        elif end == "released":
            life.release(0, lease)
        else:
            clock.pass_(11)
            life.ask("b", lease_seconds=10)
        before = life.dump()
    with pytest.raises((LeaseLost, TrialFinished)):
        caller.outcome()
    assert life.dump() == before
    life.assert_sound()


def test_tells_and_reports_do_not_wait_for_it(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    life.ask()
    life.ask()
    gate = put_gate(life)
    with held_at(gate, lambda: suggest(life, 0, "x", UNIT)) as caller:
        life.report(1, 1, 0.5)
        life.complete(1, 1.0)
        life.report(0, 1, 0.5)
    value = caller.outcome()
    assert life.trial(0).params == {"x": value}
    assert life.trial(0).reports == {1: 0.5}


def test_a_refused_one_has_not_happened(new_life: NewLife) -> None:
    life = define_by_run(new_life)
    life.ask()
    with broken(life, "trial_params"), pytest.raises(StorageUnavailable):
        suggest(life, 0, "x", UNIT)
    wait_until_available(life)
    assert life.trial(0).params == {}
    x = suggest(life, 0, "x", UNIT)
    assert life.trial(0).params == {"x": x}
    life.assert_sound()


def test_many_at_once_give_each_trial_one_value_a_name(new_life: NewLife) -> None:
    life = define_by_run(new_life, sampler={"name": "tpe", "seed": 1})
    for _ in range(4):
        life.ask()
    found: dict[tuple[int, str], set[float]] = {}
    lock = threading.Lock()

    def work(number: int) -> None:
        for name in ("x", "y", "z"):
            value = suggest(life, number, name, UNIT)
            with lock:
                found.setdefault((number, name), set()).add(value)

    callers = [Caller(partial(work, turn % 4)) for turn in range(16)]
    for caller in callers:
        caller.outcome()
    assert all(len(values) == 1 for values in found.values())
    for number in range(4):
        assert life.trial(number).params == {n: found[number, n].copy().pop() for n in "xyz"}
    life.assert_sound()


# Samplers that do not support it


def test_what_a_sampler_cannot_do_is_refused_and_changes_nothing(new_life: NewLife) -> None:
    grid = define_by_run(new_life, sampler={"name": "grid", "search_space": {"n": [1, 2]}})
    endless = define_by_run(new_life, sampler={"name": "brute-force"})
    wide = define_by_run(new_life, sampler={"name": "gp", "seed": 1})
    for life, distribution in (
        (grid, UNIT),
        (endless, UNIT),
        (wide, IntDistribution(0, 10**9)),
    ):
        life.ask()
        before = life.dump()
        with pytest.raises(ValueInvalid):
            suggest(life, 0, "x", distribution)
        assert life.dump() == before
    assert suggest(grid, 0, "n", IntDistribution(1, 2)) in (1, 2)


def test_a_categorical_parameter_is_sampled_by_cmaes_on_the_side(new_life: NewLife) -> None:
    life = define_by_run(new_life, sampler={"name": "cmaes", "seed": 1})
    life.ask()
    assert suggest(life, 0, "c", CategoricalDistribution(["a", "b"])) in ("a", "b")
