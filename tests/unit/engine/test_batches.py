"""Batch requests: an ask commits all its trials at once, a tell judges each item separately."""

from typing import Any

import pytest

from optunapi.engine.lifecycle import Result
from optunapi.engine.samplers.native.tpe import TPE
from optunapi.engine.trials.queue import QueuedPoint
from optunapi.errors import (
    KeyReused,
    LeaseLost,
    NoSlot,
    OptunAPIError,
    SpecConflict,
    StorageUnavailable,
    StudyFinished,
    StudyPaused,
    Superseded,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
    ValueInvalid,
)
from tests.unit.engine.bulk import ask_many, enqueue, numbers, result, tell_many
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import (
    LINE,
    THREE,
    Caller,
    Clock,
    GatedNative,
    Life,
    Seen,
    held_at,
    optuna_study,
    put_gate,
)
from tests.unit.engine.test_races import broken, somebody_writes, wait_until_available
from tests.unit.storage.support import take_in_foreign_writes

TWO: dict[str, Any] = {"parameters": {**LINE, **THREE}}
NINE = {"n": {"type": "int", "low": 1, "high": 9}}


def points(trials: list[Seen]) -> set[Any]:
    return {tuple(sorted(trial.params.items())) for trial in trials}


# Ask


def test_a_batch_is_as_many_trials_with_a_lease_each(new_life: NewLife) -> None:
    life = new_life(lease=60)
    asked = ask_many(life, 5, "w", user_attrs={"host": "h"})
    assert numbers(asked) == [0, 1, 2, 3, 4]
    assert len({trial.held.id for trial in asked}) == 5
    assert {(t.state, t.record.worker, t.attempt) for t in asked} == {("running", "w", 1)}
    assert all(trial.trial.user_attrs == {"host": "h"} for trial in asked)
    assert life.view().counts == {**life.view().counts, **{asked[0].trial.state: 5}}
    life.assert_sound()


@pytest.mark.parametrize(
    "sampler", ["random", "tpe", "cmaes", "nsga2", "nsga3", "qmc", "grid", "brute-force"]
)
def test_a_batch_is_spread_over_the_space(new_life: NewLife, sampler: str) -> None:
    life = new_life(
        parameters={**NINE, "x": {"type": "float", "low": 0, "high": 1, "step": 0.25}},
        sampler={"name": sampler},
        avoid_duplicates="running",
    )
    for _ in range(2):
        asked = ask_many(life, 15)
        assert len(points(asked)) == 15
        tell_many(life, *((t.number, result("complete", t.params["x"])) for t in asked))
    assert len(points(ask_many(life, 15))) == 15
    life.assert_sound()


def test_each_is_sampled_as_if_those_before_it_ran(new_life: NewLife) -> None:
    spec = {"sampler": {"name": "tpe", "seed": 1, "constant_liar": True, "n_startup_trials": 3}}
    one, many = new_life(**spec), new_life(**spec)
    for life in (one, many):
        for value in (0.5, 0.25, 1.0, 0.75):
            life.complete(life.ask("w").number, value)
    asked = ask_many(many, 6)
    assert [t.params for t in asked] == [one.ask("w").params for _ in range(6)]
    assert optuna_study(many).trials[4:] == [t.trial for t in asked]


def test_a_batch_is_as_large_as_the_limits_allow(new_life: NewLife) -> None:
    life = new_life(max_trials=5, max_running=3)
    assert numbers(ask_many(life, 9)) == [0, 1, 2]
    with pytest.raises(NoSlot):
        ask_many(life, 9)
    life.complete(0, 1.0)
    life.tell(1, "fail")
    assert numbers(ask_many(life, 1)) == [3]
    assert numbers(ask_many(life, 9)) == [4]
    life.limit(max_running=None)
    assert numbers(ask_many(life, 9)) == [5]
    for number in (2, 3, 4, 5):
        life.complete(number, 1.0)
    with pytest.raises(StudyFinished) as refused:
        ask_many(life, 9)
    assert refused.value.extra["finished_reason"] == "max_trials"
    life.assert_sound()


def test_limits_are_exact_under_batches_and_asks_at_once(new_life: NewLife) -> None:
    life = new_life(max_trials=30, lease=60)
    callers = [
        Caller(lambda: ask_many(life, 7, "w"))
        if n % 2
        else Caller(lambda: [life.ask("w") for _ in range(3)])
        for n in range(10)
    ]
    for caller in callers:
        try:
            caller.outcome()
        except NoSlot:
            continue
    assert life.counts() == {"running": 30}
    life.assert_sound()


@pytest.mark.parametrize("sampler", ["random", "grid", "brute-force"])
def test_a_batch_ends_with_the_space(new_life: NewLife, sampler: str) -> None:
    life = new_life(parameters=THREE, sampler={"name": sampler}, avoid_duplicates="all")
    enqueue(life, {"n": 2})
    asked = ask_many(life, 9)
    assert [trial.params["n"] for trial in asked][:1] == [2]
    assert sorted(trial.params["n"] for trial in asked) == [1, 2, 3]
    with pytest.raises(StudyFinished):
        ask_many(life, 1)
    life.assert_sound()


def test_a_batch_repeats_points_only_when_none_is_unused(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="running")
    asked = ask_many(life, 7)
    assert len(asked) == 7
    assert sorted(trial.params["n"] for trial in asked[:3]) == [1, 2, 3]
    life.assert_sound()


def test_a_batch_of_fixed_parameters_samples_the_others(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1})
    asked = ask_many(life, 4, params={"n": 2})
    assert numbers(asked) == [1, 2, 3, 4]
    assert {trial.params["n"] for trial in asked} == {2}
    assert len({trial.params["x"] for trial in asked}) == 4


def test_a_batch_goes_in_the_order_of_ask(new_life: NewLife, clock: Clock) -> None:
    life = new_life(**TWO, lease=60)
    asked = ask_many(life, 5, "w")
    life.report(3, 1, 0.5, asked[3].lease_id)
    for number in (0, 2):
        life.renew(number, asked[number].held.id, 600)
    life.release(4, asked[4].lease_id)
    mine = life.ask("me")
    assert mine.number == 4
    life.renew(4, mine.held.id, 600)
    life.report(4, 1, 0.25, mine.lease_id)
    clock.pass_(60)  # 1 and 3 are lost
    life.release(0, asked[0].lease_id)
    enqueue(life, {"n": 3}, {"n": 1})
    again = ask_many(life, 8, "me", resume=True)
    assert numbers(again) == [4, 1, 3, 0, 5, 6, 7, 8]
    assert [trial.attempt for trial in again] == [3, 2, 2, 2, 1, 1, 1, 1]
    assert again[0].reports == {1: 0.25}
    assert again[2].reports == {}
    assert [again[n].params for n in (1, 2, 3)] == [asked[n].params for n in (1, 3, 0)]
    assert [again[n].params["n"] for n in (4, 5)] == [3, 1]
    assert numbers(life.trials(state=None, worker="me")) == [0, 1, 3, 4, 5, 6, 7, 8]
    life.assert_sound()


def test_resume_gives_each_running_trial_of_the_worker_once(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    ask_many(life, 3, "w")
    clock.pass_(60)
    assert numbers(ask_many(life, 2, "w", resume=True)) == [0, 1]
    assert numbers(ask_many(life, 5, "w", resume=True)) == [0, 1, 2, 3, 4]
    life.assert_sound()


def test_a_full_study_still_hands_out_own_and_lost_trials(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60, max_trials=3, max_running=2)
    ask_many(life, 9, "w")
    enqueue(life, {"x": 0.5})
    clock.pass_(60)
    assert numbers(ask_many(life, 9, "v")) == [0, 1]
    assert numbers(ask_many(life, 9, "v", resume=True)) == [0, 1]
    with pytest.raises(NoSlot):
        ask_many(life, 9, "u")


def test_a_batch_is_refused_as_an_ask_is(new_life: NewLife) -> None:
    life = new_life(**TWO)
    life.ask("w", key="k")

    def refused(error: type[OptunAPIError], **fields: Any) -> None:
        before = life.dump()
        with pytest.raises(error):
            ask_many(life, 3, **fields)
        assert life.dump() == before

    refused(ValueInvalid, params={"n": 4})
    refused(KeyReused, key="k")
    life.study.hold_spec(SpecConflict("changed"))
    refused(SpecConflict)
    life.study.follow(life.study.spec)
    life.change(state="paused")
    refused(StudyPaused)
    life.change(state="finished")
    refused(StudyFinished)


def test_one_key_covers_the_whole_batch(new_life: NewLife, clock: Clock) -> None:
    life = new_life(**TWO, lease=60)
    ask_many(life, 2, "w")
    clock.pass_(60)
    enqueue(life, {"n": 1})
    first = ask_many(life, 5, "v", key="k", resume=True)
    assert numbers(first) == [0, 1, 2, 3, 4]
    before = life.dump()
    assert ask_many(life, 5, "v", key="k", resume=True) == first
    with pytest.raises(KeyReused):
        ask_many(life, 5, "u", key="k")
    with pytest.raises(KeyReused):
        life.ask("v", key="k")
    assert life.dump() == before
    life.restart()
    again = ask_many(life, 5, "v", key="k", resume=True)
    assert [(t.trial, t.lease_id) for t in again] == [(t.trial, t.lease_id) for t in first]
    life.complete(3, 1.0)
    assert ask_many(life, 5, "v", key="k", resume=True)[3].state == "complete"
    clock.pass_(60)
    ask_many(life, 1, "other")
    with pytest.raises(LeaseLost):
        ask_many(life, 5, "v", key="k", resume=True)
    life.assert_sound()


def test_a_repeated_key_gives_its_trials_in_their_places(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    ask_many(life, 2, "w")
    life.renew(0, life.trial(0).held.id, 90)
    clock.pass_(60)
    life.ask("v")  # 1 is handed on
    clock.pass_(30)
    first = ask_many(life, 4, "v", key="k", resume=True)
    assert numbers(first) == [1, 0, 2, 3]
    assert ask_many(life, 4, "v", key="k", resume=True) == first
    life.restart()
    assert numbers(ask_many(life, 4, "v", key="k", resume=True)) == [1, 0, 2, 3]


def test_two_equal_batches_at_once_get_the_same_trials(new_life: NewLife) -> None:
    life = new_life()
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 4, "w", key="k")) as first:
        second = Caller(lambda: ask_many(life, 4, "w", key="k"))
    assert first.outcome() == second.outcome()
    assert gate.arrivals == 4
    assert life.counts() == {"running": 4}


# While a batch is sampled


def test_no_trial_of_a_batch_is_visible_before_all_are(new_life: NewLife) -> None:
    life = new_life()
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 3)) as caller:
        gate.opened.release(2)
        assert gate.reached.acquire(timeout=30)
        assert gate.reached.acquire(timeout=30)
        assert life.counts() == {}
    assert numbers(caller.outcome()) == [0, 1, 2]


def test_a_place_that_was_taken_meanwhile_is_left_out(new_life: NewLife) -> None:
    life = new_life(max_trials=4)
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 9)) as caller:
        life.limit(max_trials=2)
    assert numbers(caller.outcome()) == [0, 1]
    life.assert_sound()


def test_a_batch_for_which_nothing_is_left_is_refused(new_life: NewLife) -> None:
    life = new_life(lease=60)
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 3, key="k")) as caller:
        life.change(state="paused")
    with pytest.raises(StudyPaused):
        caller.outcome()
    assert life.counts() == {}


def expected(life: Life) -> set[int]:
    """The trials that the native sampler treats as running."""
    native = life.state.derived.native
    assert isinstance(native, GatedNative)
    assert isinstance(native.sampler, TPE)
    return set(native.sampler._window._running)


@pytest.mark.parametrize("count", [1, 3])
def test_what_was_drawn_for_a_refused_request_no_longer_counts_as_running(
    new_life: NewLife, count: int
) -> None:
    life = new_life(sampler={"name": "tpe", "engine": "rustuna"})
    life.ask("w")
    with held_at(put_gate(life), lambda: ask_many(life, count)) as caller:
        life.change(state="paused")
    with pytest.raises(StudyPaused):
        caller.outcome()
    assert expected(life) == {0}


def test_surplus_points_of_a_batch_no_longer_count_as_running(new_life: NewLife) -> None:
    life = new_life(sampler={"name": "tpe", "engine": "rustuna"}, max_trials=9)
    with held_at(put_gate(life), lambda: ask_many(life, 4)) as caller:
        life.limit(max_trials=2)
    assert numbers(caller.outcome()) == [0, 1]
    assert expected(life) == {0, 1}


def test_what_is_queued_meanwhile_comes_first(new_life: NewLife) -> None:
    life = new_life(**TWO)
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 3)) as caller:
        enqueue(life, {"n": 1})
    asked = caller.outcome()
    assert asked[0].params["n"] == 1
    assert numbers(asked) == [0, 1, 2]
    assert gate.arrivals == 4  # points sampled earlier are kept
    life.assert_sound()


def test_a_point_dequeued_meanwhile_is_not_handed_out(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1}, {"n": 2})
    gate = put_gate(life)
    with held_at(gate, lambda: ask_many(life, 2)) as caller:
        life.study.queue.remove(0).result(30)
    asked = caller.outcome()
    assert numbers(asked) == [1, 2]
    assert asked[0].params["n"] == 2
    life.assert_sound()


def test_another_point_that_got_the_number_of_a_refused_one_keeps_its_parameters(
    new_life: NewLife,
) -> None:
    life = new_life(**TWO)
    gate = put_gate(life)
    with somebody_writes(life) as connection:
        _, commit = life.study.queue.add([QueuedPoint(params={"n": 1})], key=None, digest="")
        caller = Caller(lambda: ask_many(life, 1))
        assert gate.reached.acquire(timeout=30)
        row = connection.execute(
            "INSERT INTO trials (number, study_id, state) VALUES (0, ?, 'WAITING')", (life.id,)
        )
        connection.execute(
            "INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (?, ?, ?)",
            (row.lastrowid, "fixed_params", '{"n": 2}'),
        )
    with pytest.raises(Superseded):
        commit.result(30)
    gate.opened.release(10_000)
    (asked,) = caller.outcome()
    assert (asked.number, asked.params["n"]) == (0, 2)
    life.assert_sound()


def test_a_point_taken_meanwhile_is_sampled_again(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="running", lease=60)
    mine = life.ask("w", params={"n": 1})
    gate = put_gate(life)
    gate.opened.release(1)
    with held_at(gate, lambda: ask_many(life, 2)) as caller:
        # Takes the point being sampled. Other asks wait, but another process can still write.
        life.complete(mine.number, 1.0)
        trial = optuna_study(life).ask()
        trial.suggest_int("n", 1, 3)
        take_in_foreign_writes(life.storage)
    asked = caller.outcome()
    assert len(points(asked)) == 2
    assert trial.params not in [each.params for each in asked]
    life.assert_sound()


def test_a_refused_commit_leaves_none_of_the_batch(new_life: NewLife) -> None:
    life = new_life()
    with broken(life, "trials"), pytest.raises(StorageUnavailable):
        ask_many(life, 3, "w", key="k")
    wait_until_available(life)
    assert life.counts() == {}
    assert numbers(ask_many(life, 3, "w", key="k")) == [0, 1, 2]
    life.assert_sound()


# Tell


def kinds(outcomes: list[Any]) -> list[Any]:
    return [each.state if isinstance(each, Seen) else type(each) for each in outcomes]


def test_each_tell_is_judged_by_itself(new_life: NewLife) -> None:
    life = new_life(lease=60)
    asked = ask_many(life, 4)
    life.complete(3, 1.0)
    enqueue(life, {"x": 0.5})
    outcomes = tell_many(
        life,
        (0, result("complete", 0.5, user_attrs={"a": 1}, constraints={"c": 0.5})),
        (9, result("complete", 0.5)),
        (1, result("fail")),
        (1, result("fail", lease=asked[1].lease_id, reason="oom")),
        (2, result("complete", 0.5, 0.5)),
        (2, result("complete", float("nan"))),
        (3, result("complete", 1.0)),
        (3, result("complete", 2.0)),
        (4, result("complete", 1.0)),
        (0, result("complete", 0.5)),
        (0, result("complete", 0.25)),
    )
    assert kinds(outcomes) == [
        "complete",
        TrialNotFound,
        LeaseLost,
        "fail",
        ValueInvalid,
        ValueInvalid,
        "complete",
        TrialFinished,
        TrialWaiting,
        "complete",
        TrialFinished,
    ]
    finished = outcomes[-1]
    assert isinstance(finished, TrialFinished)
    assert finished.extra["trial"].trial.values == [0.5]
    assert life.trial(0).trial.user_attrs == {"a": 1}
    assert life.trial(0).trial.constraints == {"c": 0.5}
    assert life.trial(1).fail_reason == "oom"
    assert life.counts() == {"complete": 2, "fail": 1, "running": 1, "waiting": 1}
    life.assert_sound()


def test_refused_tells_change_nothing(new_life: NewLife) -> None:
    life = new_life(lease=60)
    life.ask("w")
    before = life.dump()
    assert kinds(tell_many(life, (0, result("fail")), (1, result("complete", 1.0)))) == [
        LeaseLost,
        TrialNotFound,
    ]
    assert life.dump() == before


def test_a_batch_tells_what_single_tells_would(new_life: NewLife, clock: Clock) -> None:
    told: list[tuple[int, Result]] = [
        (n % 6, result(*[("complete", 1.0), ("fail",), ("pruned",), ("complete", 2.0)][n % 4]))  # type: ignore[arg-type]
        for n in range(24)
    ]
    one, many = new_life(max_attempts=1), new_life(max_attempts=1)
    for life in (one, many):
        ask_many(life, 4, "w")
        ask_many(life, 2, "w", lease_seconds=10.0)
        life.report(2, 3, 0.75)
        clock.pass_(10)
        life.view()
    singly: list[Any] = []
    for number, each in told:
        try:
            seen = one.tell(number, each.state.name.lower(), *(each.values or ()))
            singly.append((seen.number, seen.state, seen.trial.values))
        except OptunAPIError as error:
            singly.append(type(error))
    assert [
        (each.number, each.state, each.trial.values) if isinstance(each, Seen) else type(each)
        for each in tell_many(many, *told)
    ] == singly
    assert one.counts() == many.counts()
    many.assert_sound()


def test_a_refused_commit_takes_back_every_tell(new_life: NewLife) -> None:
    life = new_life()
    ask_many(life, 2)
    with broken(life, "trial_values"), pytest.raises(StorageUnavailable):
        tell_many(life, (0, result("complete", 1.0)), (1, result("fail")))
    wait_until_available(life)
    assert life.counts() == {"running": 2}
    life.assert_sound()
