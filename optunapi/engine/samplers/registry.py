"""The samplers by name, with readers for the arguments that Optuna's annotations do not describe."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from optuna import samplers
from optuna.samplers import nsgaii

from optunapi.engine.documents import readers as read
from optunapi.engine.documents.components import Kind, Reader, read_component
from optunapi.engine.documents.document import Node, Scalar

# Each individual or candidate is in memory at every ask.
MAX_POPULATION = 100_000
# With fewer, there would be too few trials to tell the best ones apart from.
MIN_HISTORY = 50

_at_least_one = partial(read.integer, minimum=1)
_at_least_two = partial(read.integer, minimum=2)
_positive = partial(read.number, above=0)


def _component(kinds: Mapping[str, Kind], what: str) -> Reader:
    return lambda node: read_component(node, kinds, what)


def _one_of(*words: str) -> Reader:
    return lambda node: read.choice(node, words, "value")


def _history(node: Node) -> int | str | None:
    return "all" if node.data == "all" else read.integer(node, minimum=MIN_HISTORY)


def _point(node: Node) -> dict[str, float] | None:
    entries = read.mapping(node, "a value for each numerical parameter")
    found = {name: read.number(entry) for name, entry in (entries or {}).items()}
    sound = {name: value for name, value in found.items() if value is not None}
    return sound if entries and len(sound) == len(found) else None


def _search_space(node: Node) -> dict[str, list[Scalar]] | None:
    entries = read.mapping(node, "a list of values for each parameter")
    if entries is None:
        return None
    found: dict[str, list[Scalar]] = {}
    sound = True
    for name, entry in entries.items():
        nodes = read.items(entry, "the values to try")
        if nodes == []:
            entry.refuse("there is no value: at least one is needed")
        scalars = [read.scalar(item) for item in nodes or ()]
        sound = sound and bool(scalars) and None not in scalars
        found[name] = [scalar[0] for scalar in scalars if scalar]
    return found if sound else None


def _reference_points(node: Node) -> list[list[float]] | None:
    rows = read.items(node, "one list of numbers for each reference point")
    found: list[list[float]] = []
    for row in rows or ():
        numbers = [read.number(item, minimum=0) for item in read.items(row, "numbers") or ()]
        sound = [value for value in numbers if value is not None]
        if len(sound) < len(numbers) or not numbers:
            return None
        if not any(sound):
            row.refuse("a reference point is a direction: it cannot be all zero")
            return None
        found.append(sound)
    if rows == []:
        node.refuse("there is no reference point: at least one is needed")
    return found or None


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

_ENGINE: dict[str, Any] = {"engine": _one_of("auto", "optuna", "rustuna")}
_HISTORY: dict[str, Any] = {"history": _history}

# The arguments that Optuna's constructors do not have.
NOT_OPTUNAS = frozenset({*_ENGINE, *_HISTORY})

_GENETIC: dict[str, Any] = {
    "population_size": _at_least_two,
    "crossover": _component(CROSSOVERS, "crossover"),
    "mutation": _component(MUTATIONS, "mutation"),
}
_INDEPENDENT: dict[str, Any] = {
    "independent_sampler": _component(_INDEPENDENT_SAMPLERS, "independent sampler")
}

SAMPLERS: Mapping[str, Kind] = {
    "tpe": Kind(
        made=samplers.TPESampler,
        readers={
            **_ENGINE,
            **_HISTORY,
            "n_ei_candidates": partial(read.integer, minimum=1, maximum=MAX_POPULATION),
            "prior_weight": _positive,
        },
    ),
    "random": Kind(made=samplers.RandomSampler, readers=_ENGINE),
    "gp": Kind(made=samplers.GPSampler, readers={**_HISTORY, **_INDEPENDENT}),
    "cmaes": Kind(
        made=samplers.CmaEsSampler,
        readers={
            **_INDEPENDENT,
            "x0": _point,
            "sigma0": _positive,
            # With a smaller population CMA-ES divides by zero.
            "popsize": partial(read.integer, minimum=4, maximum=MAX_POPULATION),
        },
        refused=frozenset({"restart_strategy", "inc_popsize"}),
    ),
    "qmc": Kind(
        made=samplers.QMCSampler,
        readers={**_INDEPENDENT, "qmc_type": _one_of("sobol", "halton")},
    ),
    "grid": Kind(
        made=samplers.GridSampler,
        readers={"search_space": _search_space},
        implied=frozenset({"search_space"}),
    ),
    "brute-force": Kind(made=samplers.BruteForceSampler),
    "nsga2": Kind(made=samplers.NSGAIISampler, readers=_GENETIC),
    "nsga3": Kind(
        made=samplers.NSGAIIISampler,
        readers={
            **_GENETIC,
            "reference_points": _reference_points,
            "dividing_parameter": _at_least_one,
        },
    ),
}
