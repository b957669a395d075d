"""Queued points are handed out once each, first in, first out, completed by the sampler."""

from typing import Any

import pytest

from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.trials.queue import QueuedPoint, check_first, grid_points
from optunapi.errors import (
    KeyReused,
    NoSlot,
    OptunAPIError,
    StorageUnavailable,
    StudyFinished,
    TrialFinished,
    TrialNotFound,
    ValueInvalid,
)
from tests.unit.engine.bulk import ask_many, enqueue, import_, item, numbers
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import LINE, THREE, Caller, Clock, optuna_study
from tests.unit.engine.test_races import broken, wait_until_available
from tests.unit.storage.support import take_in_foreign_writes

TWO: dict[str, Any] = {"parameters": {**LINE, **THREE}}


def test_queued_points_are_handed_out_in_order_and_completed(new_life: NewLife) -> None:
    life = new_life(**TWO)
    queued = enqueue(life, {"n": 3}, {"x": 0.25}, {}, {"n": 1, "x": 1})
    assert numbers(queued) == [0, 1, 2, 3]
    assert {trial.state for trial in queued} == {"waiting"}
    assert queued[0].params == {}
    asked = [life.ask("w") for _ in range(5)]
    assert numbers(asked) == [0, 1, 2, 3, 4]
    assert asked[0].params["n"] == 3
    assert asked[1].params["x"] == 0.25
    assert asked[3].params == {"n": 1, "x": 1.0}
    assert all(trial.params.keys() == {"n", "x"} for trial in asked)
    life.assert_sound()


def test_each_point_is_handed_out_once_to_many_at_once(new_life: NewLife) -> None:
    life = new_life(**TWO, avoid_duplicates="off")
    enqueue(life, *({"x": n / 32} for n in range(32)))
    asked = [caller.outcome() for caller in [Caller(lambda: life.ask("w")) for _ in range(32)]]
    assert sorted(trial.params["x"] for trial in asked) == [n / 32 for n in range(32)]
    assert sorted(numbers(asked)) == list(range(32))
    life.assert_sound()


def test_points_and_attributes_outlive_a_restart(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 2}, user_attrs={"from": "me", "cost": 2})
    life.restart()
    asked = life.ask("w", user_attrs={"host": "h"})
    assert asked.params["n"] == 2
    assert asked.trial.user_attrs == {"from": "me", "cost": 2, "host": "h"}
    life.assert_sound()


def test_a_point_that_optuna_queued_is_handed_out_in_order(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1})
    optuna_study(life).enqueue_trial({"n": 2, "x": 0.5})
    take_in_foreign_writes(life.storage)
    enqueue(life, {"n": 3})
    asked = [life.ask("w") for _ in range(3)]
    assert [trial.params["n"] for trial in asked] == [1, 2, 3]
    assert asked[1].params["x"] == 0.5
    life.assert_sound()


def test_optuna_hands_out_what_was_queued_here(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 2, "x": 0.5})
    trial = optuna_study(life).ask()
    assert trial.number == 0
    assert trial.suggest_int("n", 1, 3) == 2
    assert trial.suggest_float("x", 0, 1) == 0.5


@pytest.mark.parametrize("point", [{"n": 4}, {"n": "1"}, {"n": True}, {"nn": 1}, {"x": None}])
def test_all_points_are_queued_or_none(new_life: NewLife, point: dict[str, Any]) -> None:
    life = new_life(**TWO)
    before = life.dump()
    with pytest.raises(ValueInvalid, match="item 1: ") as refused:
        enqueue(life, {"n": 1}, point, {"n": 2})
    (error,) = refused.value.extra["errors"]
    assert error["location"] == ["items", 1, "params", *point]
    with pytest.raises(ValueInvalid) as refused:
        enqueue(life, point)
    (error,) = refused.value.extra["errors"]
    assert error["location"] == ["params", *point]
    assert life.dump() == before


def test_an_empty_space_keeps_any_name(new_life: NewLife) -> None:
    life = new_life(parameters={})
    enqueue(life, {"any": 1, "thing": "at all"})
    assert life.ask("w").trial.system_attrs["fixed_params"] == {"any": 1, "thing": "at all"}


# At the limit


def test_points_beyond_the_limit_are_refused_all_of_them(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=3)
    life.ask("w")
    before = life.dump()
    with pytest.raises(StudyFinished) as refused:
        enqueue(life, {"n": 1}, {"n": 2}, {"n": 3})
    assert refused.value.extra["finished_reason"] == "max_trials"
    assert life.dump() == before
    enqueue(life, {"n": 1}, {"n": 2})
    with pytest.raises(StudyFinished):
        enqueue(life, {"n": 3})
    with pytest.raises(NoSlot):
        new_life(**TWO, max_trials=1, enqueue=[{"n": 1}]).ask("w", params={"n": 2})


def test_a_failed_trial_gives_its_place_to_a_point(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=1)
    life.ask("w")
    life.tell(0, "fail")
    assert numbers(enqueue(life, {"n": 1})) == [1]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"target": 0.5}, "target"),
        ({"max_cost": 1}, "max_cost"),
        ({"max_duration": 10}, "max_duration"),
    ],
)
def test_a_finished_study_takes_no_points(
    new_life: NewLife, clock: Clock, spec: dict[str, Any], reason: str
) -> None:
    life = new_life(**TWO, **spec)
    life.ask("w")
    life.complete(0, 0.25, user_attrs={"cost": 1})
    clock.pass_(10)
    before = life.dump()
    with pytest.raises(StudyFinished) as refused:
        enqueue(life, {"n": 1})
    assert refused.value.extra["finished_reason"] == reason
    assert life.dump() == before


def test_a_stopped_study_takes_no_points_and_a_paused_one_does(new_life: NewLife) -> None:
    life = new_life(**TWO)
    life.change(state="finished")
    with pytest.raises(StudyFinished):
        enqueue(life, {"n": 1})
    life.change(state="paused")
    enqueue(life, {"n": 1})
    assert life.counts() == {"waiting": 1}


# Existing points


def test_an_existing_point_is_skipped_if_requested(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1, "x": 0})
    life.ask("w")
    life.complete(0, 1.0)
    enqueue(life, {"n": 2})
    before = life.dump()
    known = enqueue(life, {"x": 0.0, "n": 1.0}, {"n": 2}, skip_if_exists=True)
    assert numbers(known) == [0, 1]
    assert known[0].state == "complete"
    assert life.dump() == before
    assert numbers(enqueue(life, {"n": 2, "x": 0.5}, {"n": 3}, skip_if_exists=True)) == [2, 3]
    assert numbers(enqueue(life, {"n": 2})) == [4]
    life.assert_sound()


def test_a_finished_study_still_says_which_trial_has_a_point(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=1)
    enqueue(life, {"n": 1})
    life.change(state="finished")
    assert numbers(enqueue(life, {"n": 1}, skip_if_exists=True)) == [0]


def test_a_sampled_trial_stands_for_its_point_too(new_life: NewLife) -> None:
    life = new_life(**TWO)
    sampled = life.ask("w")
    assert numbers(enqueue(life, sampled.params, skip_if_exists=True)) == [0]


def test_of_equal_points_in_one_request_the_first_is_queued(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=1)
    found = enqueue(life, {"n": 1}, {"n": 1}, {"n": 1}, skip_if_exists=True)
    assert numbers(found) == [0, 0, 0]
    assert life.counts() == {"waiting": 1}


def test_a_cancelled_point_may_be_queued_again(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1})
    life.study.queue.remove(0).result(30)
    assert numbers(enqueue(life, {"n": 1}, skip_if_exists=True)) == [1]


def test_types_count_as_in_optuna_when_points_are_compared(new_life: NewLife) -> None:
    life = new_life(parameters={})
    found = enqueue(life, {"a": 1}, {"a": True}, {"a": 1.0}, {"a": "1"}, skip_if_exists=True)
    assert numbers(found) == [0, 0, 1, 2]


# Keys


def test_the_same_key_gives_the_same_trials_in_the_same_places(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 2})
    points = [{"n": 3}, {"n": 2}, {"n": 1}, {"n": 3}]
    first = enqueue(life, *points, key="k", skip_if_exists=True)
    assert numbers(first) == [1, 0, 2, 1]
    before = life.dump()
    assert enqueue(life, *points, key="k", skip_if_exists=True) == first
    with pytest.raises(KeyReused):
        enqueue(life, {"n": 3}, key="k")
    with pytest.raises(KeyReused):
        life.ask("w", key="k")
    life.restart()
    assert enqueue(life, *points, key="k", skip_if_exists=True) == first
    assert life.dump() == before
    life.ask("w")
    again = enqueue(life, *points, key="k", skip_if_exists=True)
    assert [trial.state for trial in again] == ["waiting", "running", "waiting", "waiting"]
    life.assert_sound()


def test_a_repeated_key_is_answered_at_the_limit(new_life: NewLife) -> None:
    life = new_life(**TWO, max_trials=1)
    first = enqueue(life, {"n": 1}, key="k")
    assert enqueue(life, {"n": 1}, key="k") == first


def test_two_equal_requests_at_once_queue_once(new_life: NewLife) -> None:
    life = new_life(**TWO)
    callers = [Caller(lambda: enqueue(life, {"n": 1}, {"n": 2}, key="k")) for _ in range(8)]
    assert {tuple(numbers(caller.outcome())) for caller in callers} == {(0, 1)}


# Dequeueing


def test_a_dequeued_trial_fails_as_cancelled_and_is_not_handed_out(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1}, {"n": 2})
    life.study.queue.remove(0).result(30)
    assert (life.trial(0).state, life.trial(0).fail_reason) == ("fail", "cancelled")
    assert life.ask("w").number == 1
    before = life.dump()
    life.study.queue.remove(0).result(30)
    assert life.dump() == before
    life.assert_sound()


def test_only_what_waits_can_be_dequeued(new_life: NewLife) -> None:
    life = new_life(**TWO)
    life.ask("w")
    life.ask("w")
    life.complete(1, 1.0)
    before = life.dump()
    refused: list[tuple[int, type[OptunAPIError]]] = [
        (0, TrialNotFound),
        (1, TrialFinished),
        (2, TrialNotFound),
    ]
    for number, error in refused:
        with pytest.raises(error):
            life.study.queue.remove(number)
    assert life.dump() == before


def test_the_queue_is_emptied_and_running_trials_stay(new_life: NewLife) -> None:
    life = new_life(**TWO, max_failed_trials=1)
    enqueue(life, {"n": 1}, {"n": 2}, {"n": 3})
    life.ask("w")
    life.study.queue.clear().result(30)
    assert life.counts() == {"running": 1, "fail": 2}
    assert life.view().state == "open"
    life.study.queue.clear().result(30)
    assert life.ask("w").number == 3
    life.assert_sound()


# Grids


def test_a_grid_is_every_combination_the_last_changing_fastest() -> None:
    points = [point.params for point in grid_points({"a": [1, 2], "b": ["x", None]})]
    assert points == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
        {"a": 2, "b": None},
    ]


@pytest.mark.parametrize(
    "grid", [{}, {"a": []}, {"a": [1], "b": []}, {"a": [0] * 101, "b": [0] * 100}]
)
def test_a_grid_has_points_and_not_too_many(grid: dict[str, list[int]]) -> None:
    with pytest.raises(ValueInvalid):
        grid_points(grid)
    assert len(grid_points({"a": [0] * 100, "b": [0] * 100})) == 10_000


def test_no_more_points_are_queued_at_once_than_a_grid_may_have(new_life: NewLife) -> None:
    life = new_life()
    before = life.dump()
    with pytest.raises(ValueInvalid):
        enqueue(life, *[{}] * 10_001)
    assert life.dump() == before
    assert len(enqueue(life, *[{}] * 10_000)) == 10_000


# The grid sampler


def test_the_grid_sampler_takes_whole_points_alone(new_life: NewLife) -> None:
    axis = {"type": "int", "low": 1, "high": 2}
    life = new_life(parameters={"n": axis, "x": axis}, sampler={"name": "grid"})
    before = life.dump()
    with pytest.raises(ValueInvalid, match="lacks x:"):
        enqueue(life, {"n": 1})
    with pytest.raises(ValueInvalid, match="lacks n, x:"):
        enqueue(life, {})
    with pytest.raises(ValueInvalid, match="lacks n:"):
        life.ask("w", params={"x": 1})
    assert life.dump() == before
    import_(life, item(1.0, n=1))  # the sampler must not add parameters
    enqueue(life, {"n": 2, "x": 1})
    found = [life.ask("w").params for _ in range(4)]
    assert found[0] == {"n": 2, "x": 1}
    assert len({tuple(sorted(params.items())) for params in found}) == 4
    life.assert_sound()


@pytest.mark.parametrize("point", [{"n": 1}, {}])
def test_an_invalid_point_that_optuna_queued_leaves_the_queue(
    new_life: NewLife, point: dict[str, Any]
) -> None:
    axis = {"type": "int", "low": 1, "high": 2}
    life = new_life(parameters={"n": axis, "x": axis}, sampler={"name": "grid"})
    optuna_study(life).enqueue_trial(point)
    optuna_study(life).enqueue_trial({"n": 1, "x": 2})
    take_in_foreign_writes(life.storage)
    assert life.ask("w").number == 1
    assert (life.trial(0).state, life.trial(0).fail_reason) == ("fail", "cancelled")
    optuna_study(life).enqueue_trial(point)
    take_in_foreign_writes(life.storage)
    assert len(ask_many(life, 9)) == 3
    assert life.counts() == {"running": 4, "fail": 2}
    life.assert_sound()


def test_an_unknown_choice_that_optuna_queued_does_not_block_the_queue(new_life: NewLife) -> None:
    life = new_life(parameters={"c": {"type": "categorical", "choices": ["a", "b"]}})
    optuna_study(life).enqueue_trial({"c": "z"})
    take_in_foreign_writes(life.storage)
    enqueue(life, {"c": "a"})
    assert life.ask("w").number == 1
    life.assert_sound()


# Before the first ask


def test_points_that_a_new_study_would_refuse_are_known_before_it_is_made() -> None:
    spec = spec_from_mapping({"parameters": THREE, "max_trials": 2, "enqueue": [{"n": 1}]})
    check_first(spec, [QueuedPoint(params={"n": 2})])
    one = QueuedPoint(params={"n": 1}, skip_if_exists=True)
    check_first(spec, [one, QueuedPoint(params={"n": 2})])
    with pytest.raises(StudyFinished):
        check_first(spec, [QueuedPoint(params={"n": 1}), QueuedPoint(params={"n": 2})])
    with pytest.raises(ValueInvalid):
        check_first(spec, [QueuedPoint(params={"n": 4})])


def test_a_refused_commit_leaves_nothing_in_the_queue(new_life: NewLife) -> None:
    life = new_life(**TWO)
    with broken(life, "trials"), pytest.raises(StorageUnavailable):
        enqueue(life, {"n": 1}, {"n": 2}, key="k")
    wait_until_available(life)
    assert life.counts() == {}
    assert numbers(enqueue(life, {"n": 1}, {"n": 2}, key="k")) == [0, 1]
    life.assert_sound()


def test_a_number_that_differs_in_its_last_digit_exists_already(new_life: NewLife) -> None:
    life = new_life(**TWO)
    enqueue(life, {"n": 1, "x": 0.3})
    known = enqueue(life, {"n": 1, "x": 0.1 + 0.2}, {"n": 1, "x": 0.31}, skip_if_exists=True)
    assert numbers(known) == [0, 1]
