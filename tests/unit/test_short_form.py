"""Files of OptunAPI 0.1 are read with its meaning. The model here is its reading, written anew."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.spec.files import read_with_notices, spec_from_yaml
from optunapi.errors import ConfigInvalid
from tests.support import scaled


def space_in_0_1(text: str) -> dict[str, BaseDistribution] | None:
    """What OptunAPI 0.1 asked Optuna for; None where it failed."""
    found: dict[str, BaseDistribution] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for entry in yaml.safe_load(text).values():
                name = str(entry["name"])
                if name in found:
                    return None  # it asked twice, and the second range was ignored
                found[name] = _distribution(entry)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None
    return found


def _distribution(entry: dict[str, Any]) -> BaseDistribution:
    if entry["type"] == "categorical":
        return CategoricalDistribution(list(entry["choices"]))
    low, high = float(entry["low"]), float(entry["high"])
    step = float(entry["step"]) if entry["step"] else None
    log = bool(entry["log"]) if entry["log"] else False
    if entry["type"] == "float":
        return FloatDistribution(low, high, log=log, step=step)
    return IntDistribution(low, high, log=log, step=1 if step is None else step)  # type: ignore[arg-type]


BOUNDS = st.sampled_from([0, 1, 2, 10, -3, 0.5, 1.5, 9.7, "1e-3", "1e1", "2", True, 0.1 + 0.2])
WORDS = st.sampled_from(["a", "low", None, 0, 3, ""])
ENTRIES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", 7, 1.5, True, "rate"]),
        "type": st.sampled_from(["float", "int", "categorical"]),
        "choices": st.sampled_from([None, "", ["a", "b"], [0.1, 2], [True, None]]),
        "low": BOUNDS,
        "high": BOUNDS,
        "step": st.sampled_from([None, 0, 0.0, False, "", 1, 2, 0.1, 0.3, 4, 1.5, "1e-1", "0"]),
        "log": st.sampled_from([None, 0, 1, False, True, "", "no", "False", 2]),
    },
    optional={"unit": WORDS, "default": WORDS},
)
KEYS = st.sampled_from([1, 2, 3.5, True, "x", "y", "name", "parameters", "direction"])


@settings(max_examples=scaled(1_000, 10_000), deadline=None)
@given(st.dictionaries(KEYS, ENTRIES, min_size=1, max_size=3))
def test_what_0_1_accepted_is_accepted_with_its_meaning(content: dict[Any, Any]) -> None:
    text = yaml.safe_dump(content, sort_keys=False)
    expected = space_in_0_1(text)
    if expected is None:
        return
    found = {p.name: p.distribution for p in spec_from_yaml(text).parameters}
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    "entry",
    [
        "{name: x, type: float, choices: , low: 0, high: 1, step: 0, log: 0}",
        "{name: x, type: categorical, choices: [a, b], low: 1, high: 3, step: 2, log: 1}",
        "{name: 7, type: int, choices: [1], low: 1, high: 10, step: 4, log: no}",
        "{name: x, type: float, low: 0.30000000000000004, high: 0.9, step: 0.1, log: }",
        "{name: x, type: float, low: 0, high: 1, step: 0.3, log: , unit: mm}",
        "{name: x, type: int, low: 1.5, high: 9.5, step: , log: 'no'}",
    ],
)
def test_a_file_that_0_1_took_is_taken(entry: str) -> None:
    text = f"1: {entry}\n2: {{name: z, type: int, low: 1, high: 3, step: , log: }}"
    expected = space_in_0_1(text)
    assert expected
    assert {p.name: p.distribution for p in spec_from_yaml(text).parameters} == expected


def test_a_misspelt_key_is_an_error_where_0_1_would_have_lacked_it() -> None:
    with pytest.raises(ConfigInvalid, match='unknown key "stpe"'):
        spec_from_yaml("x: {name: x, type: float, low: 0, high: 1, stpe: 0.1, log: }")


def test_numbers_without_a_point_are_numbers_wherever_one_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "numbers.yaml"
    file.write_text("""
sampler: {name: grid, search_space: {lr: [1e-3, 1e-2], c: [1e-3], n: [1e0]}}
max_trials: 1e2
max_duration: 1e3
target: 1e-4
enqueue: [{lr: 1e-3, c: 1e-2, n: 1e0}]
parameters:
  lr: {type: float, low: 1e-4, high: 1e-1}
  c: {type: categorical, choices: [0.1, 1e-2, 1e-3]}
  n: {type: int, low: 1, high: 1e1}
""")
    spec, notices = read_with_notices(file)
    assert spec.sampler["search_space"] == {"lr": [1e-3, 1e-2], "c": [1e-3], "n": [1]}
    assert spec.enqueue == ({"lr": 1e-3, "c": 1e-2, "n": 1},)
    assert spec.limits.target == {"score": 1e-4}
    assert (spec.limits.max_trials, spec.limits.max_duration) == (100, 1000.0)
    assert spec.parameters[1].distribution == CategoricalDistribution([0.1, 0.01, 0.001])
    assert [(each["line"], each["key"]) for each in notices] == [
        (9, "parameters.c.choices.1"),
        (9, "parameters.c.choices.2"),
    ]


def test_a_condition_takes_a_number_without_a_point() -> None:
    text = """
parameters:
  c: {type: categorical, choices: [0.1, 1e-3]}
  m: {type: float, low: 0, high: 1, when: {c: 1e-3}}
"""
    assert spec_from_yaml(text).parameters[1].when == {"c": (1e-3,)}


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        ("[0.1, 1e-2, 1e-3]", (0.1, 0.01, 0.001)),
        ("[1e-2, 1e-3]", (0.01, 0.001)),
        ("[0.1, '1e-2']", (0.1, 0.01)),
        ("""[0.1, '"1e-5"']""", (0.1, '"1e-5"')),
        ("['16', '32']", ("16", "32")),
        ("[adam, 1e-3]", ("adam", "1e-3")),
        ("[true, 1e-3]", (True, "1e-3")),
    ],
)
def test_a_choice_that_spells_a_number_is_one_beside_numbers(
    choices: str, found: tuple[Any, ...]
) -> None:
    (parameter,) = spec_from_yaml(f"c: {{type: categorical, choices: {choices}}}").parameters
    assert isinstance(parameter.distribution, CategoricalDistribution)
    assert parameter.distribution.choices == found


@pytest.mark.parametrize(
    "text",
    [
        "x: {type: categorical, choices: [1e400, 1]}",
        "x: {type: categorical, choices: [1, '-1e400']}",
        "x: {type: float, low: 0, high: 1e400}",
        "x: {type: int, low: -1e400, high: 1}",
        "x: {type: float, low: 0, high: 1, step: 1e400}",
        "enqueue: [{x: 1e400}]\nparameters: {}",
        "sampler: {name: grid, search_space: {x: [1, 1e400]}}\nparameters: {}",
        "max_cost: 1e400\nparameters: {}",
        "target: -1e400\nparameters: {}",
        "pruner: {name: threshold, upper: 1e400}\nparameters: {}",
        "sampler: {name: tpe, prior_weight: 1e400}\nparameters: {}",
    ],
)
def test_a_number_beyond_floats_is_an_error_wherever_it_is_written(text: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        spec_from_yaml(text)
    assert len(caught.value.extra["errors"]) == 1


@pytest.mark.parametrize("digits", [300, 350, 399, 500])
def test_a_quoted_integer_of_any_length_is_read_or_refused(digits: int) -> None:
    for values in (f"[1, '{'9' * digits}']", f"[adam, 0_{'9' * digits}, 1e400]"):
        with suppress(ConfigInvalid):
            spec_from_yaml(f"x: {{type: categorical, choices: {values}}}")


@pytest.mark.parametrize("number", ["1e-3", "1e-5", "2E+30", "08", "1e0"])
def test_the_number_that_a_notice_advises_is_one_to_yaml(tmp_path: Path, number: str) -> None:
    file = tmp_path / "advice.yaml"
    entry = "parameters: {x: {type: categorical, choices: [adam, %s]}}\nuser_attrs: {a: [{b: %s}], c: '1e-3'}"
    file.write_text(entry % (number, number))
    _, notices = read_with_notices(file)
    assert [each["key"] for each in notices] == ["user_attrs.a.0.b", "parameters.x.choices.1"]
    for each in notices:
        advised = each["reason"].split("; ")[-1].removesuffix(" is the number")
        file.write_text(entry % (advised, advised))
        assert isinstance(yaml.safe_load(advised), int | float)


def test_a_choice_that_is_written_twice_in_two_ways_is_told_which_number_it_is() -> None:
    with pytest.raises(
        ConfigInvalid, match=r'"5e-1" repeats the choice 0.5: both are the number 0.5$'
    ):
        spec_from_yaml("x: {type: categorical, choices: [0.5, 5e-1]}")


@pytest.mark.parametrize("choices", ["{a: 1, b: 2}", "adam", "'adam, sgd'", "3", "true", "0.1"])
def test_choices_that_are_no_list_are_told_how_to_write_one(choices: str) -> None:
    with pytest.raises(
        ConfigInvalid, match=r"is not a list: write one in brackets, such as \[a, b\]"
    ):
        spec_from_yaml(f"c: {{type: categorical, choices: {choices}}}")


@pytest.mark.parametrize(
    "value", ["!!python/tuple [a, b]", "!!python/str a", "!!set {a}", "!own [a]"]
)
def test_a_tag_is_to_be_left_out(value: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"the tag !\S+ is not allowed: leave it out"):
        spec_from_yaml(f"c: {{type: categorical, choices: {value}}}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("1e3s", 1000), ("1.5e1m", 900), ("1E+2 h", 360_000), ("5e-1d", 43_200)]
)
def test_a_duration_may_have_an_exponent(text: str, seconds: float) -> None:
    parameter = "parameters: {x: {type: float, low: 0, high: 1}}"
    assert spec_from_yaml(f"max_duration: {text}\n{parameter}").limits.max_duration == seconds
    for wrong in ("1e400s", "0e3s", "1e-400s", "e3s", "1e3.5s", "1es"):
        with pytest.raises(ConfigInvalid, match="max_duration"):
            spec_from_yaml(f"max_duration: {wrong}\n{parameter}")
