"""The window's trials in rustuna's memory, and points that its TPE draws from them.

Rustuna is the Optuna project's TPE in Rust. It does not hold Python's lock while it draws, and so needs
the trials in memory of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rustuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rustuna.samplers import SamplerContext, TPESampler
from rustuna.storages import InMemoryStorage
from rustuna.study import StudyDirection
from rustuna.trial import create_trial

from optunapi.engine.samplers.native.axes import Axis, Params
from optunapi.engine.samplers.native.window import Changes
from optunapi.engine.samplers.ranking import Rank

# Rustuna keeps memory for every trial it was ever given; after this many a new study is begun.
MAX_GIVEN = 4096

_MASK = 2**64 - 1


class RustunaStudy:
    """A study of rustuna's that has the window's trials; not safe for threads.

    Rustuna is given changes when a point is drawn. Newer trials weigh more in TPE, so that trials are
    given in the order of their latest changes.
    """

    def __init__(self, axes: Mapping[str, Axis], n_objectives: int, *, multivariate: bool) -> None:
        self._axes = axes
        self._multivariate = multivariate
        self._directions = [StudyDirection.MINIMIZE] * n_objectives
        self._space = {name: _distribution_of(axis) for name, axis in axes.items()}
        self._trials: dict[int, tuple[Params, Rank]] = {}
        self._changed: dict[int, None] = {}  # trials to give or to take back, oldest change first
        self._tried: Counter[tuple[Any, ...]] = Counter()
        self._begin()

    def update(self, changes: Changes) -> None:
        """Take the changes of the window into account."""
        for number in (*changes.removed, *changes.added):
            if number in self._trials:
                self._forget(number)
            self._changed.pop(number, None)
            self._changed[number] = None
        for number, trial in changes.added.items():
            self._trials[number] = trial
            self._tried[self._point_of(trial[0])] += 1

    def has(self, params: Params) -> bool:
        """Whether a trial has these parameters."""
        return self._point_of(params) in self._tried

    def draw(self, seed: int) -> dict[str, float]:
        """The coordinates of a point, which follow from the seed and the trials in their order."""
        self._give_changes()
        sampler = TPESampler(seed=seed, n_startup_trials=0, multivariate=self._multivariate)
        if self._multivariate:
            return sampler.sample_joint(self._context, self._storage, self._space)
        return {
            name: sampler.sample_independent(self._context, self._storage, name, distribution)
            for name, distribution in self._space.items()
        }

    def _forget(self, number: int) -> None:
        point = self._point_of(self._trials.pop(number)[0])
        self._tried[point] -= 1
        if not self._tried[point]:
            del self._tried[point]

    def _point_of(self, params: Params) -> tuple[Any, ...]:
        return tuple(map(params.__getitem__, self._axes))

    def _give_changes(self) -> None:
        changed, self._changed = self._changed, {}
        if self._n_given + len(changed) > MAX_GIVEN:
            self._begin()
            return
        if outdated := [self._ids.pop(number) for number in changed if number in self._ids]:
            self._storage.discard_trials(outdated)
        for number in changed:
            if number in self._trials:
                self._give(number)

    def _begin(self) -> None:
        """Begin a new study, and give it all trials."""
        self._storage = InMemoryStorage(apply_discard=True)
        self._study_id = self._storage.create_new_study("", self._directions).id
        for name, axis in self._axes.items():
            if axis.n_choices is not None:
                self._storage.set_category_labels(self._study_id, name, [*range(axis.n_choices)])
        self._context = SamplerContext(
            study_id=self._study_id, trial_number=0, trial_id=0, directions=self._directions
        )
        self._ids: dict[int, int] = {}
        self._n_given = 0
        for number in self._trials:
            self._give(number)

    def _give(self, number: int) -> None:
        params, rank = self._trials[number]
        axes = zip(self._axes.items(), _jitters(number, len(self._axes)), strict=True)
        coordinates = {name: axis.coordinate(params[name], within) for (name, axis), within in axes}
        # Rustuna, too, compares violations before losses.
        trial = create_trial(
            params=coordinates,
            distributions=self._space,
            values=rank.losses,
            system_attrs={"constraints:": rank.violation} if rank.violation else None,
        )
        self._ids[number] = self._storage.create_new_trial(self._study_id, trial)._trial_id
        self._n_given += 1


def _distribution_of(axis: Axis) -> Any:
    if axis.n_choices is not None:
        return CategoricalDistribution(list(range(axis.n_choices)))
    if axis.integers is not None:
        return IntDistribution(axis.integers.low, axis.integers.high, log=axis.integers.log)
    return FloatDistribution(0.0, 1.0)


def _jitters(number: int, count: int) -> Sequence[float]:
    """Where in its step's stretch each value of a trial lies, from 0 to 1.

    If all lay in the middle, TPE would find the gaps between them worth a trial. The numbers are always
    the same for a trial, and as if drawn uniformly: SplitMix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014).
    """
    jitters = []
    for index in range(count):
        mixed = (number + 1) * 0x9E3779B97F4A7C15 + index * 0xD1B54A32D192ED03 & _MASK
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        jitters.append((mixed ^ mixed >> 31) / 2**64)
    return jitters
