"""The likeliest kernel: its formulas, and that a known kernel is found again."""

from collections.abc import Sequence

import numpy as np
import pytest

from optunapi.engine.samplers.native import likelihood
from optunapi.engine.samplers.native.gaussian import Array, Kernel
from optunapi.engine.samplers.native.likelihood import (
    MAX_NOISE,
    MIN_NOISE,
    SCALES,
    Likelihood,
    fit_kernel,
    isotropic_kernel,
)

POINTS = np.random.default_rng(0).random((80, 3))


def test_a_kernel_begins_with_all_axes_alike() -> None:
    kernel = isotropic_kernel([0, 1, 2, 2, 2, 2, 3], scale=0.5)
    assert kernel.weights == (1.0,) * 7  # 0.5 times the root of four axes
    assert isotropic_kernel([]).weights == ()


def test_the_slope_of_the_likelihood_is_that_of_its_values() -> None:
    """Holds also if several coordinates belong to one axis."""
    seen = Likelihood(POINTS[:40], [0, 1, 1])

    def value_at(logs: Array) -> float:
        return seen.value(seen.kernel(logs))

    logs = np.log([2.0, 1.2, 0.02])
    value, slope = seen.value_and_slope(logs)
    assert value == pytest.approx(value_at(logs))
    steps = np.eye(3) * 1e-5
    differences = [value_at(logs + step) - value_at(logs - step) for step in steps]
    assert slope == pytest.approx(np.array(differences) / 2e-5, rel=1e-5)


def drawn_with(weights: Sequence[float], count: int = 100) -> Array:
    """Points, ranked by a sample of a process with these weights."""
    places = np.random.default_rng(8).random((count, len(weights)))
    truth = Kernel(weights=(*weights,), noise=0.001)
    values = np.linalg.cholesky(truth.among(places)) @ np.random.default_rng(4).normal(size=count)
    return places[values.argsort()]


@pytest.mark.parametrize("weights", [(1.5, 1.5), (6.0, 6.0), (1.5, 6.0), (6.0, 1.5)])
def test_the_likeliest_kernel_is_about_the_one_the_values_came_from(
    weights: tuple[float, float],
) -> None:
    found = fit_kernel(drawn_with(weights), [0, 1]).weights
    assert np.log(found) == pytest.approx(np.log(weights), abs=np.log(2))


def test_an_axis_that_tells_nothing_weighs_less() -> None:
    """The order of the axes does not matter."""
    ranked = drawn_with([3.0, 0.05, 0.05])
    weights = fit_kernel(ranked, [0, 1, 2]).weights
    assert weights[0] > 4 * max(weights[1:])
    again = fit_kernel(ranked[:, ::-1], [0, 1, 2]).weights
    assert again == pytest.approx(weights[::-1], rel=1e-6)


def test_the_coordinates_of_one_axis_have_one_weight() -> None:
    weights = fit_kernel(drawn_with([3.0, 0.5, 0.1, 1.0]), [0, 1, 1, 1]).weights
    assert len(set(weights[1:])) == 1
    assert weights[0] != weights[1]


def test_the_search_leads_to_a_likelier_kernel_than_it_began_with() -> None:
    ranked = drawn_with([3.0, 0.3, 1.0])
    seen = Likelihood(ranked, [0, 1, 2])
    begin = max(seen.value(isotropic_kernel([0, 1, 2], scale)) for scale in SCALES)
    found = fit_kernel(ranked, [0, 1, 2])
    assert seen.value(found) > begin + 5


def test_a_longer_search_never_leads_to_a_less_likely_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The likelihood includes the priors of the weights and the noise."""
    ranked = drawn_with([4.0, 0.02, 1.0], count=40)
    seen = Likelihood(ranked, [0, 1, 2])
    even = max((isotropic_kernel([0, 1, 2], scale) for scale in SCALES), key=seen.value)
    values = []
    for n_steps in range(1, 25):
        monkeypatch.setattr(likelihood, "N_STEPS", n_steps)
        found = fit_kernel(ranked, [0, 1, 2])
        away = np.log([*found.weights, found.noise]) - np.log([*even.weights, even.noise])
        expected = float(((away / [1.0, 1.0, 1.0, 3.0]) ** 2).sum()) / 2
        values.append(seen.value(found) - expected)
    assert values == sorted(values)
    assert values[0] == pytest.approx(seen.value(even))
    assert values[0] < values[7] < values[23]


def test_there_is_never_more_noise_than_all_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(likelihood, "N_STEPS", 60)
    monkeypatch.setattr(likelihood, "SPREAD_OF_NOISE", 100.0)
    shuffled = POINTS[np.random.default_rng(3).permutation(80)]
    assert fit_kernel(shuffled, [0, 1, 2]).noise == pytest.approx(MAX_NOISE)


def test_noise_is_told_from_a_short_scale() -> None:
    smooth = (POINTS[:, 0] - 0.5) ** 2
    noise = np.random.default_rng(5).normal(size=80)
    kernels = [fit_kernel(POINTS[(smooth + n).argsort()], [0, 1, 2]) for n in (0.0 * noise, noise)]
    assert MIN_NOISE <= kernels[0].noise < 0.02
    assert 0.3 < kernels[1].noise <= MAX_NOISE
