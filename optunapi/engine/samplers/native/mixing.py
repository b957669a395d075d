"""Points between a good trial and another point: crossover and mutation, as in genetic algorithms.

TPE explores while few trials are good, since its densities are wide then, and neglects regions where
nothing good was found. Most draws therefore take most of their parameters from one of the best trials.
The other parameters come from TPE's draw or from a uniform one, or lie part of the way there. The rates
were chosen by measurement (docs/samplers.md).
"""

import random
from collections.abc import Callable, Mapping, Sequence

from optunapi.engine.samplers.native.axes import Axis, Params

MIXED = 2 / 3  # of the draws that are not screened, those that are mixed
KEPT = 0.7  # of a mixed point's parameters, those of the good trial
UNIFORM = 1 / 3  # of the mixed points, those whose other parameters are drawn uniformly
PARTIAL = 0.5  # of the mixed points, those whose other numbers go only part of the way

# Fewer points are mixed before this trial: the best of a few trials may be far from the optimum.
ALL_FROM = 120


def mixed(
    axes: Mapping[str, Axis],
    draw: Callable[[], Params],
    leaders: Sequence[Params],
    seed: int,
    number: int,
) -> Params:
    """A point for trial `number` that follows from the seed.

    It is what `draw` returns, or has most parameters of one of the `leaders`.
    """
    source = random.Random(seed)  # nosec B311  # no secret
    if source.random() >= MIXED * min(1.0, number / ALL_FROM):
        return draw()
    start = source.choice(leaders)
    free = [name for name in axes if source.random() >= KEPT] or [source.choice([*axes])]
    is_uniform = source.random() < UNIFORM
    fraction = source.random() if source.random() < PARTIAL else 1.0
    end = {name: axes[name].from_unit(source.random()) for name in free} if is_uniform else draw()
    point = {name: start[name] for name in axes}
    for name in free:
        point[name] = axes[name].interpolate(start[name], end[name], fraction)
    return point
