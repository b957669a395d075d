"""What the engine's tests share: one study over a real SQLite file, under a clock that the test moves."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.clock import Clock as EngineClock
from optunapi.engine.creation import create_study
from optunapi.engine.identity import identify
from optunapi.engine.leases import Lease
from optunapi.engine.lifecycle import Result
from optunapi.engine.records import TrialRecord
from optunapi.engine.reports.pages import Cursor, Selection
from optunapi.engine.samplers.native.engine import NativeSampler
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.state import transitions
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.taken_points import Points
from optunapi.engine.state.tally import Tally
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import Answer, AskRequest, StudyChange, StudyView, TrialView
from optunapi.storage import WriteThroughStorage, open_storage
from tests.unit.storage.support import assert_database_equals_memory

Value = TypeVar("Value")

NAME = "study"
LINE: dict[str, Any] = {"x": {"type": "float", "low": 0, "high": 1}}
THREE: dict[str, Any] = {"n": {"type": "int", "low": 1, "high": 3}}
SET = [7200.0, -7200.0, 3e8, -3e8]  # seconds by which a test sets the time
STATES = {state.name.lower(): state for state in TrialState}


class Clock(EngineClock):
    """The server's clock over two clocks that the test moves."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.passed = 1_000_000.0
        self.restart()

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.passed += seconds

    def set_(self, seconds: float) -> None:
        """Set the time of day forward, or back."""
        self.wall += seconds

    def restart(self) -> None:
        """What the server knows of the past is gone."""
        super().__init__(moment=lambda: self.passed, time=lambda: self.wall)


@dataclass(frozen=True)
class Seen:
    """A trial as a caller sees it."""

    view: TrialView
    ignored: tuple[str, ...] = ()  # of a tell

    @property
    def trial(self) -> FrozenTrial:
        return self.view.trial

    @property
    def record(self) -> TrialRecord:
        return TrialRecord.of(self.trial)

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def state(self) -> str:
        return self.trial.state.name.lower()

    @property
    def params(self) -> dict[str, Any]:
        return self.trial.params

    @property
    def reports(self) -> dict[int, float]:
        return self.trial.intermediate_values

    @property
    def attempt(self) -> int:
        return self.record.attempt

    @property
    def fail_reason(self) -> str | None:
        return self.record.fail_reason

    @property
    def lease(self) -> Lease | None:
        return self.view.lease

    @property
    def held(self) -> Lease:
        assert self.view.lease is not None
        return self.view.lease

    @property
    def lease_id(self) -> str | None:
        return None if self.view.lease is None else self.view.lease.id


class Life:
    """One study being served. Every call returns after its commit."""

    def __init__(self, path: Path, clock: Clock, spec: Mapping[str, Any] | None) -> None:
        self.url = f"sqlite:///{path}"
        self.clock = clock
        self._ids = count(1)
        self.storage: WriteThroughStorage
        self.study: Study
        self.spec = None if spec is None else spec_from_mapping({"parameters": LINE} | dict(spec))
        self.open()

    def open(self) -> None:
        self.storage = open_storage(self.url)
        assert self.spec is not None
        try:
            self.id = self.storage.get_study_id_from_name(NAME)
        except KeyError:
            self.id = create_study(
                self.storage, NAME, self.spec, self.clock.time(), new_id=self._new_id
            )
        self.state = StudyState(
            self.storage,
            self.id,
            name=NAME,
            uid=identify(self.storage, self.id, NAME, self._new_id),
            spec=self.spec,
            clock=self.clock,
            new_id=self._new_id,
        )
        self.study = Study(self.state)

    def _new_id(self) -> str:
        return f"id-{next(self._ids)}"

    def restart(self) -> None:
        self.storage.close()
        self.clock.restart()
        self.open()
        self.view()  # derived values, such as leases, are made at the first use

    def close(self) -> None:
        self.storage.close()

    # Requests of callers.

    def ask(self, worker: str | None = None, **fields: Any) -> Seen:
        return Seen(done(self.study.ask(request(worker, **fields))))

    def tell(self, number: int, state: str = "complete", *values: float, **fields: Any) -> Seen:
        result = Result(state=STATES[state], values=values or None, **fields)
        told = done(self.study.tell(number, result))
        return Seen(told.view, told.ignored)

    def complete(self, number: int, *values: float, **fields: Any) -> Seen:
        return self.tell(number, "complete", *values, **fields)

    def report(
        self, number: int, step: int, value: float = 0.0, lease: str | None = None
    ) -> Answer:
        return done(self.study.report(number, step, value, lease))

    def renew(self, number: int, lease: str, seconds: float | None = None) -> Answer:
        return done(self.study.renew(number, lease, seconds))

    def release(self, number: int, lease: str | None = None) -> Seen:
        return Seen(done(self.study.release(number, lease)))

    def stop(self, number: int) -> Seen:
        return Seen(done(self.study.stop(number)))

    def cancel(self, number: int) -> Seen:
        return Seen(done(self.study.cancel(number)))

    def cancel_all(self, state: str = "running") -> int:
        return done(self.study.cancel_all((STATES[state],)))

    def retry(self, number: int, key: str | None = None) -> Seen:
        return Seen(done(self.study.queue.retry(number, key=key, digest=str(number))))

    def set_attrs(self, number: int, **user_attrs: Any) -> Seen:
        return Seen(done(self.study.set_user_attrs(number, user_attrs)))

    def change(self, **change: Any) -> None:
        self.study.change(StudyChange(**change)).result()

    def limit(self, **limits: Any) -> None:
        self.change(limits=limits)

    def enqueue(self, **point: Any) -> int:
        with self.state.unit() as unit:
            number = transitions.enqueue(self.state, point).number
        unit.commit.result()
        return number

    def trial(self, number: int) -> Seen:
        return Seen(done(self.study.trial(number)))

    def view(self) -> StudyView:
        return done(self.study.view())

    def trials(
        self,
        *,
        after: Cursor | int | None = None,
        limit: int = 1000,
        state: TrialState | None = None,
        **selection: Any,
    ) -> list[Seen]:
        """A page; `after` may be the number of a trial that has not changed since it was shown."""
        if isinstance(after, int) and 0 <= after < self.storage.n_trials(self.id):
            after = Cursor.of(self.storage.trial(self.id, after))
        elif isinstance(after, int):
            after = Cursor(number=after, by_number=False)
        if state is not None:
            selection["states"] = frozenset({state})
        found = self.study.trials(Selection(**selection), after=after, limit=limit)
        return [Seen(view) for view in done(found)]

    def counts(self) -> dict[str, int]:
        return {state.name.lower(): n for state, n in self.view().counts.items() if n}

    def dump(self) -> list[Any]:
        """Everything stored, to check that nothing changed."""
        trials = self.storage.get_all_trials(self.id, deepcopy=False)
        attrs = self.storage.get_study_system_attrs(self.id)
        leases = [self.state.deadlines.leases.get(trial.number) for trial in trials]
        return [trials, dict(attrs), leases, self.storage.get_study_user_attrs(self.id)]

    def assert_sound(self) -> None:
        """The file matches memory, and derived values match values derived again from all trials."""
        assert_database_equals_memory(self.storage)
        assert_kept_up(self.state)


def request(worker: str | None = None, **fields: Any) -> AskRequest:
    asked = AskRequest(worker=worker, **fields)
    return replace(asked, digest=repr(replace(asked, key=None)))


def done(outcome: tuple[Value, Commit]) -> Value:
    value, commit = outcome
    commit.result(30)
    return value


def assert_kept_up(state: StudyState) -> None:
    tally, points = Tally(), Points(state.spec)
    with state.unit():
        trials = state.store.get_all_trials(state.id, deepcopy=False)
        for trial in trials:
            tally.replace(None, trial)
            points.replace(None, trial)
        assert vars(state.derived.tally) == vars(tally)
        assert state.derived.points._taken == points._taken
        assert state.derived.points._n_taken_of_space == points._n_taken_of_space
        held = {}
        for trial in trials:
            record = TrialRecord.of(trial)
            lease = state.deadlines.leases.get(trial.number)
            if trial.state == TrialState.RUNNING and record.lease is not None:
                assert lease is not None
                assert (lease.id, lease.seconds) == (record.lease, record.lease_seconds)
                held[trial.number] = lease
            else:
                assert lease is None
        assert len(state.deadlines.leases) == len(held)


class Gate:
    """Stops threads until it is opened; each thread that arrives releases `reached`."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.opened = threading.Semaphore(0)
        self.arrivals = 0

    def pass_(self) -> None:
        self.arrivals += 1
        self.reached.release()
        assert self.opened.acquire(timeout=30)


class GatedNative:
    """A native sampler whose draws wait at the gate."""

    def __init__(self, gate: Gate, sampler: NativeSampler) -> None:
        self._gate, self.sampler = gate, sampler

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        self.sampler.replace(before, after)

    def sample(self, number: int, fixed: Mapping[str, Any], attempt: int = 0) -> dict[str, Any]:
        self._gate.pass_()
        return self.sampler.sample(number, fixed, attempt)

    def prepare(self, number: int) -> None:
        self.sampler.prepare(number)

    def forget(self, number: int) -> None:
        self.sampler.forget(number)


class Gated(BaseSampler):
    """One of Optuna's samplers, whose draws wait at the gate."""

    def __init__(self, gate: Gate, sampler: BaseSampler) -> None:
        self._gate, self._sampler = gate, sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        self._gate.pass_()
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)


def put_gate(life: Life, sampler: BaseSampler | None = None) -> Gate:
    """Sample through a gate from now on: by the study's native TPE if it has one, else by Optuna's."""
    gate = Gate()
    life.view()  # derived values, such as a native sampler, are made at the first use
    native = life.state.derived.native
    if native is not None and sampler is None and life.state.spec.sampler["name"] == "tpe":
        life.state.derived.native = GatedNative(gate, native)
    else:
        sample_with(life, Gated(gate, sampler or RandomSampler(seed=1)))
    return gate


def sample_with(life: Life, sampler: BaseSampler) -> None:
    """Sample with one of Optuna's samplers from now on."""
    state, sampling = life.state, life.study._sampling
    if state.derived.native is not None:
        state.derived.native = None
        optunas = {**state.spec.sampler, "engine": "optuna"}
        state._apply(replace(state.configured_spec, sampler=optunas), state.record)
    sampling.policy = replace(sampling.policy, spec=state.spec, sampler=sampler)


class Caller(threading.Thread):
    """A call in its own thread; `outcome` waits, then returns or raises what the call did."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error

    def outcome(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
        return self._result


@contextmanager
def held_at(gate: Gate, call: Callable[[], Any]) -> Iterator[Caller]:
    """Run `call` in a thread that waits at the gate; open the gate when the block ends."""
    caller = Caller(call)
    try:
        assert gate.reached.acquire(timeout=30)
        yield caller
    finally:
        gate.opened.release(10_000)


def optuna_study(life: Life) -> optuna.Study:
    """The study as Optuna loads it from the same file."""
    return optuna.load_study(study_name=NAME, storage=life.url)
