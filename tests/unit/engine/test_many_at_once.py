"""Queue, import, ask, suggest and tell requests in any mix follow the rules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import optuna
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from optunapi.errors import (
    LeaseLost,
    OptunAPIError,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
    ValueInvalid,
)
from tests.support import scaled
from tests.unit.engine.model import OPEN, TERM, ManyAtOnce, Trial, mostly, picks, values
from tests.unit.engine.support import done, optuna_study
from tests.unit.storage.support import take_in_foreign_writes

KINDS: dict[str, list[BaseDistribution]] = {
    "n": [IntDistribution(1, 4), IntDistribution(2, 3), FloatDistribution(0, 9)],
    "a": [FloatDistribution(0, 1), FloatDistribution(0, 2), CategoricalDistribution(["p", "q"])],
}

outside_points = st.sampled_from(
    [{}, {"n": 2}, {"a": 0.25}, {"n": 3, "a": 7.5}, {"n": "no number"}]
)


class EverythingAtOnce(ManyAtOnce):
    """Trials also get further parameters, and Optuna queues points in the same file."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, type[BaseDistribution]] = {"n": IntDistribution}
        self.outside: optuna.Study | None = None

    def teardown(self) -> None:
        if self.outside is not None:
            self.outside._storage._backend.engine.dispose()  # type: ignore[attr-defined]
        super().teardown()

    def refusal(self, number: int, lease: str | None) -> type[OptunAPIError] | None:
        """The error for a caller that does not hold this trial, or None."""
        if number >= len(self.trials):
            return TrialNotFound
        trial = self.trials[number]
        if lease == "another":
            return LeaseLost
        if trial.state not in OPEN:
            return TrialFinished
        if trial.state == "waiting" and not trial.attempt:
            return TrialWaiting
        if trial.state == "waiting" or trial.lease != lease:
            return LeaseLost
        return None

    def lease_of(self, number: int, own: bool) -> str | None:
        trials = self.trials[number : number + 1] if own else []
        return trials[0].lease if trials else "another"

    def held(self, number: int, lease: str | None, call: Callable[[], Any]) -> Trial | None:
        """The trial, with its lease renewed, if the caller holds it; else the call is refused."""
        if (error := self.refusal(number, lease)) is not None:
            self.refused(error, call)
            return None
        trial = self.trials[number]
        trial.expires_at = self.clock.passed + TERM
        return trial

    @precondition(lambda self: self.trials)
    @rule(pick=picks, name=st.sampled_from(list(KINDS)), kind=st.integers(0, 2), own=mostly)
    def suggest(self, pick: int, name: str, kind: int, own: bool) -> None:
        number = self.picked(pick)
        distribution = KINDS[name][kind]
        lease = self.lease_of(number, own)

        def call() -> Any:
            return done(self.life.study.suggest(number, name, distribution, lease))

        if self.refusal(number, lease) is None:
            trial = self.trials[number]
            fixed = (trial.fixed or {}).get(name)
            if self.kinds.get(name, type(distribution)) is not type(distribution) or (
                fixed is not None and isinstance(distribution, CategoricalDistribution)
            ):
                self.refused(ValueInvalid, call)
                return
        if (held := self.held(number, lease, call)) is None:
            return
        value = call()
        if name in held.params:
            assert value == held.params[name]
        elif held.fixed and name in held.fixed:
            assert value == held.fixed[name]
        else:
            assert distribution._contains(distribution.to_internal_repr(value))
        held.params = {**held.params, name: value}
        self.kinds[name] = type(distribution)

    @precondition(lambda self: self.trials)
    @rule(pick=picks, step=st.integers(0, 2), value=values, own=mostly)
    def report(self, pick: int, step: int, value: float, own: bool) -> None:
        number = self.picked(pick)
        lease = self.lease_of(number, own)
        held = self.held(number, lease, lambda: self.life.report(number, step, value, lease))
        if held is not None:
            answer = self.life.report(number, step, value, lease)
            assert (answer.should_prune, answer.stop_requested) == (False, held.stop)
            held.reports.setdefault(step, value)

    @precondition(lambda self: self.trials)
    @rule(pick=picks)
    def stop(self, pick: int) -> None:
        number = self.picked(pick)
        trial = self.trials[number] if number < len(self.trials) else None
        if trial is None:
            self.refused(TrialNotFound, lambda: self.life.stop(number))
        elif trial.state != "running":
            error = TrialWaiting if trial.state == "waiting" else TrialFinished
            self.refused(error, lambda: self.life.stop(number))
        else:
            self.life.stop(number)
            trial.stop = True

    @rule()
    def cancel(self) -> None:
        running = self.of("running")
        assert self.life.cancel_all("running") == len(running)
        for trial in running:
            trial.cancel()

    @rule(point=outside_points)
    def optuna_queues(self, point: dict[str, Any]) -> None:
        """Optuna's own enqueue, which ignores the study's limits."""
        self.outside = self.outside or optuna_study(self.life)
        self.outside.enqueue_trial(point)
        take_in_foreign_writes(self.life.storage)
        self.new(fixed=point)

    @invariant()
    def nothing_is_remembered_of_closed_trials(self) -> None:
        if hasattr(self, "life"):
            assert self.life.state.relative.keys() <= {trial.number for trial in self.of(*OPEN)}


def test_requests_for_many_trials_follow_the_rules_in_any_order(
    tmp_path: Path, empty_database: Path
) -> None:
    ManyAtOnce.folder, ManyAtOnce.empty_database = tmp_path, empty_database
    run_state_machine_as_test(
        EverythingAtOnce,
        settings=settings(
            max_examples=scaled(10, 400),
            stateful_step_count=scaled(35, 80),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
