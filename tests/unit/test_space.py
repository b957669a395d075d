"""Parameters and distributions: read from the wire, written to it, sampled under their conditions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.space import (
    Parameter,
    fitted,
    fitted_point,
    misfits,
    sample_conditional,
    values_of,
)
from optunapi.engine.spec.distributions import distribution_to_wire, parse_distribution
from optunapi.errors import ConfigInvalid


def refusals(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as caught:
        parse_distribution(data)
    errors = caught.value.extra["errors"]
    assert all(error["file"] is None and error["line"] is None for error in errors)
    return {error["key"]: error["reason"] for error in errors}


@pytest.mark.parametrize(
    ("wire", "distribution"),
    [
        ({"type": "float", "low": -1, "high": 1}, FloatDistribution(-1, 1)),
        ({"type": "float", "low": 2, "high": 2}, FloatDistribution(2, 2)),
        (
            {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "step": None},
            FloatDistribution(1e-5, 1e-2, log=True),
        ),
        ({"type": "float", "low": 0, "high": 1, "step": 0.1}, FloatDistribution(0, 1, step=0.1)),
        ({"type": "int", "low": 1.0, "high": 3}, IntDistribution(1, 3)),
        ({"type": "int", "low": 7, "high": 7}, IntDistribution(7, 7)),
        ({"type": "int", "low": 1, "high": 9, "log": True, "step": 1}, IntDistribution(1, 9, True)),
        ({"type": "int", "low": -4, "high": 5, "step": 3}, IntDistribution(-4, 5, step=3)),
        (
            {"type": "int", "low": -(2**53), "high": 2**53},
            IntDistribution(-(2**53), 2**53),
        ),
        (
            {"type": "categorical", "choices": ["a", 1, 2.5, False, None, "1"]},
            CategoricalDistribution(["a", 1, 2.5, False, None, "1"]),
        ),
    ],
    ids=str,
)
def test_a_distribution_is_read_from_the_wire_and_written_back(
    wire: dict[str, Any], distribution: BaseDistribution
) -> None:
    found = parse_distribution(wire)
    assert found == distribution
    assert type(found) is type(distribution)
    assert parse_distribution(distribution_to_wire(found)) == distribution


def test_the_wire_shapes_are_those_of_the_contract() -> None:
    assert distribution_to_wire(FloatDistribution(1e-5, 0.01, log=True)) == {
        "type": "float",
        "low": 1e-5,
        "high": 0.01,
        "log": True,
        "step": None,
    }
    assert distribution_to_wire(IntDistribution(1, 9, step=2)) == {
        "type": "int",
        "low": 1,
        "high": 9,
        "log": False,
        "step": 2,
    }
    assert distribution_to_wire(CategoricalDistribution(["a", None])) == {
        "type": "categorical",
        "choices": ["a", None],
    }


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ({}, "", "`type` is missing: one of categorical, int, float"),
        ({"type": "flaot"}, "type", 'did you mean "float"?'),
        ({"type": 3}, "type", "3 is not a type"),
        ({"type": "float", "low": 0}, "", "`high` is missing"),
        ({"type": "float", "low": 0, "hihg": 1}, "hihg", 'did you mean "high"?'),
        ({"type": "float", "low": "0", "high": 1}, "low", '"0" is not a number'),
        ({"type": "float", "low": "1e-5", "high": 1}, "low", '"1e-5" is not a number'),
        ({"type": "float", "low": True, "high": 1}, "low", "true is not a number"),
        ({"type": "float", "low": float("nan"), "high": 1}, "low", "not a finite number"),
        ({"type": "float", "low": 0, "high": float("inf")}, "high", "not a finite number"),
        ({"type": "float", "low": 0, "high": 10**400}, "high", "not a finite number"),
        ({"type": "float", "low": -1.7e308, "high": 1.7e308}, "high", "too wide"),
        ({"type": "float", "low": 2, "high": 1}, "low", "2 is above `high`, 1"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "low", "needs `low` above 0"),
        ({"type": "int", "low": 0, "high": 1, "log": True}, "low", "needs `low` at least 1"),
        ({"type": "float", "low": 0, "high": 1, "log": "no"}, "log", '"no" is not a boolean'),
        ({"type": "float", "low": 0, "high": 1, "log": 0}, "log", "0 is not a boolean"),
        ({"type": "float", "low": 1, "high": 2, "log": True, "step": 1}, "step", "leave out one"),
        ({"type": "int", "low": 1, "high": 3, "log": True, "step": 2}, "step", "leave out one"),
        ({"type": "float", "low": 0, "high": 1, "step": 0}, "step", "0 is not above 0"),
        ({"type": "float", "low": 0, "high": 1, "step": -0.1}, "step", "is not above 0"),
        ({"type": "float", "low": 0, "high": 1, "step": 5e-324}, "step", "1e28 steps or more"),
        ({"type": "int", "low": 1, "high": 10, "step": 0}, "step", "below 1"),
        ({"type": "int", "low": 1, "high": 10, "step": 1.5}, "step", "not a whole number"),
        ({"type": "int", "low": 1.5, "high": 10}, "low", "1.5 is not a whole number"),
        ({"type": "int", "low": 0, "high": 10**400}, "high", "is beyond 1.7976931348623157e+308"),
        ({"type": "int", "low": 2**60 + 1, "high": 2**60 + 2}, "high", "are the same float"),
        ({"type": "int", "low": 0, "high": 1, "choices": [1]}, "choices", "does not go with type"),
        ({"type": "categorical", "choices": ["a"], "low": 1}, "low", "does not go with type"),
        ({"type": "categorical"}, "", "`choices` is missing"),
        ({"type": "categorical", "choices": []}, "choices", "at least one is needed"),
        ({"type": "categorical", "choices": "ab"}, "choices", '"ab" is not a list'),
        ({"type": "categorical", "choices": ["a", "a"]}, "choices.1", "repeats the choice"),
        ({"type": "categorical", "choices": [1, True]}, "choices.1", "cannot tell 1 from 1.0"),
        ({"type": "categorical", "choices": [0.0, False]}, "choices.1", "cannot tell 1 from 1.0"),
        ({"type": "categorical", "choices": [["a"]]}, "choices.0", "is not a single value"),
        ({"type": "categorical", "choices": [float("inf")]}, "choices.0", "not a finite number"),
        ({"type": "categorical", "choices": ["\ud800"]}, "choices.0", "not valid Unicode"),
    ],
    ids=str,
)
def test_what_is_no_distribution_is_refused_at_its_key(
    data: dict[str, Any], key: str, words: str
) -> None:
    assert words in refusals(data)[key]


@given(st.floats(-1e3, 1e3), st.integers(0, 40), st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.0]))
def test_every_value_of_a_stepped_float_is_in_it(low: float, steps: int, step: float) -> None:
    low = round(low, 3)
    high = round(low + steps * step, 3)
    distribution = FloatDistribution(low, high, step=step)
    values = values_of(distribution, 100)
    assert values is not None
    assert (values[0], values[-1], len(values)) == (low, distribution.high, steps + 1)
    assert all(fitted(distribution, value) == (value,) for value in values)


def test_values_beyond_the_limit_or_without_end_are_not_listed() -> None:
    assert values_of(IntDistribution(1, 9, step=4), 3) == [1, 5, 9]
    assert values_of(IntDistribution(1, 9, step=4), 2) is None
    assert values_of(FloatDistribution(0, 1, step=0.5), 2) is None
    assert values_of(FloatDistribution(0, 1), 10**9) is None
    assert values_of(FloatDistribution(1, 1), 1) == [1.0]
    assert values_of(CategoricalDistribution(["a", None]), 2) == ["a", None]
    assert values_of(IntDistribution(-(2**53), 2**53), 10**6) is None


@pytest.mark.parametrize(
    ("distribution", "value", "found"),
    [
        (FloatDistribution(0, 1), 1, (1.0,)),
        (FloatDistribution(0, 1), 1.5, None),
        (FloatDistribution(0, 1), True, None),
        (FloatDistribution(0, 1), "0.5", None),
        (FloatDistribution(0, 1), None, None),
        (FloatDistribution(0, 1), float("nan"), None),
        (FloatDistribution(0, 1, step=0.1), 0.3, (0.3,)),
        (FloatDistribution(0, 1, step=0.1), 0.35, None),
        (FloatDistribution(-1e9, 1e9, step=0.1), -997453338.4, (-997453338.4,)),
        (FloatDistribution(-1e9, 1e9, step=0.1), -997453338.45, None),
        (IntDistribution(1, 9, step=2), 3.0, (3,)),
        (IntDistribution(1, 9, step=2), 4, None),
        (IntDistribution(1, 9), 1.5, None),
        (IntDistribution(1, 9), float("nan"), None),
        (IntDistribution(0, 9), False, None),
        (IntDistribution(0, 9), 10**400, None),
        (CategoricalDistribution(["1", 1]), 1.0, (1,)),
        (CategoricalDistribution([True, None]), 1, None),
        (CategoricalDistribution([1, 0]), True, None),
        (CategoricalDistribution([1, None]), None, (None,)),
        (CategoricalDistribution(["a"]), ["a"], None),
    ],
    ids=str,
)
def test_a_value_is_taken_as_the_distribution_holds_it_or_not_at_all(
    distribution: BaseDistribution, value: Any, found: tuple[Any] | None
) -> None:
    taken = fitted(distribution, value)
    assert taken == found
    if taken and found:
        assert type(taken[0]) is type(found[0])


OPTIMIZER = Parameter(name="optimizer", distribution=CategoricalDistribution(["sgd", "adam", True]))
LAYERS = Parameter(name="layers", distribution=IntDistribution(1, 3))
MOMENTUM = Parameter(
    name="momentum",
    distribution=FloatDistribution(0, 1),
    when={"optimizer": ("sgd", True), "layers": (2,)},
)
NESTED = Parameter(
    name="nested", distribution=FloatDistribution(0, 1), when={"momentum": (0.5, 1.0)}
)
SPACE = (OPTIMIZER, LAYERS, MOMENTUM, NESTED)


@pytest.mark.parametrize(
    ("drawn", "asked"),
    [
        ({"optimizer": "adam", "layers": 2}, ["optimizer", "layers"]),
        ({"optimizer": "sgd", "layers": 1}, ["optimizer", "layers"]),
        ({"optimizer": True, "layers": 2, "momentum": 0.1}, ["optimizer", "layers", "momentum"]),
        (
            {"optimizer": "sgd", "layers": 2, "momentum": 0.5, "nested": 0.0},
            ["optimizer", "layers", "momentum", "nested"],
        ),
    ],
    ids=str,
)
def test_parameters_are_asked_in_order_where_all_their_conditions_hold(
    drawn: dict[str, Any], asked: list[str]
) -> None:
    calls: list[tuple[str, BaseDistribution]] = []

    def suggest(name: str, distribution: BaseDistribution) -> Any:
        calls.append((name, distribution))
        return drawn[name]

    assert sample_conditional(SPACE, suggest) == drawn
    assert calls == [(p.name, p.distribution) for p in SPACE if p.name in asked]


def test_a_condition_tells_true_from_one() -> None:
    parameter = Parameter(name="p", distribution=IntDistribution(1, 2), when={"flag": (1,)})
    assert not parameter.applies({"flag": True})
    assert parameter.applies({"flag": 1.0})


def test_a_point_outside_the_space_is_told_name_by_name() -> None:
    reasons = misfits(SPACE, {"optimizer": "adam", "layers": 9, "momentum": 0.5, "layer": 1})
    assert reasons == {
        "layers": "9 is not a whole number from 1 to 3",
        "momentum": '"momentum" needs optimizer = "sgd" or true and layers = 2 in the same point',
        "layer": 'there is no parameter "layer"; did you mean "layers"? '
        "Allowed: optimizer, layers, momentum, nested",
    }
    assert misfits(SPACE, {"optimizer": "sgd", "layers": 2.0, "momentum": 1}) == {}
    assert misfits((), {"anything": object()}) == {}


def test_a_point_is_kept_as_the_distributions_hold_it() -> None:
    point = fitted_point(SPACE, {"layers": 2.0, "momentum": 1, "more": 1})
    assert point == {"layers": 2, "momentum": 1.0, "more": 1}
    assert [type(value) for value in point.values()] == [int, float, int]
