"""The samplers in Rust: what they support, their seeds, and that random search matches Optuna's."""

import math
import subprocess
import sys
from collections import Counter
from datetime import datetime
from statistics import median
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.study import create_study
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy import stats  # type: ignore[import-untyped]

from optunapi.engine.samplers.native import tpe as native
from optunapi.engine.samplers.native.engine import NativeSampler, engine_of, native_sampler
from optunapi.engine.samplers.native.tpe import HISTORY, TPE
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid

SPACE: dict[str, Any] = {
    "kind": {"type": "categorical", "choices": ["a", "b", None, 1]},
    "layers": {"type": "int", "low": 1, "high": 8},
    "units": {"type": "int", "low": 16, "high": 512, "log": True},
    "batch": {"type": "int", "low": 16, "high": 128, "step": 16},
    "rate": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    "share": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
    "decay": {"type": "float", "low": 0.5, "high": 0.99},
    "fixed": {"type": "int", "low": 3, "high": 3},
}
NATIVE = {"name": "tpe", "engine": "rustuna"}


def spec_of(sampler: dict[str, Any], **more: Any) -> StudySpec:
    return spec_from_mapping({"parameters": SPACE, "sampler": sampler} | more)


def sampler_of(sampler: dict[str, Any], **more: Any) -> NativeSampler:
    found = native_sampler(spec_of(sampler, **more).problem)
    assert found is not None
    return found


def finished(spec: StudySpec, number: int, params: dict[str, Any], *values: float) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=list(values),
        params=params,
        distributions={p.name: p.distribution for p in spec.parameters},
    )
    trial.number = number
    trial.datetime_start = trial.datetime_complete = datetime(2026, 1, 1)
    return trial


def loss(params: dict[str, Any]) -> float:
    """The minimum is at kind a, 4 layers, rate 0.001, decay 0.9."""
    return float(
        (params["kind"] != "a")
        + (params["layers"] - 4) ** 2 / 16
        + (math.log10(params["rate"]) + 3) ** 2
        + 10 * (params["decay"] - 0.9) ** 2
    )


def run(sampler: NativeSampler, spec: StudySpec, count: int) -> list[dict[str, Any]]:
    points = []
    for number in range(count):
        points.append(sampler.sample(number, {}))
        sampler.replace(None, finished(spec, number, points[-1], loss(points[-1])))
    return points


@pytest.mark.parametrize(
    ("sampler", "parameters", "engine"),
    [
        ({"name": "random"}, SPACE, "rustuna"),
        ({"name": "random", "engine": "optuna"}, SPACE, "optuna"),
        ({"name": "random"}, {}, "optuna"),
        ({"name": "tpe"}, SPACE, "rustuna"),
        ({"name": "tpe", "engine": "optuna"}, SPACE, "optuna"),
        ({"name": "tpe", "constant_liar": True}, SPACE, "rustuna"),
        ({"name": "tpe", "prior_weight": 2.0}, SPACE, "optuna"),
        (NATIVE, SPACE, "rustuna"),
        ({"name": "qmc"}, SPACE, "optuna"),
    ],
)
def test_what_draws_a_study(
    sampler: dict[str, Any], parameters: dict[str, Any], engine: str
) -> None:
    spec = spec_of(sampler, parameters=parameters)
    assert engine_of(spec.problem) == engine
    assert (native_sampler(spec.problem) is not None) == (engine == "rustuna")


WITHOUT_RUSTUNA = """
import sys

sys.modules["rustuna"] = None
from optunapi.engine.samplers.native.engine import engine_of, native_sampler
from optunapi.engine.spec.read import spec_from_mapping

space = {"x": {"type": "float", "low": 0, "high": 1}}
problem = spec_from_mapping({"parameters": space, "sampler": "tpe"}).problem
assert (engine_of(problem), native_sampler(problem)) == ("optuna", None)
"""


def test_where_rustuna_cannot_be_imported_optuna_draws() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_RUSTUNA], check=True)


@pytest.mark.parametrize(
    ("sampler", "parameters", "reason"),
    [
        (
            NATIVE,
            {**SPACE, "momentum": {"type": "float", "low": 0, "high": 1, "when": {"kind": "a"}}},
            "momentum has `when`",
        ),
        (NATIVE | {"n_ei_candidates": 7}, SPACE, "n_ei_candidates"),
    ],
)
def test_rustuna_forced_where_it_cannot_is_refused_with_the_reason(
    sampler: dict[str, Any], parameters: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        spec_of(sampler, parameters=parameters)
    assert any(reason in error["reason"] for error in refused.value.extra["errors"])


@pytest.mark.parametrize("sampler", [{"name": "random"}, NATIVE])
def test_a_seed_makes_a_study_that_goes_on_the_same_after_a_restart(
    sampler: dict[str, Any],
) -> None:
    spec = spec_of(sampler | {"seed": 5})
    whole = run(sampler_of(sampler | {"seed": 5}), spec, 40)
    again = sampler_of(sampler | {"seed": 5})
    for number, params in enumerate(whole[:30]):
        again.replace(None, finished(spec, number, params, loss(params)))
    assert again.sample(30, {}) == whole[30]
    assert again.sample(30, {}, attempt=1) != whole[30]
    other = run(sampler_of(sampler | {"seed": 6}), spec, 40)
    assert all(one != another for one, another in zip(whole, other, strict=True))


@pytest.mark.parametrize("sampler", [{"name": "random"}, NATIVE])
def test_without_a_seed_no_two_studies_are_alike(sampler: dict[str, Any]) -> None:
    spec = spec_of(sampler)
    one, another = (run(sampler_of(sampler), spec, 20) for _ in range(2))
    assert one != another


@pytest.mark.parametrize("sampler", [{"name": "random"}, NATIVE])
def test_every_value_is_one_of_its_distribution_and_what_is_fixed_stays(
    sampler: dict[str, Any],
) -> None:
    spec = spec_of(sampler | {"seed": 1})
    found = sampler_of(sampler | {"seed": 1})
    points = run(found, spec, 60)
    for params in points:
        assert list(params) == list(SPACE)
        for parameter in spec.parameters:
            value = params[parameter.name]
            distribution = parameter.distribution
            assert distribution._contains(distribution.to_internal_repr(value))
            assert type(value) is type(
                distribution.to_external_repr(distribution.to_internal_repr(value))
            )
    assert found.sample(60, {"layers": 7, "kind": None})["layers"] == 7
    assert found.sample(60, {"layers": 7, "kind": None})["kind"] is None


@pytest.mark.parametrize("name", sorted(SPACE.keys() - {"fixed"}))
def test_random_search_follows_the_law_of_optunas(name: str) -> None:
    spec = spec_of({"name": "random", "seed": 3})
    found = sampler_of({"name": "random", "seed": 3})
    mine = [found.sample(number, {})[name] for number in range(2000)]
    distribution = next(p.distribution for p in spec.parameters if p.name == name)
    optunas = RandomSampler(seed=4)
    study = create_study()
    trial = finished(spec, 0, found.sample(0, {}), 0.0)
    theirs = [optunas.sample_independent(study, trial, name, distribution) for _ in range(2000)]
    if len(set(theirs)) > 100:
        assert stats.ks_2samp(mine, theirs).pvalue > 1e-3
    else:
        values = sorted(set(mine) | set(theirs), key=str)
        counted = [[Counter(each)[value] for value in values] for each in (mine, theirs)]
        assert stats.chi2_contingency(counted).pvalue > 1e-3


def test_tpe_finds_what_random_search_does_not() -> None:
    spec = spec_of(NATIVE | {"seed": 0})
    best = {
        name: median(
            min(map(loss, run(sampler_of(sampler | {"seed": seed}), spec, 100)))
            for seed in range(5)
        )
        for name, sampler in {"tpe": NATIVE, "random": {"name": "random"}}.items()
    }
    assert best["tpe"] < best["random"] / 2


def test_what_rustuna_has_does_not_grow_with_the_study() -> None:
    found = sampler_of(NATIVE | {"seed": 2})
    assert isinstance(found, TPE)
    spec = spec_of(NATIVE)
    run(found, spec, 400)
    found.sample(400, {})
    assert len(found._study._ids) == len(found._study._trials) == HISTORY
    assert len(found._study._tried) <= HISTORY
    everything = sampler_of(NATIVE | {"seed": 2, "history": "all"})
    assert isinstance(everything, TPE)
    run(everything, spec, 400)
    everything.sample(400, {})
    assert len(everything._study._ids) == 400


def test_a_failed_trial_says_nothing() -> None:
    spec = spec_of(NATIVE | {"seed": 2})
    one, another = sampler_of(NATIVE | {"seed": 2}), sampler_of(NATIVE | {"seed": 2})
    assert run(one, spec, 20) == run(another, spec, 20)
    failed = create_trial(state=TrialState.FAIL)
    failed.number = 20
    one.replace(None, failed)
    assert one.sample(21, {}) == another.sample(21, {})


@pytest.mark.parametrize("liar", [True, False])
def test_what_was_drawn_counts_as_running_for_the_next_draw_unless_there_is_no_liar(
    liar: bool,
) -> None:
    sampler = NATIVE | {"seed": 2, "constant_liar": liar}
    spec = spec_of(sampler)
    one, another = sampler_of(sampler), sampler_of(sampler)
    for each in (one, another):
        run(each, spec, 40)
    for number in range(40, 48):
        one.sample(number, {})
    after = [[each.sample(48, {}, attempt) for attempt in range(6)] for each in (one, another)]
    assert (after[0] == after[1]) == (not liar)


def test_what_was_drawn_beside_a_fixed_value_beyond_its_range_does_not_count_as_running() -> None:
    spec = spec_of(NATIVE)
    one, another = sampler_of(NATIVE | {"seed": 2}), sampler_of(NATIVE | {"seed": 2})
    for each in (one, another):
        run(each, spec, 40)
    one.sample(40, {"layers": 9})
    assert one.sample(41, {}) == another.sample(41, {})


def test_two_asks_that_draw_for_one_number_at_once_get_two_points() -> None:
    found = sampler_of(NATIVE | {"seed": 2})
    run(found, spec_of(NATIVE), 20)
    assert found.sample(20, {}) != found.sample(20, {})


def test_a_draw_for_a_number_that_was_taken_meanwhile_breaks_no_later_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The trial that got the number has finished meanwhile, and later leaves the window."""
    monkeypatch.setattr(native, "SCREENED", 1)
    spec = spec_of(NATIVE)
    found = sampler_of(NATIVE | {"seed": 2, "history": 50})
    points = run(found, spec, 30)
    found.replace(None, finished(spec, 30, points[0], 1e9))
    found.sample(30, {})
    for number in range(31, 61):
        found.replace(None, finished(spec, number, points[0], 1e9))
        found.sample(number + 1, {})
