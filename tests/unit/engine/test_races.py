"""Races between sampling a trial and placing it, and between placing it and its commit."""

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from optunapi.engine.space import Parameter
from optunapi.errors import (
    LeaseLost,
    NoSlot,
    OptunAPIError,
    StorageUnavailable,
    StudyFinished,
    StudyNotFound,
    StudyPaused,
    Superseded,
    TrialFinished,
    ValueInvalid,
)
from optunapi.storage.units import Unit
from tests.support import scaled
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import (
    THREE,
    Caller,
    Clock,
    Gate,
    GatedNative,
    Life,
    done,
    held_at,
    optuna_study,
    put_gate,
    request,
)
from tests.unit.storage.support import take_in_foreign_writes

ONE = {"n": {"type": "int", "low": 1, "high": 2}}


@contextmanager
def somebody_writes(life: Life) -> Iterator[sqlite3.Connection]:
    """Hold the write lock: in this block only the yielded connection can write."""
    path = life.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


@contextmanager
def broken(life: Life, table: str) -> Iterator[None]:
    """Every insertion into the table fails in this block."""
    path = life.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute(
            f"CREATE TRIGGER broken BEFORE INSERT ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'no space left'); END"
        )
        try:
            yield
        finally:
            connection.execute("DROP TRIGGER broken")


def insert_trial(connection: sqlite3.Connection, life: Life, number: int) -> None:
    connection.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start) "
        "VALUES (?, ?, 'RUNNING', '2026-01-01 00:00:00.000000')",
        (number, life.id),
    )


def wait_until_available(life: Life) -> None:
    while life.storage.unavailable is not None:
        try:
            take_in_foreign_writes(life.storage)
        except StorageUnavailable:
            continue


@pytest.fixture(
    params=[{"name": "random", "seed": 1}, {"name": "tpe", "seed": 1, "engine": "rustuna"}],
    ids=["optuna", "rustuna"],
)
def new_life(new_life: NewLife, request: pytest.FixtureRequest) -> NewLife:
    """Run each test with an Optuna sampler, which draws one at a time, and with one in Rust."""
    return partial(new_life, sampler=request.param)


# Between sampling and placing


def test_tells_reports_and_looks_do_not_wait_for_a_sampler(new_life: NewLife) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w2")):
        life.report(0, 1, lease=seen.lease_id)
        life.renew(0, seen.lease_id or "")
        assert life.view().state == "open"
        assert life.complete(0, 0.5).state == "complete"
        assert life.counts() == {"complete": 1}
    life.assert_sound()


def test_a_repeat_and_a_lost_trial_do_not_wait_for_a_sampler(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    first = life.ask("w", key="k", lease_seconds=60)
    with held_at(put_gate(life), lambda: life.ask("w2")) as asking:
        assert life.ask("w", key="k", lease_seconds=60) == first
        clock.pass_(60)
        assert life.ask("w3").number == 0
    assert asking.outcome().number == 1


def test_a_limit_lowered_while_sampling_holds(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    for limits, error in (({"max_trials": 1}, StudyFinished), ({"max_running": 1}, NoSlot)):
        with held_at(put_gate(life), lambda: life.ask("w")) as asking:
            life.limit(**limits)
        with pytest.raises(error):
            asking.outcome()
        life.limit(max_trials=None, max_running=None)
    assert life.counts() == {"running": 1}


@pytest.mark.parametrize(("state", "error"), [("paused", StudyPaused), ("finished", StudyFinished)])
def test_a_study_closed_while_sampling_hands_out_nothing(
    new_life: NewLife, state: str, error: type[OptunAPIError]
) -> None:
    life = new_life()
    life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        life.change(state=state)
    with pytest.raises(error):
        asking.outcome()
    assert life.counts() == {"running": 1}


def test_a_target_reached_while_sampling_ends_the_ask(new_life: NewLife) -> None:
    life = new_life(target=0.5)
    life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        life.complete(0, 0.1)
    with pytest.raises(StudyFinished):
        asking.outcome()
    assert life.counts() == {"complete": 1}


def test_time_that_runs_out_while_sampling_ends_the_ask(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_duration=100)
    life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        clock.pass_(100)
    with pytest.raises(StudyFinished):
        asking.outcome()


def test_what_is_queued_while_sampling_comes_first(new_life: NewLife) -> None:
    life = new_life()
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        life.enqueue(x=0.25)
    assert (asking.outcome().number, asking.outcome().params) == (0, {"x": 0.25})
    assert life.counts() == {"running": 1}


def test_a_waiting_trial_that_is_cancelled_while_it_is_completed_is_not_handed_out(
    new_life: NewLife,
) -> None:
    life = new_life(enqueue=[{}])
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        assert life.cancel_all("waiting") == 1
    assert asking.outcome().number == 1
    assert life.counts() == {"fail": 1, "running": 1}


def test_attributes_set_while_a_waiting_trial_is_completed_are_kept(new_life: NewLife) -> None:
    life = new_life(enqueue=[{}])
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        life.set_attrs(0, a=1)
    assert asking.outcome().number == 0
    assert asking.outcome().trial.user_attrs == {"a": 1}


def test_a_trial_given_back_while_sampling_comes_first(new_life: NewLife) -> None:
    life = new_life()
    first = life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w2")) as asking:
        life.release(0)
    assert (asking.outcome().number, asking.outcome().params) == (0, first.params)
    assert life.counts() == {"running": 1}


def test_a_trial_that_came_up_while_sampling_keeps_its_place(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_attempts=1)
    life.ask("w", lease_seconds=60)
    clock.pass_(60)
    assert life.trial(0).state == "fail"
    with held_at(put_gate(life), lambda: life.ask("w2")) as asking:
        late = life.complete(0, 0.5)
    assert late.number == 1
    assert asking.outcome().number == 2
    assert life.trial(1) == late
    life.assert_sound()


def test_a_study_deleted_while_sampling_is_not_found(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        second = Caller(lambda: life.ask("w"))
        done(life.study.delete(force=True))
    for caller in (asking, second):
        with pytest.raises(StudyNotFound):
            caller.outcome()
    assert life.storage.get_all_studies() == []


def test_a_study_deleted_by_somebody_else_is_not_found(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        outside = optuna_study(life)
        outside._storage.delete_study(outside._study_id)
        take_in_foreign_writes(life.storage)
    with pytest.raises(StudyNotFound):
        asking.outcome()
    for call in (life.view, life.study.reloads, lambda: life.complete(0, 1.0)):
        with pytest.raises(StudyNotFound):
            call()


def test_a_sampler_that_fails_is_replaced_and_its_trial_gets_random_values(
    new_life: NewLife,
) -> None:
    class Failing(RandomSampler):
        def sample_independent(self, *_: object) -> object:
            raise RuntimeError("broken sampler")

    life = new_life()
    assert life.view().sampler_failure is None
    with held_at(put_gate(life, Failing()), lambda: life.ask("w", key="k")) as asking:
        pass
    assert 0 <= asking.outcome().params["x"] <= 1
    assert life.view().sampler_failure == "RuntimeError: broken sampler"
    assert 0 <= life.ask("w").params["x"] <= 1, "by the sampler that replaced it"
    assert life.counts() == {"running": 2}
    life.assert_sound()


class Panic(BaseException):
    """What a panic in Rust looks like: it is no Exception."""


def test_a_native_sampler_that_fails_is_replaced_and_its_trial_gets_random_values(
    new_life: NewLife,
) -> None:
    class Failing(GatedNative):
        def sample(self, *_: object) -> dict[str, Any]:
            raise Panic("broken sampler")

    life = new_life(sampler={"name": "tpe", "seed": 1})
    life.view()
    native = life.state.derived.native
    assert native is not None
    life.state.derived.native = Failing(Gate(), native)
    assert 0 <= life.ask("w").params["x"] <= 1
    assert life.view().sampler_failure == "Panic: broken sampler"
    assert not isinstance(life.state.derived.native, Failing)
    life.complete(0, 1.0)
    assert 0 <= life.ask("w").params["x"] <= 1
    life.assert_sound()


def test_an_ask_for_which_nothing_can_be_drawn_leaves_no_trial_behind(new_life: NewLife) -> None:
    life = new_life(parameters={}, sampler={"name": "random"})
    endless = Parameter(name="n", distribution=IntDistribution(0, 10**400))
    life.study.follow(replace(life.study.spec, parameters=(endless,)))
    before = life.dump()
    with pytest.raises(ValueInvalid, match='no value can be drawn for "n", a whole number'):
        life.ask("w", key="k")
    assert life.dump() == before


def test_a_configuration_that_changes_while_sampling_is_gone_by(new_life: NewLife) -> None:
    life = new_life()
    other = new_life(parameters={"y": {"type": "float", "low": 5, "high": 6}}).study.spec
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        changing = Caller(lambda: life.study.follow(other))
    changing.outcome()
    # The old or the new space, never a mixture
    assert asking.outcome().params.keys() in ({"x"}, {"y"})
    assert life.ask("w").params.keys() == {"y"}


def test_a_point_of_a_specification_that_was_replaced_meanwhile_is_drawn_again(
    new_life: NewLife,
) -> None:
    # A single point in Rust is drawn without the lock: a change of the configuration does not wait for it.
    life = new_life(sampler={"name": "tpe", "seed": 1, "engine": "rustuna"})
    other = new_life(parameters={"y": {"type": "float", "low": 5, "high": 6}}).study.spec
    with held_at(put_gate(life), lambda: life.ask("w")) as asking:
        life.study.follow(other)
    assert asking.outcome().params.keys() == {"y"}
    assert asking.outcome().record.spec_version == other.version
    life.assert_sound()


def test_a_configuration_that_changes_while_an_ask_comes_in_is_gone_by(
    new_life: NewLife, monkeypatch: pytest.MonkeyPatch
) -> None:
    life, gate = new_life(), Gate()
    other = new_life(parameters={"y": {"type": "float", "low": 5, "high": 6}}).study.spec
    unit = life.storage.unit

    def held_outside() -> AbstractContextManager[Unit]:
        if threading.current_thread() is not threading.main_thread():
            gate.pass_()
        return unit()

    monkeypatch.setattr(life.storage, "unit", held_outside)
    with held_at(gate, lambda: life.ask("w")) as asking:
        life.study.follow(other)
    trial = asking.outcome().trial
    assert trial.params.keys() == trial.distributions.keys() == {"y"}
    assert asking.outcome().record.spec_version == other.version
    life.assert_sound()


def test_max_trials_is_exact_when_sixty_four_ask_at_once(new_life: NewLife) -> None:
    life = new_life(max_trials=10)

    def ask() -> str:
        try:
            return life.ask("w").state
        except StudyFinished:
            return "finished"

    outcomes = [caller.outcome() for caller in [Caller(ask) for _ in range(64)]]
    assert sorted(outcomes) == ["finished"] * 54 + ["running"] * 10
    assert life.counts() == {"running": 10}


def test_max_running_is_exact_when_sixty_four_work_at_once(new_life: NewLife) -> None:
    life = new_life(max_running=3)
    most = []

    def work() -> None:
        finished = 0
        while finished < 3:
            try:
                seen = life.ask("w")
            except NoSlot:
                continue
            most.append(life.storage.counts(life.id)[TrialState.RUNNING])
            life.complete(seen.number, 1.0)
            finished += 1

    for caller in [Caller(work) for _ in range(16)]:
        caller.outcome()
    assert max(most) <= 3
    assert life.counts() == {"complete": 48}


def test_what_many_workers_were_told_is_kept_whatever_they_do_at_once(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(
        parameters={"n": {"type": "int", "low": 1, "high": 40}},
        lease=10,
        max_running=12,
        max_attempts=2,
        avoid_duplicates="all",
    )
    told: list[tuple[int, float]] = []
    held: list[tuple[int, str | None]] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for step in range(scaled(15, 200)):
            try:
                seen = life.ask(f"w{seed}", key=f"{seed}-{step}", resume=rng.random() < 0.2)
                held.append((seen.number, seen.lease_id))
                match rng.randrange(5):
                    case 0:
                        life.release(seen.number, seen.lease_id)
                    case 1:
                        clock.pass_(6)  # a lease held this long may expire
                    case 2:
                        life.tell(seen.number, "fail", reason="oom", lease=seen.lease_id)
                    case _:
                        life.report(seen.number, step, 0.5, seen.lease_id)
                        kept = life.complete(seen.number, float(seed * 1000 + step))
                        told.append((kept.number, float(seed * 1000 + step)))
            except (NoSlot, LeaseLost, TrialFinished, StudyFinished):
                continue

    for caller in [Caller(partial(work, seed)) for seed in range(12)]:
        caller.outcome()
    assert len({lease for _, lease in held}) == len(held)
    assert len({number for number, _ in told}) == len(told)
    for number, value in told:
        assert (life.trial(number).state, life.trial(number).trial.values) == ("complete", [value])
    assert len(told) == life.counts()["complete"]
    points = [
        seen.params["n"]
        for seen in life.trials()
        if seen.fail_reason in (None, "oom") and "late_for" not in seen.trial.user_attrs
    ]
    assert len(set(points)) == len(points)
    life.assert_sound()


# Between placing and the commit


def test_a_refused_ask_has_not_happened_and_its_number_is_given_again(new_life: NewLife) -> None:
    life = new_life(max_trials=2, lease=60)
    life.ask("w")
    with broken(life, "trials"):
        with pytest.raises(StorageUnavailable):
            life.ask("w2", key="k")
        wait_until_available(life)
        assert life.counts() == {"running": 1}
    assert life.ask("w3").number == 1
    life.complete(0, 1.0)
    life.complete(1, 1.0)
    with pytest.raises(StudyFinished):
        life.ask("w2", key="k")
    life.assert_sound()


def test_a_refused_tell_leaves_the_trial_with_its_worker(new_life: NewLife) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    with broken(life, "trial_values"):
        with pytest.raises(StorageUnavailable):
            life.complete(0, 1.0)
        wait_until_available(life)
        assert life.trial(0).state == "running"
        assert life.trial(0).lease_id == seen.lease_id
        life.assert_sound()
    assert life.complete(0, 1.0).state == "complete"


def test_a_refused_hand_on_is_done_again(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    first = life.ask("w")
    clock.pass_(60)
    with broken(life, "trial_system_attributes"):
        with pytest.raises(StorageUnavailable):
            life.ask("w2")
        wait_until_available(life)
        assert life.trial(0).lease_id == first.lease_id
        life.assert_sound()
    clock.pass_(60)
    on = life.ask("w2")
    assert (on.number, on.attempt) == (0, 2)


def test_a_refused_deletion_leaves_the_study_as_it_was(new_life: NewLife) -> None:
    life = new_life(sampler={"name": "random", "seed": 3})
    life.ask("w")
    with somebody_writes(life) as connection:
        _, deletion = life.study.delete(force=True)
        with pytest.raises(StudyNotFound):
            life.view()
        insert_trial(connection, life, 1)
    with pytest.raises(Superseded):
        deletion.result(30)
    assert life.view().state == "open"
    assert [seen.state for seen in life.trials()] == ["running", "running"]
    life.complete(0, 1.0)


def test_a_refused_change_of_the_configuration_leaves_the_former_in_force(
    new_life: NewLife,
) -> None:
    life = new_life()
    former = life.study.spec
    other = new_life(
        parameters={"y": {"type": "float", "low": 5, "high": 6}}, enqueue=[{"y": 5.5}]
    ).study.spec
    with broken(life, "trials"):
        with pytest.raises(StorageUnavailable):
            life.study.follow(other)
        wait_until_available(life)
        assert life.study.spec == former
        assert life.view().spec == former
    assert life.ask("w").params.keys() == {"x"}
    life.study.follow(other)
    assert life.ask("w").params == {"y": 5.5}
    life.assert_sound()


def test_an_ask_that_somebody_else_came_before_is_refused_as_superseded(
    new_life: NewLife,
) -> None:
    life = new_life(max_trials=2)
    life.view()
    with somebody_writes(life) as connection:
        view, commit = life.study.ask(request("w"))
        assert view.trial.number == 0
        insert_trial(connection, life, 0)
    with pytest.raises(Superseded):
        commit.result(30)
    assert life.ask("w").number == 1
    with pytest.raises(StudyFinished):
        life.ask("w")
    life.assert_sound()


def test_decisions_see_what_is_pending(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, max_trials=2)
    life.view()
    with somebody_writes(life):
        commits = [life.study.ask(request("w"))[1] for _ in range(2)]
        with pytest.raises(StudyFinished):
            life.study.ask(request("w"))
        for commit in commits:
            with pytest.raises(TimeoutError):
                commit.result(0)
    for commit in commits:
        commit.result(30)
    assert life.counts() == {"running": 2}


def test_a_point_that_somebody_else_took_while_sampling_is_not_taken_again(
    new_life: NewLife,
) -> None:
    life = new_life(parameters=ONE)
    gate = put_gate(life, RandomSampler(seed=1))
    with held_at(gate, lambda: life.ask("w")) as asking:
        outside = optuna_study(life)
        distribution = life.study.spec.parameters[0].distribution
        taken = RandomSampler(seed=1).sample_independent(outside, None, "n", distribution)  # type: ignore[arg-type]
        outside.enqueue_trial({"n": taken})
        outside.ask({"n": distribution})
        take_in_foreign_writes(life.storage)
    assert {asking.outcome().params["n"], life.trial(0).params["n"]} == {1, 2}
    life.assert_sound()


def test_what_others_add_is_counted(new_life: NewLife) -> None:
    life = new_life(max_trials=2, lease=60)
    seen = life.ask("w")
    optuna_study(life).enqueue_trial({"x": 0.5})
    take_in_foreign_writes(life.storage)
    assert life.trial(0).lease == seen.lease
    assert life.ask("w").params == {"x": 0.5}
    with pytest.raises(NoSlot):
        life.ask("w")
    life.assert_sound()
