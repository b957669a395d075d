"""Candidates near the best trials and anywhere, in the order in which a Gaussian process prefers them.

TPE looks at each parameter alone, and for the good trials only at where they lie. A Gaussian process sees
how parameters act together, and how much is known around a point, but its search for the next point is
slow. To choose among a few candidates takes it only as long as two draws of TPE.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np

from optunapi.engine.samplers.native.axes import Axis, Params
from optunapi.engine.samplers.native.gaussian import Array, Kernel, lower_bounds
from optunapi.engine.samplers.native.likelihood import fit_kernel, isotropic_kernel
from optunapi.engine.samplers.native.window import Changes
from optunapi.engine.samplers.ranking import Rank

_Trial = tuple[Sequence[float], Rank]  # where it lies on the axes' unit scales, and how good it is

N_NEAR = 24  # candidates near a leader
N_LEADERS = 5  # trials near which they lie
FREE = 0.5  # of a near candidate's parameters, those that are not its leader's
ANYWHERE = 0.25  # of the near candidates, those whose free parameters are drawn uniformly instead
NEAREST, FARTHEST = -2.5, -0.5  # how near, as the decimal logarithm of a fraction of the range
N_UNIFORM = 24  # candidates drawn uniformly

# The kernel is fitted before every fiftieth trial (every tenth of the first hundred) to the latest trials
# before that number. They are few enough to be still in the window (by default) when the next fit is due,
# so that after a restart in between the same kernel is fitted.
N_FITTED, MIN_FITTED = 75, 8
MAX_TRIALS = (
    150  # that the process is given, the best and the newest: a draw's time grows with them
)
DIFFERENCE = 0.5  # between two choices, where numbers lie from 0 to 1


class Screening:
    """The window's trials as points for a Gaussian process; not safe for threads."""

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self._axes = axes
        counts = [axis.n_choices for axis in axes.values()]
        self._numbers = [index for index, count in enumerate(counts) if count is None]
        self._choices = [(index, count) for index, count in enumerate(counts) if count is not None]
        # Values nearer than a step are the same number.
        ranges = [axis.integers for axis in axes.values()]
        self._nearest = np.array([0.0 if r is None else 1 / (1 + r.high - r.low) for r in ranges])
        # Which axis each coordinate of the kernel belongs to.
        self._columns = [*range(len(self._numbers))]
        for axis, (_, n_choices) in enumerate(self._choices, len(self._numbers)):
            self._columns += [axis] * n_choices
        # The number before whose trial the kernel was fitted, and the kernel.
        self._fitted: tuple[int, Kernel] = (0, isotropic_kernel(self._columns))
        self._trials: dict[int, _Trial] = {}
        self._running: frozenset[int] = frozenset()

    def update(self, changes: Changes) -> None:
        """Take the changes of the window into account."""
        for number in changes.removed:
            self._trials.pop(number, None)
        for number, (params, rank) in changes.added.items():
            units = [axis.to_unit(params[name]) for name, axis in self._axes.items()]
            self._trials[number] = units, rank
        self._running = changes.running

    def points(self, seed: int, number: int) -> Iterator[Params]:
        """Candidates for trial `number`, the most promising first; they follow from seed and trials."""
        finished = _best_and_newest(self._finished())
        running = [self._trials[each] for each in sorted(self._running)[-MAX_TRIALS:]]
        known = np.array([units for units, _ in (*finished, *running)])
        leaders = known[: min(N_LEADERS, len(finished))]
        source = np.random.Generator(np.random.PCG64(seed))
        uniform = source.random((N_UNIFORM, len(self._axes)))
        points = np.concatenate([self._near(leaders, source), uniform])
        parts = np.split(
            self._features(np.concatenate([known, points])), [len(finished), len(known)]
        )
        bounds = lower_bounds(self._kernel(number), *parts)
        for units in points[bounds.argsort()].tolist():
            axes = zip(self._axes.items(), units, strict=True)
            yield {name: axis.from_unit(unit) for (name, axis), unit in axes}

    def _near(self, leaders: Array, source: np.random.Generator) -> Array:
        """Candidates near the leaders, on the unit scales: (N_NEAR, d)."""
        size = (N_NEAR, len(self._axes))
        starts = leaders[source.integers(len(leaders), size=N_NEAR)]
        width = np.maximum(self._nearest, 10 ** source.uniform(NEAREST, FARTHEST, (N_NEAR, 1)))
        near = np.abs(starts + source.normal(size=size) * width)
        near = np.where(near < 1, near, 2 - near)  # reflected at the bounds
        uniform = source.random(size)
        is_anywhere = np.repeat(source.random((N_NEAR, 1)) < ANYWHERE, size[1], axis=1)
        is_anywhere[:, [index for index, _ in self._choices]] = True
        is_free = source.random(size) < FREE
        is_free[np.arange(N_NEAR), source.integers(size[1], size=N_NEAR)] = True
        points = np.where(is_free, np.where(is_anywhere, uniform, near), starts)
        return np.clip(points, 0.0, np.nextafter(1.0, 0.0))

    def _features(self, units: Array) -> Array:
        """The kernel's coordinates: numbers on a line, choices at the corners of a simplex."""
        columns = [units[:, self._numbers]]
        for index, count in self._choices:
            chosen = (units[:, index] * count).astype(int)
            columns.append((chosen[:, None] == np.arange(count)) * DIFFERENCE)
        return np.concatenate(columns, axis=1)

    def _kernel(self, number: int) -> Kernel:
        before = number - number % (10 if number < 100 else 50)
        if self._fitted[0] != before:
            trials = [each for each in self._finished() if each[1].number < before]
            trials = sorted(trials, key=_number)[-N_FITTED:]
            if len(trials) >= MIN_FITTED:
                ranked = np.array([units for units, _ in sorted(trials, key=itemgetter(1))])
                self._fitted = before, fit_kernel(self._features(ranked), self._columns)
        return self._fitted[1]

    def _finished(self) -> list[_Trial]:
        return [each for number, each in self._trials.items() if number not in self._running]


def _best_and_newest(trials: list[_Trial]) -> list[_Trial]:
    """At most `MAX_TRIALS` of the trials: a sixth are the best, the others the newest. Best first."""
    ranked = sorted(trials, key=itemgetter(1))
    if len(ranked) <= MAX_TRIALS:
        return ranked
    best, others = ranked[: MAX_TRIALS // 6], ranked[MAX_TRIALS // 6 :]
    oldest = sorted(map(_number, others))[len(best) - MAX_TRIALS]
    return best + [each for each in others if _number(each) >= oldest]


def _number(trial: _Trial) -> int:
    return trial[1].number
