"""A Gaussian process over at most a few hundred points, small enough to be conditioned anew for every draw.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapter 2.
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

# A bound is the mean less so many deviations.
OPTIMISM = 2.0

# What is far more than any covariance.
_PLENTY = 1e12


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Matérn's with smoothness 5/2: how alike two points are, by their distance.

    A distance is measured with one of the d `weights` for each coordinate. `noise` is the variance that a
    point shares with no other, where it has one in all.
    """

    weights: tuple[float, ...]
    noise: float

    def between(self, one: Array, other: Array) -> Array:
        """The likeness of each of `one` (n, d) to each of `other` (m, d): (n, m)."""
        distance = distances(self.stretched(one), self.stretched(other))
        # In few operations: NumPy gives Python's lock away for each, and is given it back by turns.
        likeness = distance * distance
        likeness /= 3.0
        likeness += distance
        likeness += 1.0
        likeness *= np.exp(np.negative(distance, out=distance), out=distance)
        return likeness

    def among(self, points: Array) -> Array:
        """The covariance of observations at the points (n, d): (n, n)."""
        covariance = self.between(points, points)
        covariance.flat[:: len(points) + 1] += self.noise
        return covariance

    def stretched(self, points: Array) -> Array:
        """The points (n, d) in units in which the kernel has no parameters."""
        found: Array = points * (np.array(self.weights) * 5**0.5)
        return found


def lower_bounds(kernel: Kernel, ranked: Array, running: Array, points: Array) -> Array:
    """How good each of `points` (m, d) may well be, the lower the better: mean less deviations, (m,).

    What is known are finished trials, `ranked` (n, d) with the best first, of which the ranks alone
    count; and those `running` (k, d), of which nothing is expected but that they will tell more.
    """
    scores, count = normal_scores(len(ranked)), len(ranked)
    trials = np.concatenate([ranked, running])
    wanted = np.zeros((1 + len(points), len(trials)))
    wanted[0, :count] = scores
    wanted[1:] = kernel.between(points, trials)
    _, solved = root_of(kernel.among(trials), wanted)
    weights, explaining = solved[0, :count], solved[1:]
    mean = explaining[:, :count] @ weights
    explained = np.einsum("ij,ij->i", explaining, explaining)
    variance = weights @ weights / count * np.maximum(1 - explained, 0.0)
    bounds: Array = mean - OPTIMISM * np.sqrt(variance)
    return bounds


def root_of(covariance: Array, wanted: Array) -> tuple[Array, Array]:
    """Cholesky's root L (n, n) of a covariance, and `wanted` (m, n) times the inverse of its transpose.

    Both are parts of the root of a larger matrix, whichever its last corner is. NumPy has no solver for
    triangles, and its solver for any matrix takes three times as long; SciPy's for triangles holds Python's
    lock, so that the server would stand still meanwhile.
    """
    count, size = len(covariance), len(covariance) + len(wanted)
    whole = np.zeros((size, size))
    whole[:count, :count] = covariance
    whole[count:, :count] = wanted  # what is above the diagonal is not looked at
    whole.flat[count * (size + 1) :: size + 1] = _PLENTY
    root: Array = np.linalg.cholesky(whole)
    return root[:count, :count], root[count:, :count]


def distances(one: Array, other: Array) -> Array:
    """From each of `one` (n, d) to each of `other` (m, d): (n, m)."""
    squares = one @ (-2.0 * other).T
    squares += np.add.outer(np.einsum("ij,ij->i", one, one), np.einsum("ij,ij->i", other, other))
    np.maximum(squares, 0.0, out=squares)
    found: Array = np.sqrt(squares, out=squares)
    return found


@lru_cache(maxsize=1024)
def normal_scores(count: int) -> Array:
    """Where so many ranks would lie if they were drawn from a normal distribution, in order."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((rank + 0.5) / count) for rank in range(count)])
