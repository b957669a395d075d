"""A Gaussian process over a few hundred points, small enough to be fitted anew for every draw.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2 and 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """Matérn's with smoothness 5/2: how alike two points are, by their distance over `scale`.

    `noise` is the variance that a point shares with no other, where it has one in all.
    """

    scale: float
    noise: float

    def between(self, one: Array, other: Array) -> Array:
        """The likeness of each of `one` (n, d) to each of `other` (m, d): (n, m)."""
        # In few operations: NumPy gives Python's lock away for each, and is given it back by turns.
        stretch = 5**0.5 / self.scale
        one, other = one * stretch, other * stretch
        squares = one @ (-2.0 * other).T
        squares += np.add.outer(
            np.einsum("ij,ij->i", one, one), np.einsum("ij,ij->i", other, other)
        )
        np.maximum(squares, 0.0, out=squares)
        distance = np.sqrt(squares)
        squares /= 3.0
        squares += distance
        squares += 1.0
        likeness: Array = squares * np.exp(np.negative(distance, out=distance), out=distance)
        return likeness

    def among(self, points: Array) -> Array:
        """The covariance of observations at the points (n, d): (n, n)."""
        covariance = self.between(points, points)
        covariance.flat[:: len(points) + 1] += self.noise
        return covariance


def likeliest(kernels: Sequence[Kernel], ranked: Array) -> Kernel:
    """The kernel under which the points (n, d), the best first, are likeliest to rank as they do."""
    scores = normal_scores(len(ranked))

    def likelihood(kernel: Kernel) -> float:
        covariance = kernel.among(ranked)
        fit = scores @ np.linalg.solve(covariance, scores) / len(ranked)
        # The variance in all is the likeliest one, given the kernel.
        return float(-len(ranked) * np.log(fit) - np.linalg.slogdet(covariance)[1])

    return max(kernels, key=likelihood)


def lower_bounds(kernel: Kernel, ranked: Array, running: Array, points: Array) -> Array:
    """How good each of `points` (m, d) may well be, the lower the better: mean less deviation, (m,).

    What is known are finished trials, `ranked` (n, d) with the best first, of which the ranks alone
    count; and those `running` (k, d), of which nothing is expected but that they will tell more.
    """
    scores, count = normal_scores(len(ranked)), len(points)
    others = np.concatenate([points, running])
    likeness = kernel.between(ranked, others)
    solved = np.linalg.solve(kernel.among(ranked), np.column_stack([scores, likeness]))
    weights, explaining = solved[:, 0], solved[:, 1:]
    mean = likeness[:, :count].T @ weights
    explained = (likeness[:, :count] * explaining[:, :count]).sum(axis=0)
    if len(running):
        # What the running ones will explain of what is left: the Schur complement.
        left = kernel.between(running, points) - likeness[:, count:].T @ explaining[:, :count]
        among = kernel.among(running) - likeness[:, count:].T @ explaining[:, count:]
        explained += (left * np.linalg.solve(among, left)).sum(axis=0)
    variance = scores @ weights / len(ranked) * np.maximum(1 - explained, 0.0)
    bounds: Array = mean - np.sqrt(variance)
    return bounds


@lru_cache(maxsize=1024)
def normal_scores(count: int) -> Array:
    """Where so many ranks would lie if they were drawn from a normal distribution, in order."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((rank + 0.5) / count) for rank in range(count)])
