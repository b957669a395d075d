"""Numbers of numpy and torch are accepted without importing either."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from optunapi.client.optuna_types.scalars import json_of, number_of, numbers_of

NAN = math.nan


@pytest.mark.parametrize(
    "value",
    [
        2,
        2.0,
        Fraction(4, 2),
        Decimal(2),
        np.float32(2),
        np.float64(2),
        np.int64(2),
        np.array(2.0),
        torch.tensor(2.0),
        torch.tensor(2, dtype=torch.bfloat16),
        torch.tensor(2.0, requires_grad=True),
        torch.tensor([2.0]),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}",
)
def test_anything_that_is_one_number_is_that_number(value: Any) -> None:
    found = number_of(value)
    assert type(found) is float
    assert found == 2.0


@pytest.mark.parametrize("value", [True, np.bool_(True), torch.tensor(True)], ids=repr)
def test_a_boolean_is_a_number_as_in_optuna(value: Any) -> None:
    assert number_of(value) == 1.0
    assert numbers_of(value) == [1.0]


@pytest.mark.parametrize(
    "value", [None, np.array([2.0, 3.0]), 2j, {}, [2.0], "high", b"high"], ids=repr
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not a number"):
        number_of(value)


def test_an_integer_beyond_floats_is_refused_as_in_optuna() -> None:
    with pytest.raises(OverflowError):
        number_of(10**400)
    with pytest.raises(TypeError, match="is not a number"):
        numbers_of(10**400)


def test_a_text_is_a_number_in_a_report_and_not_in_a_result_as_in_optuna() -> None:
    assert number_of("0.5") == 0.5
    with pytest.raises(TypeError, match=r"'0\.5' is not a number"):
        numbers_of(["0.5"])


@pytest.mark.parametrize("values", [[1, 2], (1.0, np.float32(2)), [torch.tensor(1), 2]])
def test_a_sequence_has_a_number_for_each_objective(values: Any) -> None:
    assert numbers_of(values) == [1.0, 2.0]


def test_a_text_is_no_sequence_of_numbers() -> None:
    with pytest.raises(TypeError):
        numbers_of("12")


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.float32(0.5), "0.5"),
        (np.longdouble(0.5), "0.5"),
        (np.bool_(True), "true"),
        (torch.tensor(3), "3"),
        (Decimal("0.5"), "0.5"),
        (Decimal(3), "3"),
        (Decimal(2**70), f"{2**70}"),
        (Fraction(1, 2), "0.5"),
        (Fraction(4, 2), "2"),
    ],
    ids=repr,
)
def test_any_number_is_sent_as_pythons(value: Any, sent: str) -> None:
    assert json_of({"params": [value]}) == f'{{"params": [{sent}]}}'


@pytest.mark.parametrize(
    "value",
    [NAN, -math.inf, np.float32(NAN), Decimal("NaN"), Decimal("Infinity"), Decimal("1e400")],
)
def test_a_number_that_is_not_finite_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^items\.1\.params\.x is .*: JSON has finite numbers only$"
    ):
        json_of({"items": [{"params": {"x": 1}}, {"params": {"n": 2, "x": value}}]})


@pytest.mark.parametrize(
    "value", [np.zeros(3), {1}, 1j, object(), b"x"], ids=lambda v: type(v).__name__
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^params\.x: a {type(value).__name__} cannot be sent"):
        json_of({"params": {"x": value}})


def test_a_value_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        json_of({"params": endless})
