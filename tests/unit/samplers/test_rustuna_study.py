"""Rustuna gets all changes at the next draw; the changes in between make no difference."""

import math
import random

from optunapi.engine.samplers.native.axes import axis_of
from optunapi.engine.samplers.native.rustuna_study import RustunaStudy
from optunapi.engine.samplers.native.window import Changes
from optunapi.engine.samplers.ranking import Rank
from tests.unit.samplers.support import spec_of

SPEC = spec_of("tpe", {"x": {"type": "float", "low": 0, "high": 1}})
AXES = {p.name: axis_of(p.distribution) for p in SPEC.parameters}


def test_rare_draws_are_the_same_as_draws_after_every_change() -> None:
    """Newer trials weigh more: trials, also running ones, are ordered by their latest change."""
    often, seldom = (RustunaStudy(AXES, 1, multivariate=True) for _ in range(2))
    source = random.Random(1)
    running: dict[int, float] = {}
    for number in range(80):
        running[number] = source.random()
        added = {number: ({"x": running[number]}, Rank(0.0, (math.inf,), number))}
        if len(running) > 8:
            told = source.choice([*running])
            x = running.pop(told)
            added[told] = ({"x": x}, Rank(0.0, ((x - 0.3) ** 2,), told))
        removed = [number - 60] if number >= 60 and number - 60 not in running else []
        for study in (often, seldom):
            study.update(Changes(added=added, removed=removed, running=frozenset(running)))
        often.draw(number)
    assert [often.draw(seed) for seed in range(20)] == [seldom.draw(seed) for seed in range(20)]
