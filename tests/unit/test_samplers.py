"""Samplers by name: each is made and used, or refused where it cannot serve the study."""

import importlib.util
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from optunapi.engine.samplers.make import make_sampler
from optunapi.engine.space import fitted, sample_conditional
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid
from tests.support import missing

FLOATS = {
    "x": {"type": "float", "low": -3, "high": 3},
    "y": {"type": "float", "low": 1e-3, "high": 10, "log": True},
}
MIXED = {
    **FLOATS,
    "n": {"type": "int", "low": 1, "high": 9, "step": 2},
    "kind": {"type": "categorical", "choices": ["a", "b", None, True]},
}
FINITE = {
    "n": {"type": "int", "low": 1, "high": 3},
    "f": {"type": "float", "low": 0, "high": 0.3, "step": 0.1},
    "kind": {"type": "categorical", "choices": ["a", None]},
}
CONDITIONAL = {
    "kind": {"type": "categorical", "choices": ["a", "b"]},
    "n": {"type": "int", "low": 1, "high": 3},
    "only_a": {"type": "int", "low": 1, "high": 4, "when": {"kind": "a"}},
    "z": {"type": "float", "low": 0, "high": 1, "step": 0.25, "when": {"kind": "b", "n": [1, 2]}},
}
TWO = {"accuracy": "maximize", "latency": "minimize"}


@pytest.fixture(autouse=True)
def _torch(request: pytest.FixtureRequest) -> None:
    """GP is the only sampler whose library is an optional extra."""
    if "gp" in request.node.name.partition("[")[2] and importlib.util.find_spec("torch") is None:
        missing("PyTorch is not installed: pip install 'optunapi[gp]'")


def study_of(spec: StudySpec) -> optuna.Study:
    return optuna.create_study(directions=spec.directions, sampler=make_sampler(spec.problem))


def ask(study: optuna.Study, spec: StudySpec) -> optuna.Trial:
    trial = study.ask()
    sample_conditional(spec.parameters, trial._suggest)
    return trial


def run(spec: StudySpec, trials: int) -> list[dict[str, Any]]:
    """Ask and tell, while another trial keeps running."""
    study = study_of(spec)
    beside = ask(study, spec)
    for _ in range(trials):
        trial = ask(study, spec)
        score = sum(v for v in trial.params.values() if isinstance(v, float))
        values = [score, -score][: len(spec.objectives)]
        study.tell(trial, values if len(values) > 1 else values[0])
    assert beside.number == 0
    return [trial.params for trial in study.trials]


def spec_of(sampler: Any, parameters: Mapping[str, Any] = MIXED, **settings: Any) -> StudySpec:
    return spec_from_mapping({"sampler": sampler, "parameters": parameters, **settings})


def refusals(
    sampler: Any, parameters: Mapping[str, Any] = MIXED, **settings: Any
) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as caught:
        spec_of(sampler, parameters, **settings)
    found: dict[str, str] = {}
    for error in caught.value.extra["errors"]:
        found[error["key"]] = found.get(error["key"], "") + error["reason"] + "\n"
    return found


NAMES: list[tuple[str, type[BaseSampler], Mapping[str, Any]]] = [
    ("tpe", TPESampler, MIXED),
    ("random", RandomSampler, MIXED),
    ("gp", GPSampler, MIXED),
    ("cmaes", CmaEsSampler, MIXED),
    ("qmc", QMCSampler, MIXED),
    ("grid", GridSampler, FINITE),
    ("brute-force", BruteForceSampler, FINITE),
    ("nsga2", NSGAIISampler, MIXED),
    ("nsga3", NSGAIIISampler, MIXED),
]


@pytest.mark.parametrize(("name", "kind", "space"), NAMES, ids=[name for name, *_ in NAMES])
def test_every_sampler_is_made_by_its_bare_name_and_samples_within_the_space(
    name: str, kind: type[BaseSampler], space: Mapping[str, Any]
) -> None:
    spec = spec_of(name, space)
    assert isinstance(make_sampler(spec.problem), kind)
    for params in run(spec, 12):
        assert set(params) == set(space)


@pytest.mark.parametrize(
    ("sampler", "settings"),
    [
        ({"name": "tpe", "seed": 1, "n_startup_trials": 2, "multivariate": False}, {}),
        ({"name": "tpe", "group": True, "n_startup_trials": 2}, {}),
        ({"name": "tpe", "group": True, "n_startup_trials": 2}, {"objectives": TWO}),
        ({"name": "tpe", "engine": "optuna", "constant_liar": False, "prior_weight": 2.0}, {}),
        ({"name": "tpe", "n_startup_trials": 0, "n_ei_candidates": 1}, {"objectives": TWO}),
        ({"name": "random", "seed": 7}, {"objectives": TWO}),
        ({"name": "gp", "n_startup_trials": 0, "deterministic_objective": True}, {}),
        ({"name": "gp", "n_startup_trials": 2, "independent_sampler": {"name": "random"}}, {}),
        ({"name": "gp", "n_startup_trials": 2}, {"objectives": TWO}),
        ({"name": "cmaes", "popsize": 4, "n_startup_trials": 0, "sigma0": 0.1}, {}),
        ({"name": "cmaes", "popsize": 4, "use_separable_cma": True}, {}),
        ({"name": "cmaes", "popsize": 4, "with_margin": True, "consider_pruned_trials": True}, {}),
        ({"name": "cmaes", "popsize": 4, "lr_adapt": True, "x0": {"x": 0, "y": 1, "n": 3}}, {}),
        ({"name": "qmc", "qmc_type": "halton", "scramble": True, "seed": 3}, {}),
        ({"name": "qmc", "scramble": True}, {"objectives": TWO}),
        (
            {"name": "nsga2", "population_size": 2, "mutation": {"name": "polynomial"}},
            {"objectives": TWO},
        ),
        ({"name": "nsga2", "population_size": 3, "crossover_prob": 0.5, "mutation_prob": 0}, {}),
        ({"name": "nsga3", "population_size": 3, "dividing_parameter": 2}, {"objectives": TWO}),
        ({"name": "nsga3", "population_size": 3}, {}),
        (
            {
                "name": "nsga3",
                "population_size": 3,
                "reference_points": [[0, 1], [1, 0], [1, 1]],
                "mutation": {"name": "polynomial", "eta": 5},
            },
            {"objectives": TWO},
        ),
    ],
    ids=str,
)
def test_a_samplers_arguments_reach_it_and_it_samples(
    sampler: dict[str, Any], settings: dict[str, Any]
) -> None:
    spec = spec_of(sampler, **settings)
    assert spec.sampler == sampler
    trials = 5 if sampler["name"] == "gp" else 9
    assert len(run(spec, trials)) == trials + 1


@pytest.mark.parametrize("crossover", ["uniform", "blx-alpha", "spx", "sbx", "vsbx", "undx"])
def test_every_crossover_is_made_by_its_name_and_breeds(crossover: str) -> None:
    spec = spec_of({"name": "nsga2", "population_size": 3, "crossover": crossover}, FLOATS)
    assert len(run(spec, 12)) == 13


@pytest.mark.parametrize("name", [name for name, *_ in NAMES if name != "grid"])
def test_conditional_parameters_are_asked_only_where_they_apply_without_a_warning_each(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for params in run(spec_of(name, CONDITIONAL), 11):
        assert ("only_a" in params) == (params["kind"] == "a")
        assert ("z" in params) == (params["kind"] == "b" and params["n"] in (1, 2))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_brute_force_tries_every_point_of_a_conditional_space_once() -> None:
    spec = spec_of("brute-force", CONDITIONAL)
    study = study_of(spec)
    n_points = 3 * 4 + 2 * 5 + 1
    for _ in range(n_points - 1):
        study.tell(ask(study, spec), 0.0)
    with pytest.raises(RuntimeError, match="stop"):  # Optuna's error when no point is left
        study.tell(ask(study, spec), 0.0)
    points = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(points) == len(set(points)) == n_points


def test_grid_tries_every_value_of_every_parameter_once() -> None:
    spec = spec_of("grid", FINITE)
    study = study_of(spec)
    trials = [ask(study, spec) for _ in range(3 * 4 * 2)]
    points = {tuple(trial.params.items()) for trial in trials}
    assert len(points) == 24
    assert {trial.params["f"] for trial in trials} == {0.0, 0.1, 0.2, 0.3}


def test_grid_takes_values_for_parameters_that_have_no_end_of_them() -> None:
    space = {"x": FLOATS["x"], "n": FINITE["n"]}
    spec = spec_of({"name": "grid", "search_space": {"x": [0, 0.5]}}, space)
    study = study_of(spec)
    draws = [sample_conditional(spec.parameters, study.ask()._suggest) for _ in range(6)]
    points = {(params["x"], params["n"]) for params in draws}
    assert points == {(x, n) for x in (0.0, 0.5) for n in (1, 2, 3)}
    assert {type(params["x"]) for params in draws} == {float}


def test_a_seed_makes_the_same_draws_and_a_shifted_one_others() -> None:
    spec = spec_of({"name": "random", "seed": 2**32 - 1})
    first, again, shifted = (
        optuna.create_study(sampler=make_sampler(spec.problem, seed_shift=shift))
        for shift in (0, 0, 5)
    )
    draws = [ask(study, spec).params for study in (first, again, shifted)]
    assert draws[0] == draws[1] != draws[2]


def test_grid_keeps_its_order_over_a_restart() -> None:
    spec = spec_of({"name": "grid", "seed": 3}, FINITE)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage)
    points = set()
    for shift in range(24):
        sampler = make_sampler(spec.problem, seed_shift=shift)
        study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        points.add(tuple(ask(study, spec).params.items()))
    assert len(points) == 24


def test_a_scrambled_qmc_sequence_goes_on_over_a_restart() -> None:
    spec = spec_of({"name": "qmc", "seed": 3, "scramble": True}, FLOATS)

    def draws(restart_after: int) -> list[dict[str, Any]]:
        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(
            study_name="s", storage=storage, sampler=make_sampler(spec.problem)
        )
        found = []
        for number in range(8):
            if number == restart_after:
                sampler = make_sampler(spec.problem, seed_shift=number)
                study = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
            trial = ask(study, spec)
            study.tell(trial, 0.0)
            found.append(trial.params)
        return found

    assert draws(4) == draws(99)


def test_making_a_sampler_leaves_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    make_sampler(spec_of({"name": "cmaes", "with_margin": True}).problem)
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("sampler", "key", "words"),
    [
        ("tpo", "sampler", '"tpo" is not a sampler; did you mean "tpe"?'),
        ({"seed": 1}, "sampler", "`name` is missing"),
        (["tpe"], "sampler", "neither a sampler's name nor a mapping"),
        ({"name": "tpe", "sead": 1}, "sampler.sead", 'did you mean "seed"?'),
        ({"name": "tpe", "seed": "1"}, "sampler.seed", '"1" is not a whole number'),
        ({"name": "tpe", "seed": True}, "sampler.seed", "true is not a whole number"),
        ({"name": "tpe", "seed": -1}, "sampler.seed", "-1 is below 0"),
        ({"name": "tpe", "seed": 2**32}, "sampler.seed", "is above 4294967295"),
        ({"name": "tpe", "group": 1}, "sampler.group", "1 is not a boolean"),
        ({"name": "tpe", "gamma": "x"}, "sampler.gamma", "is a Python object"),
        ({"name": "tpe", "engine": "rust"}, "sampler.engine", "Allowed: auto, optuna"),
        ({"name": "tpe", "n_ei_candidates": 0}, "sampler.n_ei_candidates", "below 1"),
        (
            {"name": "tpe", "group": True, "multivariate": False},
            "sampler.multivariate",
            "can only be enabled",
        ),
        ({"name": "qmc", "qmc_type": "sobel"}, "sampler.qmc_type", 'did you mean "sobol"?'),
        ({"name": "cmaes", "restart_strategy": "ipop"}, "sampler.restart_strategy", "no effect"),
        ({"name": "cmaes", "sigma0": 0}, "sampler.sigma0", "not above 0"),
        ({"name": "cmaes", "x0": {"x": 0}}, "sampler.x0", "no value for y, n"),
        ({"name": "cmaes", "x0": {"x": 9, "y": 1, "n": 1}}, "sampler.x0.x", "from -3.0 to 3.0"),
        ({"name": "cmaes", "x0": {"kind": 1}}, "sampler.x0.kind", "no numerical parameter"),
        (
            {"name": "cmaes", "lr_adapt": True, "with_margin": True},
            "sampler.with_margin",
            "prohibited",
        ),
        ({"name": "cmaes", "popsize": 3}, "sampler.popsize", "below 4"),
        ({"name": "gp", "independent_sampler": "tpe"}, "sampler.independent_sampler", "random"),
        ({"name": "nsga2", "population_size": 1}, "sampler.population_size", "below 2"),
        ({"name": "nsga2", "crossover": "spix"}, "sampler.crossover", 'did you mean "spx"?'),
        (
            {"name": "nsga2", "crossover": {"name": "sbx", "etha": 1}},
            "sampler.crossover.etha",
            'did you mean "eta"?',
        ),
        ({"name": "nsga2", "crossover_prob": 1.5}, "sampler.crossover_prob", "within the range"),
        (
            {"name": "nsga2", "crossover": "undx", "population_size": 2},
            "sampler.population_size",
            "greater than or equal to 3",
        ),
        (
            {"name": "nsga3", "reference_points": [[1, 2], [1]]},
            "sampler.reference_points.0",
            "2 numbers for 1 objectives",
        ),
        ({"name": "nsga3", "reference_points": [[0]]}, "sampler.reference_points.0", "all zero"),
        ({"name": "nsga3", "reference_points": [[]]}, "sampler.reference_points.0", "is empty"),
        ({"name": "nsga3", "reference_points": []}, "sampler.reference_points", "at least one"),
    ],
    ids=str,
)
def test_an_argument_that_is_none_is_refused_at_its_key(sampler: Any, key: str, words: str) -> None:
    assert words in refusals(sampler)[key]


def test_grid_refuses_what_has_no_end_and_what_has_conditions() -> None:
    assert 'grid cannot do "x", a float without `step`' in refusals("grid")["sampler"]
    assert "use brute-force" in refusals("grid", CONDITIONAL)["sampler"]
    long = {"n": {"type": "int", "low": 0, "high": 10**9}}
    assert "more than 100000 values" in refusals("grid", long)["sampler"]
    wide = {name: {"type": "int", "low": 1, "high": 100} for name in "abc"}
    assert "the grid has 1000000 points" in refusals("grid", wide)["sampler"]
    assert "grid needs parameters" in refusals("grid", {})["sampler"]


def test_grid_refuses_values_outside_the_space_and_repeated_ones() -> None:
    errors = refusals(
        {"name": "grid", "search_space": {"n": [1, 1.0, 7], "f": [], "m": [1], "kind": [["a"]]}},
        FINITE,
    )
    assert "at least one is needed" in errors["sampler.search_space.f"]
    assert "is not a single value" in errors["sampler.search_space.kind.0"]
    errors = refusals({"name": "grid", "search_space": {"n": [1, 1.0, 7], "m": [1]}}, FINITE)
    assert "1.0 is repeated" in errors["sampler.search_space.n.1"]
    assert "a whole number from 1 to 3" in errors["sampler.search_space.n.2"]
    assert 'no parameter "m"' in errors["sampler.search_space.m"]


def test_grid_refuses_a_queued_point_that_leaves_a_parameter_open() -> None:
    errors = refusals("grid", FINITE, enqueue=[{"n": 1}])
    assert "it lacks f, kind: with the grid sampler" in errors["enqueue.0"]


def test_brute_force_refuses_a_float_without_a_step_even_a_single_valued_one() -> None:
    single = {"x": {"type": "float", "low": 1, "high": 1}}
    assert "a float without `step`" in refusals("brute-force", single)["sampler"]


def test_cmaes_refuses_a_space_without_numbers_and_several_objectives() -> None:
    errors = refusals("cmaes", {"kind": MIXED["kind"]})
    assert "cmaes samples numbers, and no parameter is a number" in errors["sampler"]
    assert "cannot do 2 objectives" in refusals("cmaes", objectives=TWO)["sampler"]
    alone = {"x": FLOATS["x"]}
    errors = refusals({"name": "cmaes", "use_separable_cma": True}, alone)
    assert "more than one numerical" in errors["sampler.use_separable_cma"]


def test_cmaes_does_a_space_of_one_number() -> None:
    assert len(run(spec_of({"name": "cmaes", "popsize": 4}, {"x": FLOATS["x"]}), 9)) == 10


def test_nsga3_refuses_more_reference_points_than_memory_holds() -> None:
    objectives = {f"o{number}": "minimize" for number in range(20)}
    errors = refusals({"name": "nsga3", "dividing_parameter": 50}, objectives=objectives)
    assert "more than 10000 reference points" in errors["sampler.dividing_parameter"]
    errors = refusals({"name": "nsga3", "dividing_parameter": 2**50}, objectives=TWO)
    assert "more than 10000 reference points" in errors["sampler.dividing_parameter"]


def test_gp_without_pytorch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install 'optunapi[gp]'" in refusals("gp")["sampler"]


def test_gp_refuses_a_parameter_whose_values_fill_the_memory() -> None:
    if importlib.util.find_spec("torch") is None:
        missing("PyTorch is not installed: pip install 'optunapi[gp]'")
    fine = {"type": "float", "low": 0, "high": 1, "step": 1e-9}
    assert "more than 1000000 values" in refusals("gp", {"x": fine})["sampler"]
    assert spec_of("gp", {"x": {"type": "int", "low": 1, "high": 1_000_000}})


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes", "qmc", "nsga2"])
@pytest.mark.parametrize(
    "extreme",
    [
        {"type": "int", "low": -(2**53), "high": 2**53, "step": 2**40},
        {"type": "int", "low": 1, "high": 2**53, "log": True},
        {"type": "float", "low": -8e307, "high": 8e307},
        {"type": "float", "low": 5e-324, "high": 1e308, "log": True},
        {"type": "float", "low": -1e9, "high": 1e9, "step": 0.1},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's, within TPE's densities
def test_the_widest_ranges_allowed_are_sampled_within_their_bounds(
    name: str, extreme: dict[str, Any]
) -> None:
    spec = spec_of(name, {"wide": extreme, "x": FLOATS["x"]})
    for params in run(spec, 12):
        assert fitted(spec.parameters[0].distribution, params["wide"]) == (params["wide"],)


@pytest.mark.parametrize("name", [name for name, *_ in NAMES if name != "grid"])
def test_every_sampler_but_grid_takes_a_define_by_run_study(name: str) -> None:
    spec = spec_of(name, {})
    study = study_of(spec)
    for _ in range(4):
        trial = study.ask()
        study.tell(trial, trial.suggest_int("n", 1, 50))
