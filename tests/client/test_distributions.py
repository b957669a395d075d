"""Distributions are Optuna's: the same arguments, values, warnings and refusals."""

import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optunapi.client.optuna_types import distributions as ours
from optunapi.engine.spec.distributions import parse_distribution

theirs = optuna.distributions
NUMBERS = st.one_of(
    st.integers(-50, 50), st.integers(-500, 500).map(lambda n: n / 10), st.sampled_from([1e-5, 1e6])
)


def outcome(make: Callable[[], Any]) -> Any:
    """Return a constructor's fields and whether it warned, or that it refused."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            made = make()
        except ValueError:
            return "refused"
    return (made.low, made.high, made.log, made.step, bool(warned))


@given(NUMBERS, NUMBERS, st.booleans(), st.none() | NUMBERS)
def test_floats_are_accepted_shortened_and_refused_as_by_optuna(
    low: float, high: float, log: bool, step: float | None
) -> None:
    assert outcome(lambda: ours.FloatDistribution(low, high, log, step)) == outcome(
        lambda: theirs.FloatDistribution(low, high, log, step)
    )


@given(st.integers(-20, 20), st.integers(-20, 20), st.booleans(), st.integers(-2, 7))
def test_integers_are_accepted_shortened_and_refused_as_by_optuna(
    low: int, high: int, log: bool, step: int
) -> None:
    assert outcome(lambda: ours.IntDistribution(low, high, log, step)) == outcome(
        lambda: theirs.IntDistribution(low, high, log, step)
    )


@given(NUMBERS, NUMBERS, st.booleans(), st.none() | NUMBERS)
def test_the_server_understands_every_distribution_of_the_client(
    low: float, high: float, log: bool, step: float | None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            asked = ours.FloatDistribution(low, high, log, step)
        except ValueError:
            return
        local = theirs.FloatDistribution(low, high, log, step)
    assert parse_distribution(asked.to_wire()) == local
    assert ours.from_wire(asked.to_wire()) == asked


KINDS = [float, np.float16, np.float32, np.float64, lambda n: Decimal(str(n))]


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(-30, 30), st.integers(0, 30), st.integers(1, 30))
def test_a_stepped_range_in_any_kind_of_number_is_optunas(
    kind: Callable[[float], Any], low: int, width: int, step: int
) -> None:
    start, end, size = (kind(n / 10) for n in (low, low + width, step))
    assert outcome(lambda: ours.FloatDistribution(start, end, step=size)) == outcome(
        lambda: theirs.FloatDistribution(start, end, step=size)
    )


@pytest.mark.parametrize("bound", [float("inf"), float("nan")])
def test_a_bound_that_is_no_number_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        ours.FloatDistribution(0, bound)


CHOICES = (None, True, "a", 2, 2.5)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_from_the_wire_is_the_callers_own_object(choice: Any) -> None:
    distribution = ours.CategoricalDistribution(CHOICES)
    assert distribution.value_of(choice) is choice
    assert ours.from_wire(distribution.to_wire()) == distribution


def test_a_numpy_scalar_among_the_choices_is_sent_as_a_number_and_returned_unchanged() -> None:
    choices = (np.int64(1), np.int64(2))
    distribution = ours.CategoricalDistribution(choices)
    assert distribution.to_wire()["choices"] == [1, 2]
    assert distribution.value_of(2) is choices[1]


def test_true_and_1_are_two_choices() -> None:
    distribution = ours.CategoricalDistribution((False, 1))
    assert distribution.value_of(0) == 0
    assert distribution.value_of(False) is False
    assert type(distribution.value_of(1)) is int


def test_a_list_among_the_choices_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(TypeError, match=r"\[1, 2\] is a list, .*choose by a name"):
        ours.CategoricalDistribution(("a", [1, 2]))
    with pytest.raises(ValueError, match="at least one"):
        ours.CategoricalDistribution(())
