"""The samplers by name, with types for the arguments that Optuna's annotations do not describe."""

from collections.abc import Mapping
from typing import Any

from optuna import samplers
from optuna.samplers import nsgaii

from optunapi.engine.documents.components import Component, Kind
from optunapi.engine.documents.fields import (
    Count,
    NonNegative,
    Number,
    Positive,
    Scalar,
    named,
    one_of,
    some,
    whole,
    word_or,
)

# Each individual or candidate is in memory at every ask.
MAX_POPULATION = 100_000
# With fewer, there would be too few trials to tell the best ones apart from.
MIN_HISTORY = 50

CROSSOVERS: Mapping[str, Kind] = {
    "uniform": Kind(made=nsgaii.UniformCrossover),
    "blx-alpha": Kind(made=nsgaii.BLXAlphaCrossover),
    "spx": Kind(made=nsgaii.SPXCrossover),
    "sbx": Kind(made=nsgaii.SBXCrossover),
    "vsbx": Kind(made=nsgaii.VSBXCrossover),
    "undx": Kind(made=nsgaii.UNDXCrossover),
}
MUTATIONS: Mapping[str, Kind] = {"polynomial": Kind(made=nsgaii.PolynomialMutation)}
# A sampler for single parameters is one that needs no relative search space.
_INDEPENDENT_SAMPLERS: Mapping[str, Kind] = {"random": Kind(made=samplers.RandomSampler)}

_ENGINE: dict[str, Any] = {"engine": one_of(("auto", "optuna", "rustuna"))}
_HISTORY: dict[str, Any] = {"history": word_or("all", whole(MIN_HISTORY))}

# The arguments that Optuna's constructors do not have.
NOT_OPTUNAS = frozenset({*_ENGINE, *_HISTORY})

_GENETIC: dict[str, Any] = {
    "population_size": whole(2),
    "crossover": Component(kinds=CROSSOVERS, what="crossover"),
    "mutation": Component(kinds=MUTATIONS, what="mutation"),
}
_INDEPENDENT: dict[str, Any] = {
    "independent_sampler": Component(kinds=_INDEPENDENT_SAMPLERS, what="independent sampler")
}

SAMPLERS: Mapping[str, Kind] = {
    "tpe": Kind(
        made=samplers.TPESampler,
        types={
            **_ENGINE,
            **_HISTORY,
            "n_ei_candidates": whole(1, MAX_POPULATION),
            "prior_weight": Positive,
        },
    ),
    "random": Kind(made=samplers.RandomSampler, types=_ENGINE),
    "gp": Kind(made=samplers.GPSampler, types={**_HISTORY, **_INDEPENDENT}),
    "cmaes": Kind(
        made=samplers.CmaEsSampler,
        types={
            **_INDEPENDENT,
            "x0": named(Number),
            "sigma0": Positive,
            # With a smaller population CMA-ES divides by zero.
            "popsize": whole(4, MAX_POPULATION),
        },
        refused=frozenset({"restart_strategy", "inc_popsize"}),
    ),
    "qmc": Kind(
        made=samplers.QMCSampler,
        types={**_INDEPENDENT, "qmc_type": one_of(("sobol", "halton"))},
    ),
    "grid": Kind(
        made=samplers.GridSampler,
        types={"search_space": named(some(Scalar))},
        implied=frozenset({"search_space"}),
    ),
    "brute-force": Kind(made=samplers.BruteForceSampler),
    "nsga2": Kind(made=samplers.NSGAIISampler, types=_GENETIC),
    "nsga3": Kind(
        made=samplers.NSGAIIISampler,
        types={
            **_GENETIC,
            "reference_points": some(some(NonNegative)),
            "dividing_parameter": Count,
        },
    ),
}
