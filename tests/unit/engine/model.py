"""A model of the requests for many trials, independent of the engine.

After every step everything stored is compared with the model. A model of a single trial's life is in
`test_life_of_a_trial.py`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from optuna.trial import TrialState

from optunapi.engine.records import TrialRecord
from optunapi.errors import (
    KeyReused,
    LeaseLost,
    NoSlot,
    OptunAPIError,
    StudyFinished,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
)
from tests.unit.engine.bulk import ask_many, enqueue, import_, item, numbers, result, tell_many
from tests.unit.engine.support import SET, Clock, Life, Seen, assert_kept_up
from tests.unit.storage.support import assert_database_equals_memory

POINTS = 4
MAX_ATTEMPTS = 2
TERM = 10.0
OPEN = ("waiting", "running")

workers = st.sampled_from(["v", "w"])
keys = st.none() | st.sampled_from([f"k{n}" for n in range(4)])
values = st.sampled_from([1.0, 2.0])
points = st.sampled_from([{}, *({"n": n} for n in range(1, POINTS + 1))])
picks = st.integers(0, 1000)  # an existing trial or the next number, see `picked`
mostly = st.sampled_from([True, True, True, False])
tells = st.tuples(picks, st.sampled_from(["complete", "pruned", "fail"]), values, mostly)


@dataclass
class Trial:
    """The expected trial. `fixed` is None if it was sampled or imported."""

    number: int
    state: str = "waiting"
    fixed: dict[str, Any] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    value: float | None = None
    attempt: int = 0
    expiries: int = 0
    worker: str | None = None
    lease: str | None = None
    expires_at: float = 0.0
    reports: dict[int, float] = field(default_factory=dict)
    stop: bool = False
    reason: str | None = None
    late: int | None = None

    @property
    def point(self) -> dict[str, Any]:
        return self.params if self.fixed is None else self.fixed

    @property
    def is_flawed(self) -> bool:
        """Whether no worker can get it: Optuna queues any parameters it is given."""
        return not self.attempt and self.fixed is not None and self.fixed.get("n") == "no number"

    def last_report(self) -> float | None:
        return self.reports[max(self.reports)] if self.reports else None

    def cancel(self) -> None:
        self.stop = self.stop or self.state == "running"
        self.state, self.reason, self.lease = "fail", "cancelled", None


class ManyAtOnce(RuleBasedStateMachine):
    """Requests in random order, each checked against the model."""

    folder: ClassVar[Path]
    empty_database: ClassVar[Path]
    names: ClassVar["count[int]"] = count()

    @initialize(max_trials=st.none() | st.integers(3, 12), leased=st.booleans())
    def create(self, max_trials: int | None, leased: bool) -> None:
        self.path = self.folder / f"{next(self.names)}.db"
        shutil.copy(self.empty_database, self.path)
        self.clock = Clock()
        self.max_trials = max_trials
        self.leased = leased
        self.trials: list[Trial] = []
        self.keys: dict[str, tuple[Any, list[int], list[int]]] = {}
        spec: dict[str, Any] = {
            "parameters": {"n": {"type": "int", "low": 1, "high": POINTS}},
            "sampler": {"name": "random", "seed": 1},
            "avoid_duplicates": "off",
            "max_attempts": MAX_ATTEMPTS,
        }
        spec |= {"max_trials": max_trials} if max_trials else {}
        self.life = Life(self.path, self.clock, spec | ({"lease": TERM} if leased else {}))

    def teardown(self) -> None:
        if hasattr(self, "life"):
            assert_database_equals_memory(self.life.storage)
            self.life.close()
            self.path.unlink()

    # State of the model

    def of(self, *states: str) -> list[Trial]:
        return [trial for trial in self.trials if trial.state in states]

    def room(self) -> int:
        taken = len(self.of("waiting", "running", "complete", "pruned"))
        return 1000 if self.max_trials is None else max(0, self.max_trials - taken)

    def new(self, **known: Any) -> Trial:
        self.trials.append(Trial(number=len(self.trials), **known))
        return self.trials[-1]

    def picked(self, pick: int) -> int:
        """A trial's number, or now and then one that does not exist."""
        return pick % (len(self.trials) + (pick > 900))

    def lost(self) -> list[Trial]:
        now = self.clock.passed
        lost = [t for t in self.of("running") if t.lease is not None and t.expires_at <= now]
        return sorted(lost, key=lambda trial: (trial.expires_at, trial.number))

    def refused(self, error: type[OptunAPIError], call: Callable[[], Any]) -> None:
        before = self.life.dump()
        with pytest.raises(error):
            call()
        assert self.life.dump() == before

    def repeats(self, key: str | None, asked: Any, call: Callable[[], Any]) -> bool:
        """Whether the key is known; if so, the answer must be the first one."""
        if key not in self.keys:
            return False
        before, got, attempts = self.keys[key]
        now = [self.trials[number].attempt for number in got]
        if asked != before:
            self.refused(KeyReused, call)
        elif asked[0].startswith("ask") and now != attempts:
            self.refused(LeaseLost, call)
        else:
            dump = self.life.dump()
            found = call()
            assert found == len(got) if asked[0] == "import" else numbers(found) == got
            assert self.life.dump() == dump
        return True

    def learn(self, key: str | None, asked: Any, got: list[Trial]) -> None:
        if key is not None:
            numbers = [trial.number for trial in got]
            self.keys[key] = (asked, numbers, [trial.attempt for trial in got])

    # Requests

    @rule(
        worker=workers,
        many=st.none() | st.integers(1, 4),
        resume=st.booleans(),
        point=st.just({}) | points,
        key=keys,
    )
    def ask(
        self, worker: str, many: int | None, resume: bool, point: dict[str, int], key: str | None
    ) -> None:
        """One trial, or some in a batch."""
        asked = ("ask one" if many is None else "ask", worker, many, resume, point)

        def call() -> list[Seen]:
            fields: dict[str, Any] = {"resume": resume, "params": point, "key": key}
            if many is None:
                return [self.life.ask(worker, **fields)]
            return ask_many(self.life, many, worker, **fields)

        if self.repeats(key, asked, call):
            return
        own = [t for t in self.of("running") if t.worker == worker] if resume else []
        lost = [] if point else [trial for trial in self.lost() if trial not in own]
        again = self.to_hand_out([*own, *lost], 0 if point else (many or 1), many or 1)
        more = min((many or 1) - len(again), self.room())
        if not again and not more:
            leased = [trial for trial in self.of("running") if trial.lease is not None]
            error = NoSlot if leased or self.of("waiting") else StudyFinished
            with pytest.raises(error):
                call()
            return
        lost_now = self.lost()
        chosen = [*again, *(self.new(fixed=point or None) for _ in range(more))]
        seen = call()
        assert numbers(seen) == [trial.number for trial in chosen]
        for trial, found in zip(chosen, seen, strict=True):
            if trial.params:
                assert found.params == trial.params
            if "n" in trial.point:
                assert found.params["n"] == trial.point["n"]
            trial.params = found.params
            trial.expiries += trial in lost_now
            if trial not in own:
                trial.reports = {}
            trial.stop = trial.stop and trial.worker == worker
            trial.state, trial.worker, trial.attempt = "running", worker, trial.attempt + 1
            assert (found.lease is not None) == self.leased
            assert found.lease is None or found.lease_id != trial.lease
            trial.lease = found.lease_id
            trial.expires_at = self.clock.passed + TERM
        self.learn(key, asked, chosen)

    def to_hand_out(self, running: list[Trial], waiting: int, many: int) -> list[Trial]:
        """`running` and up to `waiting` queued trials, `many` in total; flawed ones leave the queue."""
        while True:
            queued = self.of("waiting")[: max(0, min(waiting, many - len(running)))]
            flawed = [trial for trial in queued if trial.is_flawed]
            if not flawed:
                return [*running, *queued][:many]
            for trial in flawed:
                trial.cancel()

    @rule(queued=st.lists(points, min_size=1, max_size=3), skip=st.booleans(), key=keys)
    def queue(self, queued: list[dict[str, int]], skip: bool, key: str | None) -> None:
        asked = ("queue", queued, skip)

        def call() -> list[Seen]:
            return enqueue(self.life, *queued, skip_if_exists=skip, key=key)

        if self.repeats(key, asked, call):
            return
        known: list[Trial | None] = []
        for place, point in enumerate(queued):
            same = [t for t in self.trials if t.reason != "cancelled" and t.point == point]
            known.append(same[0] if same and skip else None)
            if known[-1] is None and skip and point in queued[:place]:
                known[-1] = known[queued.index(point)]
        repeated = [skip and point in queued[:place] for place, point in enumerate(queued)]
        fresh = [t is None and not again for t, again in zip(known, repeated, strict=True)]
        if sum(fresh) > self.room():
            self.refused(StudyFinished, call)
            return
        got: list[Trial] = []
        for place, point in enumerate(queued):
            if fresh[place]:
                got.append(self.new(fixed=point))
            else:
                got.append(known[place] or got[queued.index(point)])
        assert numbers(call()) == [trial.number for trial in got]
        self.learn(key, asked, got)

    @precondition(lambda self: self.trials)
    @rule(pick=picks)
    def dequeue(self, pick: int) -> None:
        number = self.picked(pick)

        def call() -> None:
            self.life.study.queue.remove(number).result(30)

        if number >= len(self.trials):
            self.refused(TrialNotFound, call)
            return
        trial = self.trials[number]
        if trial.state == "running":
            self.refused(TrialNotFound, call)
        elif trial.state == "waiting":
            call()
            trial.cancel()
        elif trial.reason == "cancelled":
            call()
        else:
            self.refused(TrialFinished, call)

    @rule()
    def empty_the_queue(self) -> None:
        self.life.study.queue.clear().result(30)
        for trial in self.of("waiting"):
            trial.cancel()

    @rule(
        items=st.lists(st.tuples(st.integers(1, POINTS + 1), values), min_size=1, max_size=3),
        key=keys,
    )
    def import_(self, items: list[tuple[int, float]], key: str | None) -> None:
        asked = ("import", items)

        def call() -> int:
            return import_(self.life, *(item(v, n=n) for n, v in items), key=key)

        if self.repeats(key, asked, call):
            return
        if any(n > POINTS for n, _ in items):
            self.refused(OptunAPIError, call)
            return
        got = [self.new(state="complete", params={"n": n}, value=value) for n, value in items]
        assert call() == len(items)
        self.learn(key, asked, got)

    @precondition(lambda self: self.trials)
    @rule(told=st.lists(tells, min_size=1, max_size=4))
    def tell(self, told: list[tuple[int, str, float, bool]]) -> None:
        results, expected = [], []
        for pick, state, value, own in told:
            number = self.picked(pick)
            trial = self.trials[number] if number < len(self.trials) else None
            given = (value,) if state == "complete" else ()
            # If one request tells a trial twice, both items carry the lease from before the request.
            lease = trial.lease if trial and own else None
            results.append((number, result(state, *given, lease=lease)))
        for number, told_result in results:
            expected.append(self.judged(number, told_result.state, told_result.values, told_result))
        outcomes = tell_many(self.life, *results)
        assert [o.number if isinstance(o, Seen) else type(o) for o in outcomes] == expected

    def judged(self, number: int, state: TrialState, values: Any, told: Any) -> Any:
        """The expected result of this tell: the number of a trial, or an error."""
        if number >= len(self.trials):
            return TrialNotFound
        trial = self.trials[number]
        if state == TrialState.PRUNED and trial.last_report() is not None:
            values = (trial.last_report(),)
        if trial.state not in OPEN:
            return self.told_again(trial, state, values)
        if trial.state == "waiting" and not trial.attempt:
            return TrialWaiting
        if state != TrialState.COMPLETE and (trial.state == "waiting" or told.lease != trial.lease):
            return LeaseLost
        trial.state, trial.lease = state.name.lower(), None
        trial.value = values[0] if values else None
        return number

    def told_again(self, trial: Trial, state: TrialState, values: Any) -> Any:
        known = () if trial.value is None else (trial.value,)
        if trial.state == state.name.lower() and (values or ()) == known:
            return trial.number
        if state != TrialState.COMPLETE or trial.reason != "lease-expired":
            return TrialFinished
        if trial.late is None:
            kept = self.new(state="complete", params=trial.params, value=values[0])
            kept.worker, kept.attempt = trial.worker, trial.attempt
            trial.late = kept.number
        return trial.late if self.trials[trial.late].value == values[0] else TrialFinished

    @precondition(lambda self: self.of("running"))
    @rule(pick=picks)
    def release(self, pick: int) -> None:
        running = self.of("running")
        trial = running[pick % len(running)]
        self.life.release(trial.number, trial.lease)
        trial.state, trial.lease, trial.worker, trial.stop = "waiting", None, None, False

    # Time and restarts

    @rule(seconds=st.sampled_from([1.0, TERM]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.pass_(seconds)
        self.life.view()
        for trial in self.lost():
            if trial.expiries + 1 >= MAX_ATTEMPTS:
                trial.state, trial.reason, trial.lease = "fail", "lease-expired", None
                trial.expiries += 1

    @rule(seconds=st.sampled_from(SET))
    def set_the_time(self, seconds: float) -> None:
        self.clock.set_(seconds)

    @rule()
    def restart(self) -> None:
        assert_database_equals_memory(self.life.storage)
        self.life.restart()
        for trial in self.of("running"):
            trial.expires_at = self.clock.passed + TERM

    # Invariants

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        if not hasattr(self, "life"):
            return
        stored = self.life.storage.get_all_trials(self.life.id, deepcopy=False)
        assert len(stored) == len(self.trials)
        for trial, expected in zip(stored, self.trials, strict=True):
            record = TrialRecord.of(trial)
            assert (trial.number, trial.state.name.lower()) == (expected.number, expected.state)
            assert trial.params == expected.params
            assert trial.values == (None if expected.value is None else [expected.value])
            assert (record.attempt, record.lease) == (expected.attempt, expected.lease)
            assert (record.expiries, record.worker) == (expected.expiries, expected.worker)
            assert (record.fail_reason, record.late) == (expected.reason, expected.late)
            assert trial.intermediate_values == expected.reports
            assert record.stop_requested == expected.stop
        held = [trial.lease for trial in self.trials if trial.lease is not None]
        assert len(set(held)) == len(held)
        assert_kept_up(self.life.state)
