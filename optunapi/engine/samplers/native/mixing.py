"""Points between one of the best trials and another point: what TPE drew, or one drawn evenly.

TPE's densities are wide while few trials are good, so that its draws explore; and they have little where
nothing good was found. Most draws therefore take most of their parameters from one of the best trials,
and the others from TPE's draw or from anywhere, or part of the way there: what crossover and mutation are
to genetic algorithms. Measured, see docs/samplers.md.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optunapi.engine.samplers.native.axes import Axis

Params = Mapping[str, Any]

# Of the draws that are not screened those that are mixed. Of those mixed, the parameters that are the good
# trial's, the points whose others are drawn evenly, and those whose other numbers come nearer to it.
MIXED, KEPT, EVENLY, NEARER = 2 / 3, 0.7, 1 / 3, 0.5

# So many are mixed from this trial on, of those before the fewer the earlier: the best of a few trials may
# be far from what is best.
ALL_FROM = 120


def mixed(
    axes: Mapping[str, Axis],
    draw: Callable[[], Params],
    leaders: Sequence[Params],
    seed: int,
    number: int,
) -> Params:
    """A point for trial `number` that follows from the seed: what `draw` gives, or with most of one of the
    best trials.
    """
    source = random.Random(seed)  # nosec B311  # no secret
    if source.random() >= MIXED * min(1.0, number / ALL_FROM):
        return draw()
    start = source.choice(leaders)
    free = [name for name in axes if source.random() >= KEPT] or [source.choice([*axes])]
    is_even = source.random() < EVENLY
    share = source.random() if source.random() < NEARER else 1.0
    end = {name: axes[name].draw(source.random()) for name in free} if is_even else draw()
    point = {name: start[name] for name in axes}
    for name in free:
        point[name] = axes[name].between(start[name], end[name], share)
    return point
