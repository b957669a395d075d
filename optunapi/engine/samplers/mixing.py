"""Points between what TPE drew and the best trial.

TPE's densities are wide while few trials are good: its draws explore. Some of them therefore take part
of their parameters from the best trial, and may come nearer to it with the others: what crossover is to
genetic algorithms. Measured to lose nothing and gain much, see docs/samplers.md.
"""

import random
from collections.abc import Mapping
from typing import Any

from optunapi.engine.samplers.axes import Axis

Params = Mapping[str, Any]

# Of all draws those that are mixed, of a mixed point the parameters that are the best trial's, and of
# all mixed points those whose other numbers come nearer to it.
MIXED, KEPT, NEARER = 2 / 3, 0.5, 0.5


def mixed(axes: Mapping[str, Axis], drawn: Params, best: Params, seed: int) -> Params:
    """A point that follows from the seed: what was drawn, or with parts of the best trial."""
    source = random.Random(seed)  # nosec B311  # no secret
    if source.random() >= MIXED:
        return drawn
    kept = [name for name in axes if source.random() < KEPT]
    if len(kept) == len(axes):
        kept.remove(source.choice(kept))
    share = source.random() if source.random() < NEARER else 1.0
    return {
        name: best[name] if name in kept else axis.between(best[name], drawn[name], share)
        for name, axis in axes.items()
    }
