"""The choice of a kernel for a Gaussian process, by maximum likelihood with a prior.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapter 5; Riedmiller and Braun,
"A direct adaptive method for faster backpropagation learning: the RPROP algorithm" (1993).
"""

from collections.abc import Sequence

import numpy as np

from optunapi.engine.samplers.native.gaussian import (
    Array,
    Kernel,
    cholesky,
    distances,
    normal_scores,
)

# Where the search begins: length scales, times the square root of the number of axes, and the noise.
SCALES, NOISE = (0.1, 0.2, 0.4, 0.8, 1.6), 0.01
# The prior's standard deviations around that, for the logarithms of each weight and of the noise.
SPREAD, SPREAD_OF_NOISE = 1.0, 3.0
MIN_NOISE, MAX_NOISE = 1e-4, 1.0
N_STEPS, FIRST_STEP, LONGEST_STEP = 8, 0.25, 1.0


def isotropic_kernel(axes: Sequence[int], scale: float = 0.4) -> Kernel:
    """A kernel that weighs all axes the same; see `fit_kernel` for `axes`."""
    weight = 1 / (scale * max(len({*axes}), 1) ** 0.5)
    return Kernel(weights=(weight,) * len(axes), noise=NOISE)


def fit_kernel(ranked: Array, axes: Sequence[int]) -> Kernel:
    """The kernel for which it is most likely that the points (n, d) rank as they do, best first.

    `axes` (d,) says which axis each coordinate belongs to, counted from 0. The coordinates of one axis
    share one weight. The search begins at the best of the kernels that weigh all axes the same, and
    follows the slope of the marginal likelihood (Rasmussen and Williams, formula 5.9) by resilient
    propagation (Riedmiller and Braun), in logarithms. That looks at the signs of the slopes alone, and so
    needs no scale for them.
    """
    likelihood = Likelihood(ranked, axes)
    isotropic = max((isotropic_kernel(axes, scale) for scale in SCALES), key=likelihood.value)
    begin = np.log([isotropic.weights[0]] * len({*axes}) + [isotropic.noise])
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
        agreement = np.sign(slope * before)  # -1 where the step was too long
        factors = np.choose(agreement.astype(int) + 1, (0.5, 1.0, 1.3))
        steps = np.minimum(steps * factors, LONGEST_STEP)
        before = np.where(agreement < 0, 0.0, slope)
        logs = logs + np.sign(before) * steps
        logs[-1] = np.clip(logs[-1], np.log(MIN_NOISE), np.log(MAX_NOISE))
    return likelihood.kernel(best)


class Likelihood:
    """The likelihood of kernels, given points (n, d) from best to worst.

    For each kernel the variance of the process is the most likely one.
    """

    def __init__(self, ranked: Array, axes: Sequence[int]) -> None:
        self._ranked = ranked
        self._axes = np.array(axes)
        self._scores = normal_scores(len(ranked))

    def kernel(self, logs: Array) -> Kernel:
        """The kernel for the logarithms (k + 1,) of the k axes' weights and of the noise."""
        weights = np.exp(logs[:-1])[self._axes].tolist()
        return Kernel(weights=(*weights,), noise=float(np.exp(logs[-1])))

    def value(self, kernel: Kernel) -> float:
        """The logarithm of the likelihood, up to a constant."""
        covariance = kernel.among(self._ranked)
        factor, (solved,) = cholesky(covariance, self._scores[None, :])
        return float(-0.5 * len(solved) * np.log(solved @ solved) - np.log(factor.diagonal()).sum())

    def value_and_slope(self, logs: Array) -> tuple[float, Array]:
        """The value for the kernel of these logarithms, and its derivatives by them (k + 1,)."""
        kernel, scores, count = self.kernel(logs), self._scores, len(self._scores)
        points = kernel.scaled(self._ranked)
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
        # The derivative of a covariance by the logarithm of a weight is -near / 3 times the squared
        # distance along that coordinate, scaled.
        slope *= near
        pulls = slope @ points - points * slope.sum(axis=1)[:, None]
        by_weight = np.bincount(self._axes, (points * pulls).sum(axis=0) / 3)
        return value, np.append(by_weight, by_noise)
