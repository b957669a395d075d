"""A Gaussian process over at most a few hundred points, fast enough to be conditioned for every draw.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapter 2.
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

# A lower bound is the mean minus this many standard deviations.
OPTIMISM = 2.0

# Much larger than any covariance.
_HUGE = 1e12


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Matérn's kernel with smoothness 5/2 (Rasmussen and Williams, formula 4.17).

    `weights` (d,) are the inverse length scales of the coordinates. `noise` is the variance of an
    observation that no other shares, where the variance of the process is 1.
    """

    weights: tuple[float, ...]
    noise: float

    def between(self, one: Array, other: Array) -> Array:
        """The covariance of each of `one` (n, d) with each of `other` (m, d): (n, m)."""
        distance = distances(self.scaled(one), self.scaled(other))
        # In place, with few operations: NumPy releases Python's lock for each and has to get it back.
        covariance = distance * distance
        covariance /= 3.0
        covariance += distance
        covariance += 1.0
        covariance *= np.exp(np.negative(distance, out=distance), out=distance)
        return covariance

    def among(self, points: Array) -> Array:
        """The covariance of observations at the points (n, d), noise included: (n, n)."""
        covariance = self.between(points, points)
        covariance.flat[:: len(points) + 1] += self.noise
        return covariance

    def scaled(self, points: Array) -> Array:
        """The points (n, d) in units in which the kernel has no weights."""
        found: Array = points * (np.array(self.weights) * 5**0.5)
        return found


def lower_bounds(kernel: Kernel, ranked: Array, running: Array, points: Array) -> Array:
    """How good each of `points` (m, d) may be: mean minus deviations, lower is better, (m,).

    The finished trials are `ranked` (n, d), best first. Only their ranks count. The trials `running`
    (k, d) lower the deviations around them and leave the mean as it is.
    """
    scores, count = normal_scores(len(ranked)), len(ranked)
    trials = np.concatenate([ranked, running])
    rows = np.zeros((1 + len(points), len(trials)))
    rows[0, :count] = scores
    rows[1:] = kernel.between(points, trials)
    _, solved = cholesky(kernel.among(trials), rows)
    weights, explaining = solved[0, :count], solved[1:]
    mean = explaining[:, :count] @ weights
    explained = np.einsum("ij,ij->i", explaining, explaining)
    variance = weights @ weights / count * np.maximum(1 - explained, 0.0)
    bounds: Array = mean - OPTIMISM * np.sqrt(variance)
    return bounds


def cholesky(covariance: Array, rows: Array) -> tuple[Array, Array]:
    """The Cholesky factor L (n, n) of a covariance, and `rows` (m, n) times the inverse of L transposed.

    Both are parts of the factor of a larger matrix, whatever its last corner is. NumPy has no triangular
    solver, and its general one takes three times as long. SciPy's triangular solver holds Python's lock,
    so that the server would stand still meanwhile.
    """
    count, size = len(covariance), len(covariance) + len(rows)
    whole = np.zeros((size, size))
    whole[:count, :count] = covariance
    whole[count:, :count] = rows  # what is above the diagonal is not read
    whole.flat[count * (size + 1) :: size + 1] = _HUGE
    factor: Array = np.linalg.cholesky(whole)
    return factor[:count, :count], factor[count:, :count]


def distances(one: Array, other: Array) -> Array:
    """The distance from each of `one` (n, d) to each of `other` (m, d): (n, m)."""
    squares = one @ (-2.0 * other).T
    squares += np.add.outer(np.einsum("ij,ij->i", one, one), np.einsum("ij,ij->i", other, other))
    np.maximum(squares, 0.0, out=squares)
    found: Array = np.sqrt(squares, out=squares)
    return found


@lru_cache(maxsize=1024)
def normal_scores(count: int) -> Array:
    """The values that `count` ranks stand for: quantiles of a normal distribution, ascending, (count,)."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((rank + 0.5) / count) for rank in range(count)])
