"""Drafts: a trial is sampled in full before it exists, then stored in one change.

Optuna's samplers and pruners read the history, and write notes, through a study's storage while a trial
is being made. Here that storage is a `Draft`: a snapshot of the history and one trial that is stored
nowhere else. If sampling fails there is nothing to undo, and no lock on the study is held while it runs.
"""

import copy
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, cast

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.history import usable
from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.samplers.uniform import UniformSampler
from optunapi.engine.space import from_internal
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.explored import explorable, was_evaluated
from optunapi.engine.state.templates import FIXED, Relative
from optunapi.engine.store import Store
from optunapi.engine.trials.policy import Policy

Suggest = Callable[[str, BaseDistribution], Any]


class Drafted(Protocol):
    """A trial with all its parameters that is not stored yet."""

    trial: FrozenTrial
    study_attrs: dict[str, Any]

    @property
    def is_fixed(self) -> bool:
        """Whether parameters were given, so that its point was not the sampler's choice alone."""

    def notes(self) -> dict[str, Any]:
        """The system attributes that drafting added to the trial or changed."""

    def relative(self) -> Relative | None:
        """What was drawn together and is not used yet; None if nothing was drawn together."""


class DraftStudy(optuna.Study):
    """A study that ignores `stop`, which grid search calls on its last point: limits end our studies."""

    def stop(self) -> None:
        """Do nothing."""


class Draft(BaseStorage):
    """One study as samplers and pruners see it while `trial` is drafted.

    What they write to the trial goes to `trial`, what they write to the study to `study_attrs`;
    nothing else can be written. The history is read once, so a sampler sees one state of it. It includes
    `others`, the drafts that are to become trials together with this one.
    """

    def __init__(
        self,
        store: Store,
        study_id: int,
        study_name: str,
        trial: FrozenTrial,
        others: Sequence[Drafted] = (),
    ) -> None:
        self._study_id = study_id
        self._study_name = study_name
        self._directions = store.get_study_directions(study_id)
        self._system_attrs = store.get_study_system_attrs(study_id)
        self._user_attrs = store.get_study_user_attrs(study_id)
        self._history = store.get_all_trials(study_id, deepcopy=False)
        self._noted = trial.system_attrs
        self.is_fixed = bool(trial.system_attrs.get(FIXED) or trial.params)
        self._sampled: optuna.trial.Trial | None = None
        self.study_attrs: dict[str, Any] = {}
        self.trial = copy.copy(trial)
        self.trial.params = dict(trial.params)
        self.trial.distributions = dict(trial.distributions)
        self.trial.system_attrs = dict(trial.system_attrs)
        self.trial.intermediate_values = dict(trial.intermediate_values)
        for other in others:
            self._system_attrs = self._system_attrs | other.study_attrs
        for drafted in (*(other.trial for other in others), self.trial):
            # A new draft's number may have been taken since; only drafts have ids below 0.
            if drafted._trial_id >= 0:
                self._history[drafted.number] = drafted
            else:
                self._history.append(drafted)

    def notes(self) -> dict[str, Any]:
        """The system attributes that drafting added to the trial or changed."""
        return {k: v for k, v in self.trial.system_attrs.items() if self._noted.get(k, self) != v}

    def study(self, sampler: BaseSampler) -> DraftStudy:
        """A study over this draft."""
        return DraftStudy(self._study_name, self, sampler=sampler)

    def suggest(self, sampler: BaseSampler, spec: StudySpec) -> Suggest:
        """A function that samples one parameter of the trial, or returns its fixed value.

        The sampler sees the part of the history that it can use.
        """
        history, name = self._history, spec.sampler["name"]
        if name == "grid":
            self._history = [trial for trial in history if was_evaluated(trial)]
        elif name != "brute-force":
            self._history = list(usable(spec.problem, history))
        trial = optuna.trial.Trial(self.study(sampler), self.trial._trial_id)
        self._sampled = trial

        def suggest(name: str, distribution: BaseDistribution) -> Any:
            if spec.sampler["name"] == "brute-force" and not isinstance(sampler, UniformSampler):
                following = {name: distribution}
                self._history = explorable(history, spec.parameters, self.trial, following)
            trial._suggest(name, distribution)
            return self.trial.params[name]

        return suggest

    def relative(self) -> Relative | None:
        """The values that were drawn together and are not used yet; None if nothing was.

        Optuna draws together when a trial first needs a value.
        """
        trial = self._sampled
        if trial is None or trial.relative_search_space is None:
            return None
        rest = {k: v for k, v in trial.relative_params.items() if k not in self.trial.params}
        space = trial.relative_search_space
        return Relative(space={name: space[name] for name in rest}, params=rest)

    # Reading

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id of the only study."""
        if study_name != self._study_name:
            raise KeyError(study_name)
        return self._study_id

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name of the only study."""
        return self._study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """The study's directions."""
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """The user attributes when drafting began."""
        return self._user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """The system attributes when drafting began, with what was written since."""
        return self._system_attrs | self.study_attrs

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The drafted trial, or a trial of the history."""
        if trial_id == self.trial._trial_id:
            return copy.copy(self.trial)
        for trial in self._history:
            if trial._trial_id == trial_id:
                return trial
        raise KeyError(trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """The history, with the drafted trial in its place."""
        trials = [t for t in self._history if states is None or t.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    # Writing

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep a sampled parameter of the drafted trial."""
        self._only_draft(trial_id)
        self.trial.params[param_name] = from_internal(distribution, param_value_internal)
        self.trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep a sampler's or pruner's note about the drafted trial."""
        self._only_draft(trial_id)
        self.trial.system_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep a sampler's note about the study."""
        self.study_attrs[key] = value

    def _only_draft(self, trial_id: int) -> None:
        if trial_id != self.trial._trial_id:
            self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("a draft keeps only what a sampler or pruner notes about its own trial")

    create_new_study: Any = _refuse
    delete_study: Any = _refuse
    set_study_user_attr: Any = _refuse
    get_all_studies: Any = _refuse
    create_new_trial: Any = _refuse
    set_trial_state_values: Any = _refuse
    set_trial_intermediate_value: Any = _refuse
    set_trial_user_attr: Any = _refuse


@dataclass(kw_only=True)
class Drawn:
    """A draft by a native sampler."""

    trial: FrozenTrial
    is_fixed: bool
    study_attrs: dict[str, Any] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Return nothing: native samplers leave no notes."""
        return {}

    def relative(self) -> Relative | None:
        """Return None: all configured parameters are drawn and used."""
        return None


def drawn(native: NativeSampler, policy: Policy, trial: FrozenTrial, attempt: int) -> Drawn:
    """The trial with its parameters; another `attempt` draws others."""
    fixed = {**trial.system_attrs.get(FIXED, {}), **trial.params}
    trial.params = native.sample(trial.number, fixed, attempt)
    trial.distributions = cast(dict[str, Any], policy.distributions(trial.params))
    return Drawn(trial=trial, is_fixed=bool(fixed))
