"""Which kernel a Gaussian process should have, told by the points that it is to explain.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapter 5; Riedmiller and Braun,
"A direct adaptive method for faster backpropagation learning: the RPROP algorithm" (1993).
"""

from collections.abc import Sequence

import numpy as np

from optunapi.engine.samplers.native.gaussian import (
    Array,
    Kernel,
    distances,
    normal_scores,
    root_of,
)

# Where the search for a kernel begins: the scales, times the root of the number of axes, and the noise.
# By how much each weight's and the noise's logarithm may be expected to lie elsewhere.
SCALES, NOISE = (0.1, 0.2, 0.4, 0.8, 1.6), 0.01
SPREAD, SPREAD_OF_NOISE = 1.0, 3.0
LEAST_NOISE, MOST_NOISE = 1e-4, 1.0
N_STEPS, FIRST_STEP, LONGEST_STEP = 8, 0.25, 1.0


def alike(axes: Sequence[int], scale: float = 0.4) -> Kernel:
    """A kernel for which all axes weigh the same; see `likeliest`."""
    weight = 1 / (scale * max(len({*axes}), 1) ** 0.5)
    return Kernel(weights=(weight,) * len(axes), noise=NOISE)


def likeliest(ranked: Array, axes: Sequence[int]) -> Kernel:
    """The kernel under which the points (n, d), the best first, are likeliest to rank as they do.

    `axes` (d,) says which axis each coordinate belongs to, counted from 0; those of one axis have one
    weight. The likeliest weight for all is where a search begins that gives each its own, by the slope
    of the marginal likelihood (formula 5.9): resilient propagation (Riedmiller and Braun, 1993), in
    logarithms. It goes by the signs of the slopes, and so needs no scale for them.
    """
    likelihood = Likelihood(ranked, axes)
    even = max((alike(axes, scale) for scale in SCALES), key=likelihood.value)
    begin = np.log([even.weights[0]] * len({*axes}) + [even.noise])
    spread = np.full(len(begin), SPREAD)
    spread[-1] = SPREAD_OF_NOISE
    best, highest = begin, -np.inf
    logs, steps, before = begin, np.full(len(begin), FIRST_STEP), np.zeros(len(begin))
    for _ in range(N_STEPS):
        value, slope = likelihood.value_and_slope(logs)
        away = (logs - begin) / spread
        value -= 0.5 * float(away @ away)
        if value > highest:
            best, highest = logs, value
        slope = slope - away / spread
        turns = np.sign(slope * before)
        steps = np.minimum(steps * np.choose(turns.astype(int) + 1, (0.5, 1.0, 1.3)), LONGEST_STEP)
        before = np.where(turns < 0, 0.0, slope)
        logs = logs + np.sign(before) * steps
        logs[-1] = np.clip(logs[-1], np.log(LEAST_NOISE), np.log(MOST_NOISE))
    return likelihood.kernel(best)


class Likelihood:
    """How likely kernels are, given points (n, d) in the order of their values.

    The variance in all is the likeliest one, given the kernel.
    """

    def __init__(self, ranked: Array, axes: Sequence[int]) -> None:
        self._ranked = ranked
        self._axes = np.array(axes)
        self._scores = normal_scores(len(ranked))

    def kernel(self, logs: Array) -> Kernel:
        """The kernel of which these are the logarithms (k + 1,): of the axes' weights, and of the noise."""
        weights = np.exp(logs[:-1])[self._axes].tolist()
        return Kernel(weights=(*weights,), noise=float(np.exp(logs[-1])))

    def value(self, kernel: Kernel) -> float:
        """The logarithm of the likelihood, less a constant."""
        covariance = kernel.among(self._ranked)
        root, (solved,) = root_of(covariance, self._scores[None, :])
        return float(-0.5 * len(solved) * np.log(solved @ solved) - np.log(root.diagonal()).sum())

    def value_and_slope(self, logs: Array) -> tuple[float, Array]:
        """The value for the kernel of these logarithms, and its derivatives by them (k + 1,)."""
        kernel, scores, count = self.kernel(logs), self._scores, len(self._scores)
        points = kernel.stretched(self._ranked)
        distance = distances(points, points)
        decay = np.exp(-distance)
        near = (1.0 + distance) * decay
        covariance = near + distance * distance * decay / 3.0
        covariance.flat[:: count + 1] += kernel.noise
        inverse = np.linalg.inv(covariance)
        weights = inverse @ scores
        fit = float(scores @ weights)
        value = float(-0.5 * count * np.log(fit) + 0.5 * np.linalg.slogdet(inverse)[1])
        slope = np.outer(weights, weights) * (count / fit) - inverse
        by_noise = 0.5 * kernel.noise * np.trace(slope)
        # By the logarithm of a weight, a likeness changes by -near / 3 times the stretched distance squared.
        slope *= near
        pulls = slope @ points - points * slope.sum(axis=1)[:, None]
        by_weight = np.bincount(self._axes, (points * pulls).sum(axis=0) / 3)
        return value, np.append(by_weight, by_noise)
