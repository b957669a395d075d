"""The grid of a search space: every combination of the parameters' values."""

import math
from collections.abc import Mapping, Sequence

from optunapi.engine.documents.document import Scalar
from optunapi.engine.space import Parameter, fitted, values_of

# Optuna's grid sampler keeps every point in memory, and every value with every trial.
MAX_POINTS = 100_000


def grid_of(
    given: Mapping[str, Sequence[Scalar]] | None, parameters: Sequence[Parameter]
) -> dict[str, list[Scalar]]:
    """The values to try for each parameter: those `given`, or else all it has."""
    grid = {name: list(values) for name, values in (given or {}).items()}
    for parameter in parameters:
        name, distribution = parameter.name, parameter.distribution
        if name in grid:
            fits = [fitted(distribution, value) for value in grid[name]]
            grid[name] = [each[0] for each in fits if each]
        else:
            grid[name] = values_of(distribution, MAX_POINTS) or []
    return grid


def points_in(grid: Mapping[str, Sequence[Scalar]]) -> int:
    """The number of points in a grid."""
    return math.prod(len(values) for values in grid.values())
