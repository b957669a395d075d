"""A Gaussian process over ranked points: its formulas and how they behave."""

import numpy as np
import pytest

from optunapi.engine.samplers.native.gaussian import (
    OPTIMISM,
    Array,
    Kernel,
    lower_bounds,
    normal_scores,
)
from optunapi.engine.samplers.native.likelihood import MAX_NOISE, MIN_NOISE, fit_kernel

KERNEL = Kernel(weights=(2.0, 2.0, 1.0), noise=0.01)
NONE = np.empty((0, 3))


def points(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, 3))


def deviation(ranked: Array, running: Array, places: Array) -> Array:
    """The textbook standard deviation at each place, with the maximum-likelihood variance."""
    known = np.concatenate([ranked, running])
    inverse = np.linalg.inv(KERNEL.among(known))
    likeness = KERNEL.between(known, places)
    scores = normal_scores(len(ranked))
    of_all = scores @ np.linalg.inv(KERNEL.among(ranked)) @ scores / len(ranked)
    return np.sqrt(of_all * (1 - np.diag(likeness.T @ inverse @ likeness)))


def mean(ranked: Array, places: Array) -> Array:
    inverse = np.linalg.inv(KERNEL.among(ranked))
    return KERNEL.between(places, ranked) @ inverse @ normal_scores(len(ranked))


def test_two_points_are_as_alike_as_matern_says() -> None:
    here, there = np.array([[0.0, 0.0, 0.0]]), np.array([[0.3, 0.0, 0.8]])
    assert KERNEL.between(here, here)[0, 0] == pytest.approx(1.0)
    root = np.sqrt(5.0)  # at a weighted distance of 1
    expected = (1 + root + 5 / 3) * np.exp(-root)
    assert KERNEL.between(here, there)[0, 0] == pytest.approx(expected)
    assert KERNEL.among(here)[0, 0] == pytest.approx(1.01)


@pytest.mark.parametrize("n_running", [0, 1, 7])
def test_a_bound_is_the_mean_less_some_deviations(n_running: int) -> None:
    ranked, running, places = points(20), points(n_running, 1), points(9, 2)
    expected = mean(ranked, places) - OPTIMISM * deviation(ranked, running, places)
    assert lower_bounds(KERNEL, ranked, running, places) == pytest.approx(expected, abs=1e-9)


def test_of_what_is_running_only_the_deviation_becomes_less() -> None:
    ranked, place = points(20), points(1, 2)
    before = lower_bounds(KERNEL, ranked, NONE, place)
    after = lower_bounds(KERNEL, ranked, place, place)
    assert before < after
    assert after <= mean(ranked, place)


def test_the_best_is_expected_near_the_best() -> None:
    places = points(200, 3)
    ranked = places[np.argsort(((places - 0.3) ** 2).sum(axis=1))][::2]
    near, far = np.full((1, 3), 0.3), np.full((1, 3), 0.8)
    assert lower_bounds(KERNEL, ranked, NONE, near) < lower_bounds(KERNEL, ranked, NONE, far)


def test_one_trial_says_nothing_and_breaks_nothing() -> None:
    assert lower_bounds(KERNEL, points(1), NONE, points(3, 1)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(20))
def test_points_that_lie_on_each_other_break_nothing(seed: int) -> None:
    """For any number of points, with the least noise allowed."""
    source = np.random.default_rng(seed)
    kernel = Kernel(weights=(*(10 ** source.uniform(-2, 2, 3)).tolist(),), noise=MIN_NOISE)
    places = source.choice(points(4), 250)
    ranked, running, others = np.split(places, [source.integers(1, 150), 200])
    bounds = lower_bounds(kernel, ranked, running, others)
    assert np.isfinite(bounds).all()
    found = fit_kernel(places[:75], [0, 1, 1])
    assert np.isfinite(found.weights).all()
    assert MIN_NOISE <= found.noise * 1.001 <= 1.001 * MAX_NOISE


def test_scores_are_those_of_a_normal_distribution() -> None:
    scores = normal_scores(101)
    assert scores[50] == pytest.approx(0.0, abs=1e-12)
    assert scores.tolist() == sorted(scores)
    assert scores.std() == pytest.approx(1.0, abs=0.03)
