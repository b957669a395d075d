"""Define-by-run: a running trial gets another parameter, as from Optuna's `Trial.suggest_*`.

A sampler may draw several parameters together when a trial first needs a value. It draws the others one
by one, as they are named. What was drawn together is kept in memory while the trial is open, so that
a study with a seed gets the same values as in Optuna. After a restart it is drawn again.
"""

import math
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from optunapi.engine.documents.document import Document, quoted
from optunapi.engine.documents.numbers import number_of
from optunapi.engine.samplers.checks import suits
from optunapi.engine.space import Parameter, allowed, fitted
from optunapi.engine.spec.distributions import distribution_to_wire
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.templates import FIXED, Relative
from optunapi.engine.store import Commit
from optunapi.engine.trials.draft import Draft, Suggest
from optunapi.engine.trials.held import held_trial
from optunapi.engine.trials.policy import Policy
from optunapi.engine.trials.sample import Sampling
from optunapi.errors import ValueInvalid
from optunapi.ranges import clash

Known = tuple[Any]  # a value, in a tuple since null is one


class Continuing(BaseSampler):
    """A sampler for a trial that goes on: it returns what was drawn together before."""

    def __init__(self, sampler: BaseSampler, relative: Relative | None) -> None:
        self._sampler = sampler
        self._relative = relative

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The space of the parameters that are drawn together."""
        if self._relative is None:
            return self._sampler.infer_relative_search_space(study, trial)
        return dict(self._relative.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values that were drawn together before, or else are now."""
        if self._relative is None:
            return self._sampler.sample_relative(study, trial, search_space)
        return dict(self._relative.params)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The sampler's own choice."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


class Suggesting:
    """Samples further parameters for the running trials of one study. Thread-safe."""

    def __init__(self, state: StudyState, sampling: Sampling) -> None:
        self._state = state
        self._sampling = sampling

    def suggest(
        self, number: int, name: str, distribution: BaseDistribution, lease: str | None
    ) -> tuple[Any, Commit]:
        """Return a value for a parameter of a running trial, and renew its lease.

        The same name returns the same value again, also with another range. A value that was fixed when
        the trial was asked for or queued is returned as it is, as in Optuna.

        Raises:
            TrialNotFound, TrialFinished, TrialWaiting, LeaseLost: the lease does not hold the trial.
            ValueInvalid: the name is another kind of parameter, or the sampler cannot sample it.
        """
        state = self._state
        with transitions.unit_after_deadlines(state, expiries=False) as unit:
            known = self._known(number, name, distribution, lease)
        if known is not None:
            return known[0], unit.commit
        with self._sampling.lock:
            policy = self._sampling.policy
            with state.unit() as unit:
                # Another request for this name, or a new attempt, may have come while this one waited.
                known = self._known(number, name, distribution, lease)
                if known is None:
                    trial, relative = state.trial(number), state.relative.get(number)
            if known is not None:
                return known[0], unit.commit
            _refuse_unsuited(policy.spec, name, distribution)
            draft = self._draft(policy, trial, relative, name, distribution)
            value = draft.trial.params[name]
            with state.unit() as unit:
                # The trial may have been closed, or handed on, while this request sampled.
                known = self._known(number, name, distribution, lease)
                if known is None:
                    for key, noted in draft.study_attrs.items():
                        state.store.set_study_system_attr(state.id, key, noted)
                    self._set(number, name, distribution, value, system_attrs=draft.notes())
                    if (rest := draft.relative()) is not None:
                        state.relative[number] = rest
        return (value if known is None else known[0]), unit.commit

    def _draft(
        self,
        policy: Policy,
        trial: FrozenTrial,
        relative: Relative | None,
        name: str,
        distribution: BaseDistribution,
    ) -> Draft:
        """A draft of the trial with this parameter."""
        state = self._state

        def new() -> Draft:
            return Draft(state.store, state.id, state.name, trial)

        def draw(suggest: Suggest) -> None:
            suggest(name, distribution)

        def continuing(sampler: BaseSampler) -> BaseSampler:
            return Continuing(sampler, relative)

        if policy.spec.sampler["name"] != "grid":
            return self._sampling.draft(policy, new, draw, continuing)
        draft = new()
        try:
            draw(draft.suggest(policy.sampler, policy.spec))
        except ValueError as error:  # the grid has no such parameter, or no such value
            raise ValueInvalid(f"the grid has no value for {quoted(name)}: {error}") from None
        return draft

    def _known(
        self, number: int, name: str, distribution: BaseDistribution, lease: str | None
    ) -> Known | None:
        """The value that the trial has, or that was fixed for it; None if it must be sampled."""
        trial, record = held_trial(self._state, number, lease)
        self._refuse_other_kind(trial, name, distribution)
        value = trial.params.get(name)
        if name not in trial.params:
            fixed = trial.system_attrs.get(FIXED) or {}
            if name not in fixed:
                transitions.renew(self._state, trial, record)
                return None
            value = _as_fixed(name, distribution, fixed[name])
            trial = self._set(number, name, distribution, value)
        transitions.renew(self._state, trial, record)
        return (value,)

    def _set(
        self, number: int, name: str, distribution: BaseDistribution, value: Any, **changes: Any
    ) -> FrozenTrial:
        state = self._state
        return state.update(
            state.trial(number), params={name: value}, distributions={name: distribution}, **changes
        )

    def _refuse_other_kind(
        self, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> None:
        state = self._state
        configured = {p.name: p.distribution for p in state.spec.parameters}
        for known, where in (
            (configured.get(name), "in the study's configuration"),
            (trial.distributions.get(name), "in this trial"),
            (state.store.distribution(state.id, name), "in the study's other trials"),
        ):
            if known is None:
                continue
            try:
                check_distribution_compatibility(known, distribution)
            except ValueError:
                raise ValueInvalid(
                    clash(
                        name,
                        distribution_to_wire(known),
                        where,
                        distribution_to_wire(distribution),
                    )
                ) from None


def _as_fixed(name: str, distribution: BaseDistribution, value: Any) -> Any:
    """A fixed value as the distribution holds it. It may be out of range, as in Optuna.

    Raises:
        ValueInvalid: it is another kind of value.
    """
    found = fitted(distribution, value)
    if found is not None:
        return found[0]
    number = None if isinstance(distribution, CategoricalDistribution) else _as_number(value)
    if number is None or not math.isfinite(number):
        pass
    elif not isinstance(distribution, IntDistribution):
        return float(number)
    elif number == math.floor(number):
        return int(number)
    raise ValueInvalid(
        f"{quoted(name)} was fixed at {quoted(value)}, which is not {allowed(distribution)}"
    )


def _as_number(value: Any) -> float | None:
    """The number of a value that was fixed before its parameter was known, as Optuna reads it."""
    if isinstance(value, str):
        return number_of(value)
    return value if isinstance(value, int | float) else None


def _refuse_unsuited(spec: StudySpec, name: str, distribution: BaseDistribution) -> None:
    """Refuse a parameter for which the sampler would need endless time or all memory."""
    if spec.sampler["name"] not in ("gp", "brute-force"):
        return
    node = Document().root({})
    parameter = Parameter(name=name, distribution=distribution)
    if not suits(node, {"name": spec.sampler["name"]}, [parameter], None):
        raise ValueInvalid("; ".join(str(error["reason"]) for error in node.document.errors))
