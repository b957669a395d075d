"""TPE and random search by rustuna, for studies whose history it can hold itself.

Optuna's own samplers go through the whole history for every point. These are told of every trial as it
changes, and draw in Rust, without Python's lock.
"""

import inspect
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from optuna import samplers
from optuna.trial import FrozenTrial

from optunapi.engine.samplers.native.axes import Params, _axes_of, _completed
from optunapi.engine.samplers.native.mirror import Mirror
from optunapi.engine.samplers.native.mixing import mixed
from optunapi.engine.samplers.native.random_search import RandomSearch
from optunapi.engine.samplers.native.screening import Screening
from optunapi.engine.samplers.native.seeds import Seeds
from optunapi.engine.samplers.native.window import Window
from optunapi.engine.samplers.problem import Problem

# Chosen by measurement, see docs/samplers.md. Of what it has, rustuna takes the best tenth for good, of
# one objective at most 25: more of the best need not be kept for their values alone.
N_BEST = 25
HISTORY = 150

# With one objective, one draw of so many is screened, the others are TPE's or mixed.
SCREENED = 3


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """What was drawn ahead for trial `number` when the window had this `version`."""

    number: int
    version: int
    seed: int
    point: Params


class TPE:
    """Rustuna's TPE over a window of the study's trials; random search until there are enough."""

    def __init__(self, problem: Problem) -> None:
        arguments = _tpe_defaults() | dict(problem.sampler)
        multivariate = arguments["multivariate"]
        if multivariate is None:
            multivariate = problem.n_objectives == 1 or arguments["group"]
        history = arguments.get("history", HISTORY)
        self._parameters = problem.parameters
        self._axes = _axes_of(problem.parameters)
        self._n_startup_trials = arguments["n_startup_trials"]
        self._seeds = Seeds(arguments["seed"])
        self._random = RandomSearch(problem)
        # A tell waits for the window's lock, held for moments; that of the mirror is held for as long
        # as a point takes.
        self._window_lock, self._mirror_lock = threading.Lock(), threading.Lock()
        # Who asks while the point is being drawn ahead waits for that one.
        self._ahead_lock = threading.Lock()
        self._ahead: _Ahead | None = None
        self._version = 0  # rises with every change of the window
        self._window = Window(
            problem.directions,
            fits=self._fits,
            n_best=N_BEST,
            n_newest=None if history == "all" else history - N_BEST,
            lies=arguments["constant_liar"],
        )
        self._mirror = Mirror(self._axes, problem.n_objectives, multivariate=multivariate)
        # Of several objectives, no trials are the best near which to look.
        self._screening = Screening(self._axes) if problem.n_objectives == 1 else None

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account; see `NativeSampler.replace`."""
        with self._window_lock:
            self._version += 1
            self._window.replace(before, after)

    def prepare(self, number: int) -> None:
        """Draw ahead; see `NativeSampler.prepare`."""
        with self._ahead_lock:
            with self._window_lock:
                version = self._version
            seed = self._seeds.next(number)
            point = self.drawn(seed, number)
            self._ahead = _Ahead(number=number, version=version, seed=seed, point=point)

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of a trial; see `NativeSampler.sample`."""
        seed = self._seeds.of(number, attempt)
        ahead = None if attempt else self._taken_ahead(number)
        if ahead is not None and (self._seeds.are_random or ahead.seed == seed):
            point = ahead.point
        else:
            point = self.drawn(seed, number)
        params = _completed(self._parameters, point, fixed)
        if self._fits(params):
            with self._window_lock:
                self._version += 1
                self._window.expect(number, params)
        return params

    def _taken_ahead(self, number: int) -> _Ahead | None:
        with self._ahead_lock, self._window_lock:
            ahead, self._ahead = self._ahead, None
            if ahead is None or (ahead.number, ahead.version) != (number, self._version):
                return None
            return ahead

    def drawn(self, seed: int, number: int) -> Params:
        """A point for trial `number`, which follows from the seed and the history but for that trial."""
        with self._mirror_lock:
            with self._window_lock:
                changes, leaders = self._window.changes(number), self._window.leaders(number)
                n_finished = self._window.n_finished
            self._mirror.update(changes)
            if self._screening is not None:
                self._screening.update(changes)
            if n_finished < self._n_startup_trials or not self._axes:
                return self._random.drawn(seed, {})
            for point in self._improved(seed, number, leaders):
                if not self._mirror.has(point):
                    return point
            return self.by_law(seed)

    def by_law(self, seed: int) -> Params:
        """What TPE itself draws, which follows from the seed and the history last looked at."""
        coordinates = self._mirror.draw(seed)
        return {name: axis.value(coordinates[name]) for name, axis in self._axes.items()}

    def _improved(self, seed: int, number: int, leaders: Sequence[Params]) -> Iterable[Params]:
        """Points that are better than TPE's own on the whole, the best first; none without leaders."""
        if self._screening is None or not leaders:
            return ()
        if seed % SCREENED == 0:
            return self._screening.points(seed, number)
        return [mixed(self._axes, partial(self.by_law, seed), leaders, seed, number)]

    def _fits(self, params: Params) -> bool:
        """Whether a trial has all parameters, each in its present range."""
        return all(
            name in params and axis.place(params[name], 0.5) is not None
            for name, axis in self._axes.items()
        )


@cache
def _tpe_defaults() -> dict[str, Any]:
    parameters = inspect.signature(samplers.TPESampler).parameters.values()
    return {each.name: each.default for each in parameters}
