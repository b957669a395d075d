"""What the sampler tests share: specifications, trials, and the server's samplers inside Optuna."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import intersection_search_space
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.native.engine import NativeSampler, native_sampler
from optunapi.engine.space import Parameter
from optunapi.engine.spec.model import Objective, StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.state.templates import blank_trial

NOW = datetime(2026, 1, 1)
MIXED = {
    "kind": {"type": "categorical", "choices": ["a", "b", None, True]},
    "layers": {"type": "int", "low": 1, "high": 4},
    "width": {"type": "int", "low": 16, "high": 1024, "log": True},
    "dropout": {"type": "float", "low": 0, "high": 0.6, "step": 0.1},
    "rate": {"type": "float", "low": 1e-5, "high": 1, "log": True},
    "x": {"type": "float", "low": -3, "high": 3},
}


def spec_of(sampler: Any, parameters: Any = None, **more: Any) -> StudySpec:
    return spec_from_mapping(
        {"parameters": MIXED if parameters is None else parameters, "sampler": sampler, **more}
    )


def sampler_of(spec: StudySpec) -> NativeSampler:
    sampler = native_sampler(spec.problem)
    assert sampler is not None
    return sampler


def trial_of(
    spec: StudySpec,
    number: int,
    params: Mapping[str, Any],
    *values: float,
    state: TrialState = TrialState.COMPLETE,
    **more: Any,
) -> FrozenTrial:
    """A trial as the store keeps it."""
    trial = blank_trial(number, NOW, state)
    trial.params = dict(params)
    trial.distributions = {p.name: p.distribution for p in spec.parameters if p.name in params}
    if state.is_finished():
        trial.datetime_complete = NOW
    if values:
        trial.values = list(values)
    for name, value in more.items():
        setattr(trial, name, value)
    return trial


def follow(sampler: NativeSampler, spec: StudySpec, trials: int, first: int = 0) -> list[Any]:
    """The points of a study whose trials are drawn one after another, each told its score."""
    points = []
    for number in range(first, first + trials):
        point = sampler.sample(number, {})
        running = trial_of(spec, number, point, state=TrialState.RUNNING)
        sampler.replace(None, running)
        sampler.replace(running, trial_of(spec, number, point, score(point)))
        points.append(point)
    return points


def score(params: Mapping[str, Any]) -> float:
    return float(sum(abs(v) for v in params.values() if isinstance(v, float)))


class InOptuna(BaseSampler):
    """The server's sampler as an Optuna sampler: one for each space, with all trials."""

    def __init__(self, **sampler: Any) -> None:
        self._sampler = sampler

    def infer_relative_search_space(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        return intersection_search_space(study.get_trials(deepcopy=False), include_pruned=True)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        spec = StudySpec(
            parameters=tuple(
                Parameter(name=name, distribution=each) for name, each in search_space.items()
            ),
            objectives=tuple(
                Objective(
                    name=str(place),
                    direction="minimize" if direction.name == "MINIMIZE" else "maximize",
                )
                for place, direction in enumerate(study.directions)
            ),
            sampler=self._sampler,
        )
        sampler = sampler_of(spec)
        for each in study.get_trials(deepcopy=False):
            sampler.replace(None, each)
        return sampler.sample(trial.number, {})

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.sample_relative(study, trial, {param_name: param_distribution})[param_name]
