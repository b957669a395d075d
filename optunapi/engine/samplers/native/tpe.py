"""TPE and random search by rustuna, for studies whose history it can hold itself.

Optuna's own samplers go through the whole history for every point. These are told of every trial as it
changes, and draw in Rust, without Python's lock.
"""

import inspect
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from optuna import samplers
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from optunapi.engine.samplers.native.axes import Axis, axis_of
from optunapi.engine.samplers.native.mixing import mixed
from optunapi.engine.samplers.native.screening import Screening
from optunapi.engine.samplers.native.seeds import Seeds
from optunapi.engine.samplers.native.window import Window
from optunapi.engine.space import Parameter

if TYPE_CHECKING:
    from optunapi.engine.spec.model import StudySpec

Engine = Literal["rustuna", "optuna"]
Params = Mapping[str, Any]

# Chosen by measurement, see docs/samplers.md. Of what it has, rustuna takes the best tenth for good, of
# one objective at most 25: more of the best need not be kept for their values alone.
N_BEST = 25
HISTORY = 150

# With one objective, one draw of so many is screened, the others are TPE's or mixed.
SCREENED = 3

# What rustuna does as Optuna does by default, and cannot do otherwise.
_AS_BY_DEFAULT: Mapping[str, Any] = {
    "n_ei_candidates": 24,
    "prior_weight": 1.0,
    "consider_magic_clip": True,
    "consider_endpoints": False,
}


class NativeSampler(Protocol):
    """Draws the points of one study, and is told of each of its trials. Safe for threads."""

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account, in microseconds, also while a point is drawn."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of trial `number`, those `fixed` as they are.

        The trial counts as running from then on, until `replace` says what became of it. With a seed,
        the point follows from number, attempt and history. `attempt` counts the points
        drawn before for this trial that would not do. A number drawn again with the same attempt is
        another trial's, asked for at the same time, and gives another point.
        """

    def prepare(self, number: int) -> None:
        """Draw for trial `number` ahead. `sample` gives the same point as without, only sooner; where
        anything came between, this was in vain.
        """


def native_sampler(spec: "StudySpec") -> NativeSampler | None:
    """The sampler of a specification, told of no trial yet; None if Optuna's own has to do it."""
    if engine_of(spec) == "optuna":
        return None
    return RandomSearch(spec) if spec.sampler["name"] == "random" else TPE(spec)


def engine_of(spec: "StudySpec") -> Engine:
    """What draws the points of a study."""
    return "optuna" if obstacle(spec.sampler, spec.parameters) else "rustuna"


def obstacle(sampler: Params, parameters: Sequence[Parameter] | None) -> str | None:
    """Why it has to be Optuna's own sampler, or None; parameters that are not known are no reason."""
    name = sampler["name"]
    if name not in ("tpe", "random"):
        return f"it has no {name}"
    if sampler.get("engine") == "optuna":
        return "`engine` is optuna"
    if not _has_rustuna():
        return "it is not installed here"
    if parameters is not None and not parameters:
        return "no parameters are configured: each trial names its own"
    if name == "random":
        return None
    for parameter in parameters or ():
        if parameter.when:
            return f"{parameter.name} has `when`"
    for argument, value in _AS_BY_DEFAULT.items():
        if sampler.get(argument, value) != value:
            return f"it has no `{argument}`"
    return None


class RandomSearch:
    """Every parameter drawn by itself, as Optuna's random sampler does."""

    def __init__(self, spec: "StudySpec") -> None:
        self._parameters = spec.parameters
        self._axes = _axes_of(spec.parameters)
        self._seeds = Seeds(spec.sampler.get("seed"))
        self._shares = _Shares()

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Do nothing: random search has no memory."""

    def sample(self, number: int, fixed: Params, attempt: int = 0) -> dict[str, Any]:
        """The parameters of a trial; see `NativeSampler.sample`."""
        return self.drawn(self._seeds.of(number, attempt), fixed)

    def drawn(self, seed: int, fixed: Params) -> dict[str, Any]:
        """A point that follows from the seed."""
        shares = self._shares.of(seed, len(self._axes))
        point = {
            name: axis.draw(share)
            for (name, axis), share in zip(self._axes.items(), shares, strict=True)
        }
        return _completed(self._parameters, point, fixed)

    def prepare(self, number: int) -> None:
        """Do nothing: a point takes microseconds."""


@dataclass(frozen=True, kw_only=True)
class _Ahead:
    """What was drawn ahead for trial `number` when the window had this `version`."""

    number: int
    version: int
    seed: int
    point: Params


class TPE:
    """Rustuna's TPE over a window of the study's trials; random search until there are enough."""

    def __init__(self, spec: "StudySpec") -> None:
        # Where rustuna is not installed, this module still says so.
        from optunapi.engine.samplers.native.mirror import Mirror

        arguments = _tpe_defaults() | dict(spec.sampler)
        multivariate = arguments["multivariate"]
        if multivariate is None:
            multivariate = len(spec.objectives) == 1 or arguments["group"]
        history = arguments.get("history", HISTORY)
        self._parameters = spec.parameters
        self._axes = _axes_of(spec.parameters)
        self._n_startup_trials = arguments["n_startup_trials"]
        self._seeds = Seeds(arguments["seed"])
        self._random = RandomSearch(spec)
        # A tell waits for the window's lock, held for moments; that of the mirror is held for as long
        # as a point takes.
        self._window_lock, self._mirror_lock = threading.Lock(), threading.Lock()
        # Who asks while the point is being drawn ahead waits for that one.
        self._ahead_lock = threading.Lock()
        self._ahead: _Ahead | None = None
        self._version = 0  # rises with every change of the window
        self._window = Window(
            spec.directions,
            fits=self._fits,
            n_best=N_BEST,
            n_newest=None if history == "all" else history - N_BEST,
            lies=arguments["constant_liar"],
        )
        self._mirror = Mirror(self._axes, len(spec.objectives), multivariate=multivariate)
        # Of several objectives, no trials are the best near which to look.
        self._screening = Screening(self._axes) if len(spec.objectives) == 1 else None

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


class _Shares:
    """Numbers from 0 to 1 that follow from a seed."""

    def __init__(self) -> None:
        from rustuna.distributions import FloatDistribution
        from rustuna.samplers import RandomSampler, SamplerContext
        from rustuna.storages import InMemoryStorage

        self._sampler = RandomSampler
        self._unit = FloatDistribution(0.0, 1.0)
        self._storage = InMemoryStorage()
        self._context = SamplerContext(study_id=0, trial_number=0, trial_id=0, directions=[])

    def of(self, seed: int, count: int) -> list[float]:
        draw = self._sampler(seed=seed).sample_independent
        return [draw(self._context, self._storage, "", self._unit) for _ in range(count)]


def _axes_of(parameters: Sequence[Parameter]) -> dict[str, Axis]:
    """An axis for each parameter that has more than one value."""
    return {p.name: axis_of(p.distribution) for p in parameters if not p.distribution.single()}


def _completed(parameters: Sequence[Parameter], point: Params, fixed: Params) -> dict[str, Any]:
    """The parameters of a trial in their order, those `fixed` as they are."""

    def value(parameter: Parameter) -> Any:
        name = parameter.name
        if name in fixed:
            return fixed[name]
        return point[name] if name in point else _only_value(parameter)

    params: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.applies(params):
            params[parameter.name] = value(parameter)
    return params


def _only_value(parameter: Parameter) -> Any:
    distribution: Any = parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low


@cache
def _tpe_defaults() -> dict[str, Any]:
    parameters = inspect.signature(samplers.TPESampler).parameters.values()
    return {each.name: each.default for each in parameters}


@cache
def _has_rustuna() -> bool:
    # There are no wheels of it for some platforms, and others that cannot be loaded.
    try:
        import rustuna  # noqa: F401
    except ImportError:
        return False
    return True
