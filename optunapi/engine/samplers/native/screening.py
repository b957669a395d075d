"""Points near the best trials and anywhere, of which a Gaussian process chooses the most promising.

TPE looks at one parameter after the other, and for the good trials only at where they are. A Gaussian
process sees how parameters act together and how much is known around a point, but looks for its next
point slowly. Asked only to choose among a few points, it takes as long as two draws of TPE's.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from optunapi.engine.samplers.native.axes import Axis
from optunapi.engine.samplers.native.gaussian import Array, Kernel, lower_bounds
from optunapi.engine.samplers.native.likelihood import alike, likeliest
from optunapi.engine.samplers.native.window import Changes
from optunapi.engine.samplers.ranking import Entry

Params = Mapping[str, Any]
_Trial = tuple[Sequence[float], Entry]

N_NEAR = 24  # points to choose from, near a leader
N_LEADERS = 5  # trials near which they lie
FREE = 0.5  # of a near point's parameters those that are not its leader's
ANYWHERE = 0.25  # of the near points those whose free parameters are drawn evenly instead
NEAREST, FARTHEST = -2.5, -0.5  # how near, as the logarithm of a share of the range
N_EVEN = 24  # points to choose from, drawn evenly

# The kernel is chosen by the latest trials before every fiftieth, of the first hundred every tenth. They
# are so few that all are still in the window (by default) when the next choice is due: after a restart
# in between, the same one is made.
N_TELLING, FEWEST_TELLING = 75, 8
MAX_TRIALS = 150  # that it looks at, the best and the newest; each takes its share of the time
DIFFERENCE = 0.5  # of two choices, where numbers lie from 0 to 1


class Screening:
    """The window's trials as points that a Gaussian process can look at; not safe for threads."""

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = axes
        counts = [axis.n_choices for axis in axes.values()]
        self._numbers = [place for place, count in enumerate(counts) if count is None]
        self._choices = [(place, count) for place, count in enumerate(counts) if count is not None]
        # What lies nearer than a step is the same number.
        steps = [axis.steps for axis in axes.values()]
        self._nearest = np.array([0.0 if s is None else 1 / (1 + s.high - s.low) for s in steps])
        # Of each coordinate that the kernel sees, which axis it belongs to.
        self._columns = [*range(len(self._numbers))]
        for axis, (_, n_choices) in enumerate(self._choices, len(self._numbers)):
            self._columns += [axis] * n_choices
        self._chosen: tuple[int, Kernel] = (0, alike(self._columns))
        self._trials: dict[int, _Trial] = {}
        self._running: frozenset[int] = frozenset()

    def update(self, changes: Changes) -> None:
        """Take what came, and leave what went."""
        for number in changes.gone:
            self._trials.pop(number, None)
        for number, (params, entry) in changes.came.items():
            shares = [axis.share(params[name]) for name, axis in self._axes.items()]
            self._trials[number] = shares, entry
        self._running = changes.running

    def points(self, seed: int, number: int) -> Iterator[Params]:
        """Points for trial `number`, the most promising first; they follow from the seed and the trials."""
        finished = _seen(self._finished())
        latest = [self._trials[each] for each in sorted(self._running)[-MAX_TRIALS:]]
        known = np.array([shares for shares, _ in (*finished, *latest)])
        leaders = known[: min(N_LEADERS, len(finished))]
        source = np.random.Generator(np.random.PCG64(seed))
        evenly = source.random((N_EVEN, len(self._axes)))
        points = np.concatenate([self._near(leaders, source), evenly])
        ranked, running, candidates = np.split(
            self._laid_out(np.concatenate([known, points])), [len(finished), len(known)]
        )
        bounds = lower_bounds(self._kernel(number), ranked, running, candidates)
        for shares in points[bounds.argsort()].tolist():
            axes = zip(self._axes.items(), shares, strict=True)
            yield {name: axis.draw(share) for (name, axis), share in axes}

    def _near(self, leaders: Array, source: np.random.Generator) -> Array:
        """Points near the leaders, in shares (n, d)."""
        size = (N_NEAR, len(self._axes))
        starts = leaders[source.integers(len(leaders), size=N_NEAR)]
        width = np.maximum(self._nearest, 10 ** source.uniform(NEAREST, FARTHEST, (N_NEAR, 1)))
        near = np.abs(starts + source.normal(size=size) * width)
        near = np.where(near < 1, near, 2 - near)
        evenly = source.random(size)
        is_anywhere = np.repeat(source.random((N_NEAR, 1)) < ANYWHERE, size[1], axis=1)
        is_anywhere[:, [place for place, _ in self._choices]] = True
        is_free = source.random(size) < FREE
        is_free[np.arange(N_NEAR), source.integers(size[1], size=N_NEAR)] = True
        points = np.where(is_free, np.where(is_anywhere, evenly, near), starts)
        return np.clip(points, 0.0, np.nextafter(1.0, 0.0))

    def _laid_out(self, shares: Array) -> Array:
        """Where points lie for the kernel: numbers on a line, choices at the corners of a simplex."""
        columns = [shares[:, self._numbers]]
        for place, count in self._choices:
            chosen = (shares[:, place] * count).astype(int)
            columns.append((chosen[:, None] == np.arange(count)) * DIFFERENCE)
        return np.concatenate(columns, axis=1)

    def _kernel(self, number: int) -> Kernel:
        passed = number - number % (10 if number < 100 else 50)
        if self._chosen[0] != passed:
            telling = [each for each in self._finished() if each[1].number < passed]
            telling = sorted(telling, key=_number)[-N_TELLING:]
            if len(telling) >= FEWEST_TELLING:
                ranked = np.array([shares for shares, _ in sorted(telling, key=itemgetter(1))])
                self._chosen = passed, likeliest(self._laid_out(ranked), self._columns)
        return self._chosen[1]

    def _finished(self) -> list[_Trial]:
        return [each for number, each in self._trials.items() if number not in self._running]


def _seen(trials: list[_Trial]) -> list[_Trial]:
    """The best and the newest of them, the best first."""
    ranked = sorted(trials, key=itemgetter(1))
    if len(ranked) <= MAX_TRIALS:
        return ranked
    best, others = ranked[: MAX_TRIALS // 6], ranked[MAX_TRIALS // 6 :]
    oldest = sorted(map(_number, others))[len(best) - MAX_TRIALS]
    return best + [each for each in others if _number(each) >= oldest]


def _number(trial: _Trial) -> int:
    return trial[1].number
