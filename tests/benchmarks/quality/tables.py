"""Problems from `tables.json`: scikit-learn models on its data sets, trained by `tabulate`."""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.quality.problems import Params, Problem

TABLES = Path(__file__).with_name("tables.json")


class Table:
    """Losses on a grid. Between grid points of numerical parameters, losses are interpolated."""

    def __init__(
        self, grid: Mapping[str, Sequence[Any]], log: Sequence[str], losses: Sequence[float]
    ):
        self._grid, self._log = grid, frozenset(log)
        self._losses = losses

    def parameters(self) -> dict[str, dict[str, Any]]:
        """The parameters as a configuration has them."""
        return {name: self._parameter(name, values) for name, values in self._grid.items()}

    def loss(self, params: Params) -> float:
        """Return the loss at a point: the surrounding grid points', weighted by distance."""
        corners = [self._corners(name, params[name]) for name in self._grid]
        return sum(
            math.prod(weight for _, weight in corner)
            * self._losses[self._place([place for place, _ in corner])]
            for corner in itertools.product(*corners)
        )

    def _parameter(self, name: str, values: Sequence[Any]) -> dict[str, Any]:
        if isinstance(values[0], str | bool):
            return {"type": "categorical", "choices": list(values)}
        kind = "int" if isinstance(values[0], int) else "float"
        return {"type": kind, "low": values[0], "high": values[-1], "log": name in self._log}

    def _corners(self, name: str, value: Any) -> list[tuple[int, float]]:
        """Return the index of the value or of its two neighbours on the grid, each with a weight."""
        values = self._grid[name]
        if isinstance(value, str | bool):
            return [(values.index(value), 1.0)]
        above = next(place for place, each in enumerate(values) if value <= each)
        if values[above] == value:
            return [(above, 1.0)]
        low, high, between = (
            math.log(each) if name in self._log else each
            for each in (values[above - 1], values[above], value)
        )
        share = (between - low) / (high - low)
        return [(above - 1, 1 - share), (above, share)]

    def _place(self, places: Sequence[int]) -> int:
        found = 0
        for values, place in zip(self._grid.values(), places, strict=True):
            found = found * len(values) + place
        return found


def tabulated(group: str) -> list[Problem]:
    """The problems of `judged` or `tuning`; the optimum is at a point of the grid."""
    problems = []
    for name, found in json.loads(TABLES.read_text())[group].items():
        table = Table(found["grid"], found["log"], found["losses"])
        problems.append(
            Problem(
                name=name,
                parameters=table.parameters(),
                loss=table.loss,
                optimum=min(found["losses"]),
            )
        )
    return problems
