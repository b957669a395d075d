"""The points of a space: counted without going through them, and gone through one by one."""

import random
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.engine.space import Parameter, Values, value_at, values_of
from optunapi.engine.state.space_points import count_points, points
from tests.support import scaled

BOOLEAN = CategoricalDistribution([True, False])
SMALL: list[BaseDistribution] = [
    BOOLEAN,
    CategoricalDistribution(["a", 1.0, None]),
    IntDistribution(2, 8, step=3),
    IntDistribution(1, 1),
    FloatDistribution(0, 0.3, step=0.1),
]


def values_in(parameters: list[Parameter]) -> dict[str, Values]:
    return {p.name: Values(distribution=p.distribution) for p in parameters}


def counted(parameters: list[Parameter]) -> int | None:
    return count_points(parameters, values_in(parameters))


def listed(parameters: list[Parameter], seed: int = 0) -> Iterator[dict[str, Any]]:
    return points(parameters, values_in(parameters), random.Random(seed))


@st.composite
def spaces(draw: st.DrawFn) -> list[Parameter]:
    """A few small parameters, with conditions on those before them."""
    found: list[Parameter] = []
    for place in range(draw(st.integers(1, 6))):
        distribution = draw(st.sampled_from(SMALL))
        when = {}
        for earlier in draw(st.lists(st.sampled_from(found), max_size=3)) if found else ():
            choices = values_of(earlier.distribution, 10)
            assert choices
            named = draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3))
            when[earlier.name] = tuple(named)
        found.append(Parameter(name=f"p{place}", distribution=distribution, when=when or None))
    return found


@settings(max_examples=scaled(150, 5000), deadline=None)
@given(spaces(), st.integers(0, 3))
def test_as_many_points_are_counted_as_there_are(space: list[Parameter], seed: int) -> None:
    found = list(listed(space, seed))
    assert counted(space) == len(found)
    assert len({tuple(sorted(point.items(), key=lambda item: item[0])) for point in found}) == len(
        found
    )
    for point in found:
        assert list(point) == [p.name for p in space if p.applies(point)]


def switches(k: int) -> list[Parameter]:
    """All switches first, then a parameter for each of them."""
    return [Parameter(name=f"use_{i}", distribution=BOOLEAN) for i in range(k)] + [
        Parameter(name=f"n_{i}", distribution=IntDistribution(1, 4), when={f"use_{i}": (True,)})
        for i in range(k)
    ]


def chain(k: int) -> list[Parameter]:
    """Each parameter is used only if the one before it is true."""
    return [Parameter(name="b0", distribution=BOOLEAN)] + [
        Parameter(name=f"b{i}", distribution=BOOLEAN, when={f"b{i - 1}": (True,)})
        for i in range(1, k)
    ]


def fan(k: int) -> list[Parameter]:
    """Each choice of the first parameter has one of its own."""
    root = Parameter(name="root", distribution=CategoricalDistribution(list(range(k))))
    return [root] + [
        Parameter(name=f"n{i}", distribution=IntDistribution(1, i + 1), when={"root": (i,)})
        for i in range(k)
    ]


@pytest.mark.parametrize(
    ("space", "count"),
    [
        (switches(19), 5**19),
        (switches(1200), 5**1200),
        (chain(1000), 1001),
        (fan(2000), 2000 * 2001 // 2),
        ([Parameter(name="n", distribution=IntDistribution(0, 2**64 - 1))], 2**64),
        ([Parameter(name="n", distribution=IntDistribution(0, 10**30, step=10**15))], 10**15 + 1),
        (
            [Parameter(name="c", distribution=CategoricalDistribution(list(range(10_000))))] * 1,
            10_000,
        ),
        ([Parameter(name=f"b{i}", distribution=BOOLEAN) for i in range(5000)], 2**5000),
    ],
    ids=["19", "1200", "chain", "fan", "2^64", "steps", "choices", "5000"],
)
def test_a_large_space_is_counted_at_once(space: list[Parameter], count: int) -> None:
    began = perf_counter()
    assert counted(space) == count
    first = next(listed(space))
    assert list(first) == [p.name for p in space if p.applies(first)]
    assert perf_counter() - began < 5


def test_a_space_that_is_too_connected_to_count_is_more_than_can_be_tried() -> None:
    flags = [Parameter(name=f"f{i}", distribution=BOOLEAN) for i in range(60)]
    every = {flag.name: (True,) for flag in flags}
    space = [*flags, Parameter(name="all", distribution=IntDistribution(1, 2), when=every)]
    crossed = [
        Parameter(
            name=f"x{i}", distribution=BOOLEAN, when={f"f{i}": (True,), f"f{59 - i}": (True,)}
        )
        for i in range(59)
    ]
    began = perf_counter()
    assert counted([*space, *crossed]) is None
    assert perf_counter() - began < 5


def test_points_without_end_are_gone_through_too() -> None:
    space = [
        Parameter(name="kind", distribution=CategoricalDistribution(["a", "b"])),
        Parameter(name="x", distribution=FloatDistribution(1e-308, 1e308, log=True)),
    ]
    assert counted(space) is None
    drawn = listed(space)
    found = {next(drawn)["x"] for _ in range(50)}
    assert len(found) == 50
    assert all(1e-308 <= x <= 1e308 for x in found)


def test_the_values_of_a_distribution_have_indexes() -> None:
    assert value_at(IntDistribution(0, 2**64 - 1), 2**63) == 2**63
    assert value_at(FloatDistribution(0, 0.9, step=0.1), 3) == 0.3
    wide = Values(distribution=FloatDistribution(-1.7e308, 1.7e308))
    assert all(abs(wide.draw(random.Random(seed))) <= 1.7e308 for seed in range(20))
