"""A window of trials in rustuna's own memory, and points that its TPE draws from them.

Rustuna is the Optuna project's TPE in Rust. It holds no lock of Python's while it draws, and needs its
trials where it can read them without Python.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rustuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from rustuna.samplers import SamplerContext, TPESampler
from rustuna.storages import InMemoryStorage
from rustuna.study import StudyDirection
from rustuna.trial import create_trial

from optunapi.engine.samplers.native.axes import Axis
from optunapi.engine.samplers.native.window import Changes, Params
from optunapi.engine.samplers.ranking import Entry

# Rustuna keeps a place for every trial that it ever had.
MAX_PLACES = 4096

_MASK = 2**64 - 1


class Mirror:
    """The trials that rustuna has; not safe for threads."""

    def __init__(self, axes: Mapping[str, Axis], n_objectives: int, *, multivariate: bool) -> None:
        self._axes = axes
        self._multivariate = multivariate
        self._directions = [StudyDirection.MINIMIZE] * n_objectives
        self._space = {name: _distribution_of(axis) for name, axis in axes.items()}
        self._trials: dict[int, tuple[Params, Entry]] = {}
        self._stale: dict[int, None] = {}  # numbers of trials that rustuna knows otherwise
        self._tried: Counter[tuple[Any, ...]] = Counter()
        self._begin()

    def update(self, changes: Changes) -> None:
        """Take what came, and leave what went."""
        for number in (*changes.gone, *changes.came):
            if number in self._trials:
                self._forget(number)
            # In the order of the latest changes, which is that of rustuna's trials.
            self._stale.pop(number, None)
            self._stale[number] = None
        for number, trial in changes.came.items():
            self._trials[number] = trial
            self._tried[self._point_of(trial[0])] += 1

    def has(self, params: Params) -> bool:
        """Whether a trial lies at the point of these parameters."""
        return self._point_of(params) in self._tried

    def draw(self, seed: int) -> dict[str, float]:
        """The coordinates of a point, which follow from the seed and the trials in their order."""
        self._tell()
        sampler = TPESampler(seed=seed, n_startup_trials=0, multivariate=self._multivariate)
        if self._multivariate:
            return sampler.sample_joint(self._context, self._storage, self._space)
        return {
            name: sampler.sample_independent(self._context, self._storage, name, distribution)
            for name, distribution in self._space.items()
        }

    def _tell(self) -> None:
        """Have rustuna know what changed since the last draw; between two of them a trial may come and go."""
        stale, self._stale = self._stale, {}
        if self._places + len(stale) > MAX_PLACES:
            self._begin()
            return
        gone = [self._ids.pop(number) for number in stale if number in self._ids]
        if gone:
            self._storage.discard_trials(gone)
        for number in stale:
            if number in self._trials:
                self._add(number)

    def _forget(self, number: int) -> None:
        point = self._point_of(self._trials.pop(number)[0])
        self._tried[point] -= 1
        if not self._tried[point]:
            del self._tried[point]

    def _point_of(self, params: Params) -> tuple[Any, ...]:
        return tuple(params[name] for name in self._axes)

    def _begin(self) -> None:
        """Start with an empty memory, and put the trials there."""
        self._storage = InMemoryStorage(apply_discard=True)
        self._study = self._storage.create_new_study("", self._directions).id
        for name, axis in self._axes.items():
            if axis.n_choices is not None:
                self._storage.set_category_labels(self._study, name, [*range(axis.n_choices)])
        self._context = SamplerContext(
            study_id=self._study, trial_number=0, trial_id=0, directions=self._directions
        )
        self._ids: dict[int, int] = {}
        self._places = 0
        for number in self._trials:
            self._add(number)

    def _add(self, number: int) -> None:
        params, entry = self._trials[number]
        coordinates = {
            name: axis.place(params[name], _share(number, place))
            for place, (name, axis) in enumerate(self._axes.items())
        }
        # A constraint's value comes before the losses, in rustuna as in an entry.
        trial = create_trial(
            params=coordinates,
            distributions=self._space,
            values=entry.losses,
            system_attrs={"constraints:": entry.violation} if entry.violation else None,
        )
        self._ids[number] = self._storage.create_new_trial(self._study, trial)._trial_id
        self._places += 1


def _distribution_of(axis: Axis) -> Any:
    if axis.n_choices is not None:
        return CategoricalDistribution(list(range(axis.n_choices)))
    if axis.steps is not None:
        return IntDistribution(axis.steps.low, axis.steps.high, log=axis.steps.log)
    return FloatDistribution(0.0, 1.0)


def _share(number: int, place: int) -> float:
    """A number from 0 to 1 as if drawn evenly, always the same for a trial's parameter (SplitMix64).

    At their steps' middle, trials would leave gaps between steps that look worth a trial.
    """
    mixed = (number + 1) * 0x9E3779B97F4A7C15 + place * 0xD1B54A32D192ED03 & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return (mixed ^ mixed >> 31) / 2**64
