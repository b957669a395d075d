"""Whatever is wrong in a specification, its error names the line, the key and the value."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import yaml

from optunapi.engine.documents.document import quoted
from optunapi.engine.spec.files import spec_from_yaml
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid
from tests.support import scaled

X = {"type": "float", "low": 0.5, "high": 1.5, "step": 0.25}
LONG: dict[str, Any] = {
    "description": "all of it",
    "objectives": {"accuracy": "maximize"},
    "sampler": {"name": "tpe", "seed": 42, "multivariate": True, "n_startup_trials": 5},
    "pruner": {
        "name": "patient",
        "patience": 3,
        "wrapped": {"name": "percentile", "percentile": 9.5},
    },
    "max_trials": 200,
    "max_running": 16,
    "max_duration": "12h",
    "max_failed_trials": 20,
    "max_cost": 500.5,
    "trial_timeout": "6h",
    "target": {"accuracy": 0.95},
    "lease": 300,
    "max_attempts": 3,
    "avoid_duplicates": "running",
    "user_attrs": {"team": ["vision"]},
    "enqueue": [{"optimizer": "sgd", "lr": 0.01}],
    "parameters": {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam", 1, None]},
        "lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
        "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
        "momentum": {"type": "float", "low": 0, "high": 0.9, "when": {"layers": [1]}},
    },
}
FORMS: dict[str, Any] = {
    "long": LONG,
    "list": {
        "objectives": [
            {"name": "a", "direction": "minimize"},
            {"name": "b", "direction": "maximize"},
        ],
        "sampler": {"name": "nsga2", "population_size": 10, "mutation_prob": 0.5},
        "target": {"a": 1.5, "b": 2.5},
        "parameters": [{"name": "x", **X}, {"name": "n", "type": "int", "low": 1, "high": 3}],
    },
    "grid": {
        "direction": "maximize",
        "sampler": {"name": "grid", "search_space": {"x": [0.5, 1.5]}},
        "pruner": {"name": "threshold", "lower": 0.5},
        "parameters": {"x": X},
    },
    "short": {
        "x": {"name": "x", "type": "float", "low": 0.5, "high": 1.5, "step": None, "log": False},
        "c": {"type": "categorical", "choices": ["a", "b"]},
        "n": {"type": "int", "low": 1, "high": 9, "when": {"c": "a"}},
    },
}
MISSING = ("is missing", "has no value", "needs the argument", "must be specified")
ENTRY = ("name", "type")
WRONG: list[Any] = [
    *("abc", "12x", "a\nb", "", " ", "nan", "2030-01-01", "y" * 200, "é🙂"),
    *(-1, 0, 7, 2**53, 10**400, -0.5, 1.5, 1e300, True, False, None),
    *([], ["q"], [[1]], [None, 0], {}, {"q": 1}, {"name": "q"}, {"q": {"r": []}}),
]


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(below, (*here, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    copy = value.copy()
    copy[first] = replaced(value[first], tuple(rest), new)
    return copy


def parts(value: Any) -> Iterator[Any]:
    """What a value is made of: its entries, items and keys."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield below
            yield from parts(below)


def random_values(dice: random.Random) -> Iterator[Any]:
    for _ in range(scaled(2, 300)):
        word = "".join(dice.choices("ab1.-e :#é", k=dice.randint(1, 5)))
        number = dice.choice([dice.randint(-5, 2**60), dice.uniform(-9, 9), dice.random() * 1e9])
        yield dice.choice([word, number, [word, number], {word: number}, [[word]], {"type": word}])


def forms(value: Any) -> Iterator[str]:
    """How an error may show a value: as it is, as a name, or as the number that it spells."""
    yield quoted(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        yield quoted(str(value))
        with suppress(ValueError, OverflowError):
            yield str(float(value))
            yield str(value).strip()


def names_key_and_value(path: tuple[Any, ...], wrong: Any, errors: list[dict[str, Any]]) -> bool:
    """Whether an error is at the changed value, or beside it, and shows it or a part of it."""
    place = {str(part) for part in path[:2]}
    near = [error for error in errors if not place.isdisjoint((error["key"] or "").split("."))]
    if path[0] == "parameters":  # another part of the file may rest on a parameter
        near = near or errors
    said = " ".join(error["reason"] for error in near)
    return any(form in said for part in (wrong, *parts(wrong)) for form in forms(part)) or (
        # What is wrong is that something is not there.
        any(words in said for words in MISSING)
    )


def is_about_another_value(path: tuple[Any, ...], wrong: Any) -> bool:
    """Whether the change is valid in itself, and makes another value of the file wrong."""
    if path[0] == "objectives":  # `target` names objectives that are gone
        return path[-1] == "name" or wrong in (None, "", [], {})
    # A parameter called "parameters", in the short form.
    return (
        path == ("parameters",) and isinstance(wrong, dict) and not wrong.keys().isdisjoint(ENTRY)
    )


def refusal_of(read: Callable[[], object]) -> ConfigInvalid | None:
    try:
        read()
    except ConfigInvalid as refusal:
        return refusal
    return None


@pytest.mark.parametrize("form", FORMS)
def test_an_error_of_a_specification_names_line_key_and_value(form: str) -> None:
    whole = FORMS[form]
    spec_from_yaml(yaml.safe_dump(whole, sort_keys=False))
    spec_from_mapping(whole)
    places = list(paths(whole))
    refused = 0
    for path in places:
        dice = random.Random(str(path))
        for wrong in (*dice.sample(WRONG, scaled(10, len(WRONG))), *random_values(dice)):
            if is_about_another_value(path, wrong):
                continue
            changed = replaced(whole, path, wrong)
            text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)
            for has_lines, start, refusal in (
                (True, "m.yaml, line ", refusal_of(partial(spec_from_yaml, text, "m.yaml"))),
                (False, "the body: ", refusal_of(partial(spec_from_mapping, changed))),
            ):
                if refusal is not None:
                    errors = refusal.extra["errors"]
                    assert names_key_and_value(path, wrong, errors), (path, wrong, errors)
                    assert all(bool(error["line"]) == has_lines for error in errors), errors
                    assert refusal.detail.startswith(start)
                    refused += 1
    assert refused > len(places) * 8
