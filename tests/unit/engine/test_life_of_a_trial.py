"""With many workers in any order, no trial is lost, held twice or beyond a limit.

A model of API.md's rules, independent of the engine, predicts the result of each request. After every
step everything stored is compared with the model.
"""

import shutil
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from optuna.trial import TrialState

from optunapi.engine.records import TrialRecord
from optunapi.errors import (
    KeyReused,
    LeaseLost,
    NoSlot,
    OptunAPIError,
    StudyFinished,
    StudyPaused,
    TrialFinished,
    TrialWaiting,
)
from tests.support import scaled
from tests.unit.engine.support import SET, Clock, Life, Seen, assert_kept_up
from tests.unit.storage.support import assert_database_equals_memory

POINTS = 5
MAX_ATTEMPTS = 2
MINUTE = 60.0
OPEN = ("waiting", "running")
LOST = ("lease-expired", "timeout")

workers = st.sampled_from(["w0", "w1", "w2", "w3"])
seconds = st.sampled_from([None, 10.0, 30.0])
keys = st.none() | st.sampled_from([f"k{n}" for n in range(8)])
numbers = st.integers(0, 11)
values = st.sampled_from([1.0, 2.0])
leases = st.sampled_from(["own", "own", "own", "former", "none"])


@dataclass
class Trial:
    """The expected trial."""

    number: int
    state: str = "waiting"
    point: int | None = None
    values: list[float] | None = None
    attempt: int = 0
    expiries: int = 0
    worker: str | None = None
    lease: str | None = None
    term: float | None = None
    expires_at: float = 0.0
    started_at: float = 0.0
    grace_until: float | None = None
    stop: bool = False
    reason: str | None = None
    late: int | None = None
    reports: dict[int, float] = field(default_factory=dict)
    former_leases: list[str] = field(default_factory=list)

    @property
    def evaluated(self) -> bool:
        return self.state not in OPEN and self.reason not in (*LOST, "cancelled", "stopped")


class LifeOfATrial(RuleBasedStateMachine):
    """Requests in random order, each checked against the model."""

    folder: Path
    empty_database: Path
    names = count()

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder / f"{next(self.names)}.db"
        shutil.copy(self.empty_database, self.path)
        self.clock = Clock()
        self.trials: list[Trial] = []
        self.keys: dict[str, tuple[int, int, Any]] = {}
        self.lease_ids: set[str] = set()
        self.closed: str | None = None
        self.limits: dict[str, int | None] = {}

    @initialize(
        avoid=st.sampled_from(["running", "all", "off"]),
        max_trials=st.none() | st.integers(1, 8),
        max_running=st.none() | st.integers(1, 4),
        trial_timeout=st.none() | st.sampled_from([25, 50]),
    )
    def create(
        self,
        avoid: str,
        max_trials: int | None,
        max_running: int | None,
        trial_timeout: int | None,
    ) -> None:
        self.avoid = avoid
        self.limits = {
            "max_trials": max_trials,
            "max_running": max_running,
            "trial_timeout": trial_timeout,
        }
        spec = {
            "parameters": {"n": {"type": "int", "low": 1, "high": POINTS}},
            "sampler": {"name": "random", "seed": 1},
            "avoid_duplicates": avoid,
            "max_attempts": MAX_ATTEMPTS,
        }
        given = {name: limit for name, limit in self.limits.items() if limit is not None}
        self.life = Life(self.path, self.clock, spec | given)

    def teardown(self) -> None:
        if hasattr(self, "life"):
            assert_database_equals_memory(self.life.storage)
            self.life.close()
            self.path.unlink()

    # State of the model

    def of(self, *states: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.state in states]

    @property
    def leased(self) -> list[Trial]:
        return [trial for trial in self.of("running") if trial.lease is not None]

    @property
    def expired(self) -> list[Trial]:
        return [trial for trial in self.leased if trial.expires_at <= self.clock.passed]

    def taken_points(self) -> set[int | None]:
        return {
            trial.point
            for trial in self.trials
            if trial.state in OPEN or (self.avoid == "all" and trial.evaluated)
        } - {None}

    def is_full(self) -> bool:
        limit = self.limits["max_trials"]
        places = len(self.of("waiting", "running", "complete", "pruned"))
        if limit is not None and places >= limit:
            return True
        return self.avoid == "all" and len(self.taken_points()) == POINTS

    def is_finished(self) -> bool:
        if self.closed is not None:
            return self.closed == "finished"
        return self.is_full() and not self.of("waiting") and not self.leased

    def end(self, trial: Trial, state: str, reason: str | None = None) -> None:
        trial.state, trial.reason, trial.grace_until = state, reason, None
        self.drop_lease(trial)

    def drop_lease(self, trial: Trial) -> None:
        if trial.lease is not None:
            trial.former_leases.append(trial.lease)
        trial.lease = trial.term = None

    def time_out(self) -> None:
        now, limit = self.clock.passed, self.limits["trial_timeout"]
        for trial in self.of("running"):
            if trial.grace_until is not None:
                if trial.grace_until <= now:
                    self.end(trial, "fail", "timeout")
            elif limit is not None and trial.started_at + limit <= now:
                trial.stop = True
                trial.grace_until = now + (trial.term or MINUTE)

    def settle(self) -> None:
        for trial in self.expired:
            if trial.expiries + 1 >= MAX_ATTEMPTS:
                self.end(trial, "fail", "lease-expired")
        self.time_out()

    def begin(self, trial: Trial, worker: str, term: float | None, lease: str | None) -> None:
        """The next attempt."""
        if trial in self.expired:
            trial.expiries += 1
        self.drop_lease(trial)
        assert (lease is None) == (term is None)
        if lease is not None:
            assert lease not in self.lease_ids
            self.lease_ids.add(lease)
        trial.stop = trial.stop and trial.grace_until is None and trial.worker == worker
        trial.state, trial.worker, trial.attempt = "running", worker, trial.attempt + 1
        trial.lease, trial.term = lease, term
        trial.expires_at = self.clock.passed + (term or 0)
        trial.started_at, trial.grace_until = self.clock.passed, None

    def lease_for(self, trial: Trial, which: str) -> str | None:
        if which == "own":
            return trial.lease
        if which == "former" and trial.former_leases:
            return trial.former_leases[-1]
        return None

    def refusal(self, trial: Trial, lease: str | None) -> type[OptunAPIError] | None:
        """The error that a worker with this lease must get, or None."""
        if lease == "none":
            return LeaseLost
        if trial.state not in OPEN:
            return TrialFinished
        if trial.state == "waiting":
            return LeaseLost if trial.attempt else TrialWaiting
        return None if trial.lease == lease else LeaseLost

    # Requests of workers

    @rule(worker=workers, term=seconds, key=keys, resume=st.booleans(), fixed=st.integers(-9, 5))
    def ask(
        self, worker: str, term: float | None, key: str | None, resume: bool, fixed: int
    ) -> None:
        params = {"n": fixed} if fixed > 0 else {}
        asked = (worker, term, resume, tuple(params))

        def call() -> Seen:
            return self.life.ask(worker, lease_seconds=term, key=key, resume=resume, params=params)

        self.settle()
        if key in self.keys:
            number, attempt, before = self.keys[key]
            if before != (asked, params):
                self.refused(KeyReused, call)
            elif attempt != self.trials[number].attempt:
                self.refused(LeaseLost, call)
            else:
                assert call().number == number
            return
        own = [trial for trial in self.of("running") if trial.worker == worker]
        lost = sorted(self.expired, key=lambda trial: (trial.expires_at, trial.number))
        if self.closed is not None:
            self.refused(StudyPaused if self.closed == "paused" else StudyFinished, call)
            return
        if resume and own:
            chosen = own[0]
            seen = call()
        elif lost and not params:
            chosen = lost[0]
            chosen.reports = {}
            seen = call()
        else:
            found = self.place(call, bool(params))
            if found is None:
                return
            chosen, seen = found
            if params:
                assert seen.params == params
        assert seen.number == chosen.number
        self.begin(chosen, worker, term, seen.lease_id)
        if chosen.point is None:
            chosen.point = seen.params["n"]
        if key is not None:
            self.keys[key] = (chosen.number, chosen.attempt, (asked, params))

    def place(self, call: Any, is_fixed: bool) -> tuple[Trial, Seen] | None:
        """A waiting trial or a new one, if the limits allow one."""
        limit = self.limits["max_running"]
        waiting = self.of("waiting")
        if self.is_finished():
            self.refused(StudyFinished, call)
            return None
        if limit is not None and len(self.of("running")) >= limit:
            self.refused(NoSlot, call)
            return None
        if waiting and not is_fixed:
            chosen = waiting[0]
            if chosen.attempt:
                chosen.reports = {}
            return chosen, call()
        if self.is_full():
            self.refused(NoSlot, call)
            return None
        taken = self.taken_points()
        seen = call()
        chosen = Trial(len(self.trials), point=seen.params["n"])
        if self.avoid != "off" and not is_fixed and len(taken) < POINTS:
            assert chosen.point not in taken
        self.trials.append(chosen)
        return chosen, seen

    @precondition(lambda self: self.trials)
    @rule(number=numbers, which=leases, step=st.integers(0, 3), value=values)
    def report(self, number: int, which: str, step: int, value: float) -> None:
        trial = self.trials[number % len(self.trials)]
        lease = self.lease_for(trial, which)
        self.time_out()
        if error := self.refusal(trial, lease):
            self.refused(error, lambda: self.life.report(trial.number, step, value, lease))
            return
        answer = self.life.report(trial.number, step, value, lease)
        trial.reports.setdefault(step, value)
        trial.expires_at = self.clock.passed + (trial.term or 0)
        assert answer.stop_requested == trial.stop

    @precondition(lambda self: self.leased)
    @rule(number=numbers, which=leases, term=seconds)
    def renew(self, number: int, which: str, term: float | None) -> None:
        trial = self.leased[number % len(self.leased)]
        lease = self.lease_for(trial, which) or "none"
        self.time_out()
        if trial.grace_until is not None:
            term = None
        if error := self.refusal(trial, lease):
            self.refused(error, lambda: self.life.renew(trial.number, lease, term))
            return
        answer = self.life.renew(trial.number, lease, term)
        trial.term = term or trial.term
        trial.expires_at = self.clock.passed + (trial.term or 0)
        assert answer.stop_requested == trial.stop

    @precondition(lambda self: self.trials)
    @rule(number=numbers, which=leases)
    def release(self, number: int, which: str) -> None:
        trial = self.trials[number % len(self.trials)]
        lease = self.lease_for(trial, which)
        if error := self.refusal(trial, lease):
            self.refused(error, lambda: self.life.release(trial.number, lease))
            return
        self.life.release(trial.number, lease)
        self.drop_lease(trial)
        trial.state, trial.worker, trial.stop, trial.grace_until = "waiting", None, False, None

    @precondition(lambda self: self.trials)
    @rule(number=numbers, value=values, twice=st.booleans())
    def complete(self, number: int, value: float, twice: bool) -> None:
        trial = self.trials[number % len(self.trials)]

        def call() -> Seen:
            return self.life.complete(trial.number, value)

        if trial.state == "waiting" and not trial.attempt:
            self.refused(TrialWaiting, call)
        elif trial.state in OPEN:
            assert call().number == trial.number
            self.end(trial, "complete")
            trial.values = [value]
        elif trial.state == "complete" and trial.values == [value]:
            assert call().number == trial.number
        elif trial.reason in LOST:
            if trial.late is None:
                late = Trial(len(self.trials), state="complete", point=trial.point, values=[value])
                late.attempt, late.worker = trial.attempt, trial.worker
                trial.late = late.number
                assert call().number == late.number
                self.trials.append(late)
            elif self.trials[trial.late].values == [value]:
                assert call().number == trial.late
            else:
                self.refused(TrialFinished, call)
        else:
            self.refused(TrialFinished, call)
        if twice and trial.state == "complete" and trial.values == [value]:
            assert call().number == trial.number

    @precondition(lambda self: self.trials)
    @rule(
        number=numbers,
        which=leases,
        state=st.sampled_from(["fail", "pruned"]),
        value=st.none() | values,
        reason=st.sampled_from(["oom", "stopped"]),
    )
    def give_up(
        self, number: int, which: str, state: str, value: float | None, reason: str
    ) -> None:
        trial = self.trials[number % len(self.trials)]
        lease = self.lease_for(trial, which)
        told = [] if value is None or state == "fail" else [value]

        def call() -> Seen:
            why = reason if state == "fail" else None
            return self.life.tell(trial.number, state, *told, reason=why, lease=lease)

        result = told or None
        if state == "pruned" and not told and trial.reports:
            result = [trial.reports[max(trial.reports)]]
        if trial.state == state and trial.values == result:
            assert call().number == trial.number
        elif error := self.refusal(trial, lease):
            self.refused(error, call)
        else:
            call()
            self.end(trial, state, reason if state == "fail" else None)
            trial.values = result

    # Requests of the study's owner

    @precondition(lambda self: len(self.trials) < 12)
    @rule(fixed=st.integers(0, POINTS))
    def enqueue(self, fixed: int) -> None:
        number = self.life.enqueue(**({"n": fixed} if fixed else {}))
        assert number == len(self.trials)
        self.trials.append(Trial(number))

    @precondition(lambda self: self.trials)
    @rule(number=numbers)
    def stop(self, number: int) -> None:
        trial = self.trials[number % len(self.trials)]
        if trial.state == "running":
            self.life.stop(trial.number)
            trial.stop = True
        else:
            error = TrialWaiting if trial.state == "waiting" else TrialFinished
            self.refused(error, lambda: self.life.stop(trial.number))

    @precondition(lambda self: len(self.of("running")) > 2)
    @rule()
    def cancel(self) -> None:
        running = self.of("running")
        assert self.life.cancel_all() == len(running)
        for trial in running:
            self.end(trial, "fail", "cancelled")
            trial.stop = True

    @rule(
        name=st.sampled_from(["max_trials", "max_running", "trial_timeout"]),
        limit=st.none() | st.integers(1, 8),
    )
    def patch_limit(self, name: str, limit: int | None) -> None:
        if name == "trial_timeout" and limit is not None:
            limit *= 10
        self.life.limit(**{name: limit})
        self.limits[name] = limit

    @rule(state=st.sampled_from(["open", "open", "open", "paused", "finished"]))
    def patch_state(self, state: str) -> None:
        self.life.change(state=state)
        self.closed = None if state == "open" else state
        if state == "finished":
            for trial in self.of("running"):
                trial.stop = True

    @rule(passed=st.sampled_from([1, 9, 10, 20, 30, 61]))
    def let_time_pass(self, passed: int) -> None:
        self.clock.pass_(passed)

    @rule(seconds=st.sampled_from(SET))
    def set_the_time(self, seconds: float) -> None:
        self.clock.set_(seconds)

    @rule()
    def look(self) -> None:
        self.settle()
        view = self.life.view()
        assert (view.state == "finished") == self.is_finished()
        assert (view.state == "paused") == (self.closed == "paused")

    @rule()
    def restart(self) -> None:
        assert_database_equals_memory(self.life.storage)
        before = self.life.storage.get_all_trials(self.life.id, deepcopy=False)
        for trial in self.leased:
            trial.expires_at = self.clock.passed + (trial.term or 0)
        self.life.storage.close()
        self.life.open()
        assert self.life.storage.get_all_trials(self.life.id, deepcopy=False) == before
        self.look()

    def refused(self, error: type[OptunAPIError], call: Any) -> None:
        with pytest.raises(error) as found:
            call()
        assert found.type is error

    # Invariants

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if not hasattr(self, "life"):
            return
        kept = self.life.storage.get_all_trials(self.life.id, deepcopy=False)
        ahead = self.clock.wall - self.clock.passed
        assert [trial.number for trial in kept] == list(range(len(self.trials)))
        for trial, expected in zip(kept, self.trials, strict=True):
            record = TrialRecord.of(trial)
            lease = self.life.state.deadlines.leases.get(trial.number)
            found = Trial(
                number=trial.number,
                state=trial.state.name.lower(),
                point=trial.params.get("n"),
                values=trial.values,
                attempt=record.attempt,
                expiries=expected.expiries if record.fail_reason else record.expiries,
                worker=record.worker,
                lease=lease.id if lease else None,
                term=lease.seconds if lease else None,
                expires_at=lease.expires_at - ahead if lease else expected.expires_at,
                started_at=expected.started_at,
                grace_until=expected.grace_until,
                stop=record.stop_requested,
                reason=record.fail_reason,
                late=record.late,
                reports=trial.intermediate_values,
                former_leases=expected.former_leases,
            )
            assert found == expected
        counts = self.life.storage.counts(self.life.id)
        assert {state: counts[state] for state in TrialState} == {
            state: len(self.of(state.name.lower())) for state in TrialState
        }
        assert_kept_up(self.life.state)

    @invariant()
    def no_trial_is_held_twice(self) -> None:
        held = [trial.lease for trial in self.leased]
        assert len(set(held)) == len(held)
        former = {lease for trial in self.trials for lease in trial.former_leases}
        assert former.isdisjoint(held)


def test_the_life_of_a_trial_is_as_the_rules_say_whatever_happens(
    tmp_path: Path, empty_database: Path
) -> None:
    LifeOfATrial.folder, LifeOfATrial.empty_database = tmp_path, empty_database
    run_state_machine_as_test(
        LifeOfATrial,
        settings=settings(
            max_examples=scaled(12, 400),
            stateful_step_count=scaled(50, 100),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
