"""Rustuna's TPE over a window of the study's trials, improved by mixing and screening."""

import inspect
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from optuna import samplers
from optuna.trial import FrozenTrial

from optunapi.engine.samplers.native.axes import Params, axes_of, complete_params
from optunapi.engine.samplers.native.mixing import mixed
from optunapi.engine.samplers.native.random_search import RandomSearch
from optunapi.engine.samplers.native.rustuna_study import RustunaStudy
from optunapi.engine.samplers.native.screening import Screening
from optunapi.engine.samplers.native.seeds import Seeds
from optunapi.engine.samplers.native.window import Window
from optunapi.engine.samplers.problem import Problem

# Chosen by measurement (docs/samplers.md). Rustuna counts the best tenth of its trials as good, at most 25
# with one objective, so that keeping more of the best for their values alone would change nothing.
N_BEST = 25
HISTORY = 150

# With one objective, one draw of this many is screened; the others are TPE's own or mixed.
SCREENED = 3


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A point drawn in advance for trial `number`, when the window had this `version`."""

    number: int
    version: int
    seed: int
    point: Params


class TPE:
    """TPE once `n_startup_trials` are finished, random search before; see `NativeSampler`.

    With one objective most points are screened by a Gaussian process or mixed with a good trial.
    """

    def __init__(self, problem: Problem) -> None:
        arguments = _tpe_defaults() | dict(problem.sampler)
        multivariate = arguments["multivariate"]
        if multivariate is None:
            multivariate = problem.n_objectives == 1 or arguments["group"]
        history = arguments.get("history", HISTORY)
        self._parameters = problem.parameters
        self._axes = axes_of(problem.parameters)
        self._n_startup_trials = arguments["n_startup_trials"]
        self._seeds = Seeds(arguments["seed"])
        self._random = RandomSearch(problem)
        # Held for moments, so that a tell never waits for a draw.
        self._window_lock = threading.Lock()
        # Held while a point is drawn.
        self._draw_lock = threading.Lock()
        # Held while a point is drawn in advance: an ask made meanwhile waits for that point.
        self._prepare_lock = threading.Lock()
        self._prepared: _Prepared | None = None
        self._version = 0  # rises with every change of the window
        self._window = Window(
            problem.directions,
            fits=self._fits,
            n_best=N_BEST,
            n_newest=None if history == "all" else history - N_BEST,
            constant_liar=arguments["constant_liar"],
        )
        self._study = RustunaStudy(self._axes, problem.n_objectives, multivariate=multivariate)
        # With several objectives no trials are the best near which to look.
        self._screening = Screening(self._axes) if problem.n_objectives == 1 else None

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account; see `NativeSampler.replace`."""
        with self._window_lock:
            self._version += 1
            self._window.replace(before, after)

    def prepare(self, number: int) -> None:
        """Draw in advance; see `NativeSampler.prepare`."""
        with self._prepare_lock:
            with self._window_lock:
                version = self._version
            seed = self._seeds.peek(number)
            point = self.draw(seed, number)
            self._prepared = _Prepared(number=number, version=version, seed=seed, point=point)

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of a trial; see `NativeSampler.sample`."""
        seed = self._seeds.take(number, attempt)
        prepared = None if attempt else self._take_prepared(number)
        if prepared is not None and (self._seeds.are_random or prepared.seed == seed):
            point = prepared.point
        else:
            point = self.draw(seed, number)
        params = complete_params(self._parameters, point, fixed)
        if not fixed or self._fits(params):  # a drawn value fits
            with self._window_lock:
                self._version += 1
                self._window.expect(number, params)
        return params

    def forget(self, number: int) -> None:
        """Take back that a trial was expected; see `NativeSampler.forget`."""
        with self._window_lock:
            self._version += 1
            self._window.forget(number)

    def draw(self, seed: int, number: int) -> Params:
        """A point for trial `number`. It follows from the seed and the history without that trial."""
        with self._draw_lock:
            with self._window_lock:
                changes, leaders = self._window.changes(number), self._window.leaders(number)
                n_finished = self._window.n_finished
            self._study.update(changes)
            if self._screening is not None:
                self._screening.update(changes)
            if n_finished < self._n_startup_trials or not self._axes:
                return self._random.draw(seed, {})
            for point in self._improved(seed, number, leaders):
                if not self._study.has(point):
                    return point
            return self.draw_tpe(seed)

    def draw_tpe(self, seed: int) -> Params:
        """TPE's own point. It follows from the seed and the history at the last `draw`."""
        coordinates = self._study.draw(seed)
        return {name: axis.value_at(coordinates[name]) for name, axis in self._axes.items()}

    def _take_prepared(self, number: int) -> _Prepared | None:
        """The point drawn in advance if it is for this trial and up to date. It is used only once."""
        with self._prepare_lock, self._window_lock:
            found, self._prepared = self._prepared, None
            if found is None or (found.number, found.version) != (number, self._version):
                return None
            return found

    def _improved(self, seed: int, number: int, leaders: Sequence[Params]) -> Iterable[Params]:
        """Points that are better than TPE's own on average, best first; none without leaders."""
        if self._screening is None or not leaders:
            return ()
        if seed % SCREENED == 0:
            return self._screening.points(seed, number)
        return [mixed(self._axes, partial(self.draw_tpe, seed), leaders, seed, number)]

    def _fits(self, params: Params) -> bool:
        """Whether a trial has all parameters, each in its present range."""
        return all(name in params and params[name] in axis for name, axis in self._axes.items())


@cache
def _tpe_defaults() -> dict[str, Any]:
    parameters = inspect.signature(samplers.TPESampler).parameters.values()
    return {each.name: each.default for each in parameters}
