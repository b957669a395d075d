"""Stepped ranges are rounded as by Optuna, and are read again as they were written."""

import decimal
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from optunapi.client.optuna_types import distributions as client
from optunapi.engine.spec.distributions import (
    distribution_to_spec,
    distribution_to_wire,
    parse_distribution,
)
from optunapi.engine.spec.files import spec_from_yaml
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import ConfigInvalid
from optunapi.steps import high_to_write, last_step
from optunapi.storage.encoding import Distributions
from tests.support import scaled

NUMBERS = st.one_of(
    st.integers(-40, 40).map(lambda n: n * 0.1),
    st.integers(-9, 9).map(lambda n: n / 3),
    st.builds(lambda m, n: 0.1 * m + 0.2 * n, st.integers(0, 20), st.integers(0, 5)),
    st.sampled_from([math.pi, 1e-5, 2.0**31, 2.0**53 - 1, 2.0**53, 2.0**63, -0.0]),
    st.builds(lambda sign, n: sign * 10.0**n, st.sampled_from([-1, 1]), st.floats(-300, 300)),
    st.floats(-10, 10),
)
STEPS = NUMBERS.map(abs).filter(bool)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float, float, float]:
    low, step = draw(NUMBERS), draw(STEPS)
    high = draw(st.one_of(NUMBERS, st.integers(0, 30).map(lambda n: low + n * step)))
    return min(low, high), max(low, high), step


def optunas(low: float, high: float, step: float) -> FloatDistribution | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return FloatDistribution(low, high, step=step)
        except decimal.InvalidOperation:
            return None


@settings(max_examples=scaled(500, 50_000), deadline=None)
@given(ranges())
def test_every_door_takes_and_rounds_a_stepped_float_as_optuna_does(
    given_range: tuple[float, float, float],
) -> None:
    low, high, step = given_range
    theirs = optunas(low, high, step)
    wire = {"type": "float", "low": low, "high": high, "step": step}
    text = f"x: {{type: float, low: {low!r}, high: {high!r}, step: {step!r}}}"
    doors: tuple[Callable[[], Any], ...] = (
        lambda: parse_distribution(wire),
        lambda: spec_from_mapping({"parameters": {"x": wire}}).parameters[0].distribution,
        lambda: spec_from_yaml(text).parameters[0].distribution,
        lambda: client.FloatDistribution(low, high, step=step),
    )
    for door in doors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = door()
            except (ValueError, ConfigInvalid):
                found = None
        if theirs is None:
            assert found is None
        elif found is None:
            assert not math.isfinite(high - low)  # Optuna fails when it samples
        else:
            assert (found.low, found.high, found.step) == (theirs.low, theirs.high, theirs.step)


@settings(max_examples=scaled(500, 50_000), deadline=None)
@given(ranges())
def test_a_rounded_range_stays_as_it_is_wherever_it_is_read_again(
    given_range: tuple[float, float, float],
) -> None:
    low, high, step = given_range
    theirs = optunas(low, high, step)
    if theirs is None or not math.isfinite(high - low):
        return
    assert parse_distribution(distribution_to_spec(theirs)) == theirs
    assert parse_distribution(distribution_to_wire(theirs), is_shown=True) == theirs
    written = Distributions().encode(theirs)
    assert Distributions().decode(written) == theirs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert json_to_distribution(written) == theirs
        ours = client.FloatDistribution(low, high, step=step)
    assert parse_distribution(ours.to_wire()) == theirs
    assert client.from_wire(distribution_to_wire(theirs)) == ours


def test_a_range_whose_end_lies_below_its_step_is_not_shortened_twice() -> None:
    low = 0.1 + 0.2
    assert last_step(low, 0.9, 0.1) == 0.8
    assert last_step(low, 0.8, 0.1) == 0.7000000000000001  # what Optuna makes of 0.8
    assert last_step(low, high_to_write(low, 0.8, 0.1), 0.1) == 0.8
    assert distribution_to_json(FloatDistribution(0, 1, step=0.5)) == Distributions().encode(
        FloatDistribution(0, 1, step=0.5)
    )


def test_a_suggested_integer_is_rounded_as_by_optuna_and_a_configured_one_has_to_fit() -> None:
    wire = {"type": "int", "low": 1, "high": 10, "step": 4}
    assert parse_distribution(wire) == IntDistribution(1, 9, step=4)
    with pytest.raises(ConfigInvalid, match="make `high` 9 or 13"):
        spec_from_mapping({"parameters": {"n": wire}})


def test_integers_beyond_two_to_the_53_are_taken_as_in_optuna() -> None:
    wire = {"type": "int", "low": 0, "high": 2**64 - 1, "step": 1, "log": False}
    assert parse_distribution(wire) == IntDistribution(0, 2**64 - 1)
    assert distribution_to_wire(parse_distribution(wire)) == wire
