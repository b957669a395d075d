"""Every sampler, in every kind of space, over every kind of history: asks get values in range."""

import importlib.util
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.space import Values, fitted
from optunapi.engine.state.templates import FIXED, blank_trial
from optunapi.errors import ConfigInvalid, NoSlot, StudyFinished, ValueInvalid
from tests.support import scaled
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Life, Seen, done

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

FLAT: dict[str, Any] = {
    "x": {"type": "float", "low": -1, "high": 1},
    "lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": True},
    "n": {"type": "int", "low": 1, "high": 9},
    "s": {"type": "float", "low": 0, "high": 0.9, "step": 0.3},
    "c": {"type": "categorical", "choices": ["a", None, 1.5, True]},
}
SMALL: dict[str, Any] = {
    "n": {"type": "int", "low": 1, "high": 3},
    "s": {"type": "float", "low": 0, "high": 0.9, "step": 0.3},
}
SPACES: dict[str, dict[str, Any]] = {
    "flat": FLAT,
    "small": SMALL,
    "conditional": {
        "kind": {"type": "categorical", "choices": ["a", "b"]},
        "n": {"type": "int", "low": 1, "high": 3, "when": {"kind": "a"}},
        "s": {"type": "float", "low": 0, "high": 1, "step": 0.25, "when": {"kind": ["a", "b"]}},
        "deep": {"type": "int", "low": 1, "high": 2, "when": {"n": [2, 3]}},
    },
    "choices": {"a": {"type": "categorical", "choices": ["p", "q"]}, "b": FLAT["c"]},
    "one point": {"n": {"type": "int", "low": 2, "high": 2}, "x": {**FLAT["x"], "low": 1}},
    "log ints": {"n": {"type": "int", "low": 1, "high": 2**40, "log": True}, "x": FLAT["x"]},
    "huge": {
        "n": {"type": "int", "low": -(2**52), "high": 2**52},
        "x": {"type": "float", "low": -8e307, "high": 8e307},
        "tiny": {"type": "float", "low": 1e-308, "high": 1e308, "log": True},
    },
    "by run": {},
}
BY_RUN: Mapping[str, BaseDistribution] = {
    "n": IntDistribution(1, 3),
    "c": CategoricalDistribution(["a", "b"]),
    "s": FloatDistribution(0, 0.9, step=0.3),
}
GRID = {"n": [1, 2, 3], "c": ["a", "b"], "s": [0.0, 0.3]}
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": {"name": "tpe"},
    "tpe, all": {"name": "tpe", "history": "all", "constant_liar": False, "multivariate": False},
    "tpe by optuna": {"name": "tpe", "engine": "optuna"},
    "tpe by optuna, group": {
        **{"name": "tpe", "engine": "optuna", "group": True, "multivariate": True},
        **{"n_ei_candidates": 5, "prior_weight": 0.5, "consider_endpoints": True},
        "consider_magic_clip": False,
    },
    "tpe by optuna, alone": {
        **{"name": "tpe", "engine": "optuna", "multivariate": False},
        "constant_liar": True,
    },
    "random": {"name": "random"},
    "random by optuna": {"name": "random", "engine": "optuna"},
    "gp": {"name": "gp", "deterministic_objective": True},
    "cmaes": {"name": "cmaes"},
    "cmaes, margin": {"name": "cmaes", "with_margin": True, "popsize": 4, "sigma0": 0.1},
    "cmaes, separable": {
        "name": "cmaes",
        "use_separable_cma": True,
        "consider_pruned_trials": True,
    },
    "qmc": {"name": "qmc"},
    "qmc, halton": {"name": "qmc", "qmc_type": "halton", "scramble": True},
    "grid": {"name": "grid"},
    "brute-force": {"name": "brute-force"},
    "brute-force, strict": {"name": "brute-force", "avoid_premature_stop": True},
    "nsga2": {"name": "nsga2", "population_size": 4},
    "nsga2, spx": {"name": "nsga2", "population_size": 4, "crossover": "spx", "swapping_prob": 0.9},
    "nsga2, sbx": {
        **{"name": "nsga2", "population_size": 4, "crossover": "sbx"},
        **{"mutation": "polynomial", "mutation_prob": 0.5},
    },
    "nsga2, undx": {"name": "nsga2", "population_size": 4, "crossover": "undx"},
    "nsga3": {"name": "nsga3", "population_size": 4},
    "nsga3, blx": {"name": "nsga3", "population_size": 4, "crossover": "blx-alpha"},
}
STATES = (
    *(TrialState.COMPLETE,) * 4,
    *(TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING),
    TrialState.WAITING,
)
NUMBERS = (0.0, 1.0, -2.5, 1e-300, 1e300, math.inf, -math.inf)


class History:
    """Trials of all kinds that a study of a space may have, since Optuna or another spec made them."""

    def __init__(self, rng: random.Random, space: Mapping[str, BaseDistribution]) -> None:
        self.rng = rng
        self.space = space

    def trials(self, count: int, n_objectives: int) -> list[FrozenTrial]:
        return [self.trial(number, n_objectives) for number in range(count)]

    def trial(self, number: int, n_objectives: int) -> FrozenTrial:
        rng = self.rng
        state = rng.choice(STATES)
        trial = blank_trial(number, None, state)
        if state == TrialState.WAITING:
            point = self.params()[0]
            names = rng.sample(sorted(point), rng.randint(0, len(point)))
            trial.system_attrs = {FIXED: {name: point[name] for name in names}}
            return trial
        trial.params, trial.distributions = self.params()
        if state == TrialState.COMPLETE or (state == TrialState.PRUNED and rng.random() < 0.5):
            trial.values = [rng.choice(NUMBERS) for _ in range(n_objectives)]
        for step in range(rng.randint(0, 3)):
            trial.intermediate_values[step] = rng.choice((*NUMBERS, math.nan))
        if rng.random() < 0.3:
            trial.system_attrs["constraints"] = [rng.choice((-1.0, 0.0, 2.0))]
        if rng.random() < 0.2:
            trial.system_attrs["constraints:memory"] = rng.choice((-1.0, 3.0))
        return trial

    def params(self) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Parameters: of the space, out of its range, of another range, missing, or unknown."""
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        missing, ranged, unknown = (self.rng.random() < 0.2 for _ in range(3))
        for name, distribution in self.space.items():
            if missing and self.rng.random() < 0.5:
                continue
            if ranged and not isinstance(distribution, CategoricalDistribution):
                distribution = self.shifted(distribution)
            params[name] = Values(distribution=distribution).draw(self.rng)
            distributions[name] = distribution
        if unknown:
            params["more"], distributions["more"] = 3, IntDistribution(0, 10**6)
        return params, distributions

    def shifted(self, distribution: BaseDistribution) -> BaseDistribution:
        match distribution:
            case IntDistribution(low=low, high=high, log=log, step=step):
                return IntDistribution(low, high + 3 * step, log=log, step=step)
            case FloatDistribution(low=low, high=high, log=log):
                return FloatDistribution(low, high + (high - low) / 8, log=log)
        raise AssertionError(distribution)


def spec_of(sampler: str, space: str, n_objectives: int) -> dict[str, Any]:
    arguments = {**SAMPLERS[sampler], "seed": 1}
    if sampler == "grid" and space == "by run":
        arguments["search_space"] = GRID
    return {
        "parameters": SPACES[space],
        "sampler": arguments,
        "objectives": {f"o{i}": ("minimize", "maximize")[i] for i in range(n_objectives)},
    }


def asked(life: Life) -> Seen | None:
    """A trial with all its parameters in range; None once the study is finished."""
    try:
        seen = life.ask("w")
    except StudyFinished:
        return None
    except NoSlot:
        life.cancel_all()  # running trials of the history
        return asked(life)
    if not life.study.spec.parameters:
        for name, distribution in BY_RUN.items():
            try:
                value = done(life.study.suggest(seen.number, name, distribution, seen.lease_id))
            except ValueInvalid:
                # The queue has another value, or the grid a point that does not give it.
                assert FIXED in seen.trial.system_attrs
                continue
            given = seen.trial.system_attrs.get(FIXED, {})
            assert name in given or fitted(distribution, value) is not None
    seen = life.trial(seen.number)
    given = seen.trial.system_attrs.get(FIXED, {})
    for parameter in life.study.spec.parameters:
        if parameter.applies(seen.params) and parameter.name not in given:
            assert fitted(parameter.distribution, seen.params[parameter.name]) is not None
    return seen


def answer(life: Life, seen: Seen, rng: random.Random, n_objectives: int) -> None:
    """Tell a result of any kind."""
    for step in range(rng.randint(0, 2)):
        life.report(seen.number, step, rng.choice((1.0, math.nan)))
    kind = rng.choice(("complete", "complete", "pruned", "fail"))
    values = [rng.choice(NUMBERS[:5]) for _ in range(n_objectives)]
    life.tell(seen.number, kind, *(values if kind == "complete" else ()), reason=None)


def served(
    new_life: NewLife, sampler: str, space: str, n_objectives: int, rng: random.Random, n: int
) -> Sequence[str]:
    """Serve such a study for a while; return why its sampler failed."""
    life = new_life(**spec_of(sampler, space, n_objectives))
    distributions = {p.name: p.distribution for p in life.study.spec.parameters} or dict(BY_RUN)
    for trial in History(rng, distributions).trials(rng.choice((0, 6, 18)), n_objectives):
        life.storage.create_new_trial(life.id, trial)
    life.restart()
    failures: dict[str | None, None] = {}
    for _ in range(n):
        seen = asked(life)
        failures[life.view().sampler_failure] = None
        if seen is None:
            break
        answer(life, seen, rng, n_objectives)
    life.study.snapshot()
    life.restart()
    life.view()
    return [failure for failure in failures if failure is not None]


def combinations() -> list[Any]:
    """Every sampler in every space, and with two objectives in some."""
    found = []
    for sampler in SAMPLERS:
        for space in SPACES:
            counts = (1, 2) if space in ("flat", "conditional", "by run") else (1,)
            found += [(sampler, space, n_objectives) for n_objectives in counts]
    return found


@pytest.mark.parametrize(("sampler", "space", "n_objectives"), combinations())
def test_asks_are_answered_over_any_history(
    new_life: NewLife, sampler: str, space: str, n_objectives: int
) -> None:
    if sampler == "gp" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    try:
        new_life(**spec_of(sampler, space, n_objectives))
    except ConfigInvalid:
        return  # it cannot do this space, and says so
    for seed in range(scaled(1, 12)):
        rng = random.Random(f"{sampler} {space} {n_objectives} {seed}")
        failures = served(new_life, sampler, space, n_objectives, rng, scaled(4, 12))
        # Optuna's formulas overflow with numbers near the largest float.
        # Formulas overflow with numbers near the largest. CMA-ES raises where the space has shrunk.
        assert not failures or space == "huge" or (sampler[:5], space) == ("cmaes", "by run"), (
            failures
        )


EXHAUSTIBLE = [
    (sampler, space, avoid)
    for sampler in SAMPLERS
    if sampler != "gp"
    for space in ("small", "conditional", "choices", "by run")
    for avoid in ("running", "all")
    if avoid == "all" or sampler in ("grid", "brute-force", "brute-force, strict")
    if space != "by run" or SAMPLERS[sampler]["name"] in ("grid", "brute-force")
]


@pytest.mark.parametrize(("sampler", "space", "avoid"), EXHAUSTIBLE)
def test_a_study_ends_when_its_space_is_exhausted_over_any_history(
    new_life: NewLife, sampler: str, space: str, avoid: str
) -> None:
    spec = {**spec_of(sampler, space, 1), "avoid_duplicates": avoid}
    try:
        new_life(**spec)
    except ConfigInvalid:
        return
    for seed in range(scaled(1, 10)):
        rng = random.Random(f"{sampler} {space} {avoid} {seed}")
        life = new_life(**spec)
        distributions = {p.name: p.distribution for p in life.study.spec.parameters} or dict(BY_RUN)
        for trial in History(rng, distributions).trials(9, 1):
            life.storage.create_new_trial(life.id, trial)
        life.restart()
        for _ in range(80):
            seen = asked(life)
            if seen is None:
                break
            life.complete(seen.number, 1.0)
        assert life.view().finished_reason == "space-exhausted"
