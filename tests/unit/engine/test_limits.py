"""Limits of a study: each is exact, and can be changed while trials run."""

from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import TrialState

from optunapi.errors import NoSlot, OptunAPIError, StudyFinished, StudyPaused
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import THREE, Clock, Life, optuna_study
from tests.unit.storage.support import take_in_foreign_writes

TWO = {"accuracy": "maximize", "latency": "minimize"}


def assert_finished(life: Life, reason: str) -> None:
    view = life.view()
    assert (view.state, view.finished_reason) == ("finished", reason)
    before = life.dump()
    with pytest.raises(StudyFinished) as error:
        life.ask("late")
    assert error.value.extra["finished_reason"] == reason
    assert life.dump() == before


def assert_full(life: Life) -> None:
    """No slot is free, but the study is not finished."""
    assert life.view().state == "open"
    with pytest.raises(NoSlot):
        life.ask("late")


# max_trials


def test_max_trials_counts_waiting_running_complete_and_pruned_but_not_failed(
    new_life: NewLife,
) -> None:
    life = new_life(max_trials=4)
    for _ in range(3):
        life.ask("w")
    life.complete(0, 1.0)
    life.tell(1, "pruned")
    life.enqueue(x=0.5)
    assert life.ask("w").number == 3
    assert_finished(life, "max_trials")
    life.tell(2, "fail")
    assert life.view().state == "open"
    assert life.ask("w").number == 4
    assert_finished(life, "max_trials")


def test_what_waits_is_handed_out_at_the_limit(new_life: NewLife) -> None:
    life = new_life(max_trials=1, enqueue=[{"x": 0.1}, {"x": 0.2}])
    assert life.view().state == "open"
    assert [life.ask("w").number for _ in range(2)] == [0, 1]
    assert_finished(life, "max_trials")


def test_at_the_limit_an_ask_waits_for_a_leased_trial_that_may_come_back(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_trials=2, max_attempts=2)
    life.ask("kept for ever")
    life.ask("w1", lease_seconds=60)
    assert_full(life)
    clock.pass_(60)
    assert life.ask("w2", lease_seconds=60).number == 1
    assert_full(life)
    clock.pass_(60)
    assert life.ask("w3", lease_seconds=60).number == 2  # trial 1 failed, so its slot is free
    assert_full(life)
    life.complete(2, 1.0)
    assert_finished(life, "max_trials")


def test_at_the_limit_an_ask_with_params_waits_for_a_waiting_trial_too(new_life: NewLife) -> None:
    life = new_life(max_trials=1, enqueue=[{"x": 0.5}])
    assert life.view().state == "open"
    with pytest.raises(NoSlot):
        life.ask("w", params={"x": 0.25})
    life.ask("w")
    with pytest.raises(StudyFinished):
        life.ask("w", params={"x": 0.25})


def test_a_full_study_still_hands_out_what_is_resumed_or_lost(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_trials=2, max_running=2)
    life.ask("w1")
    life.ask("w2", lease_seconds=60)
    assert life.ask("w1", resume=True).number == 0
    clock.pass_(60)
    assert life.ask("w3").number == 1


def test_max_trials_may_be_raised_lowered_and_lifted(new_life: NewLife) -> None:
    life = new_life(max_trials=1)
    life.ask("w")
    assert_finished(life, "max_trials")
    life.limit(max_trials=3)
    life.ask("w")
    life.limit(max_trials=1)
    assert_finished(life, "max_trials")
    life.limit(max_trials=None)
    life.ask("w")
    life.restart()
    assert life.view().limits.max_trials is None
    assert life.ask("w").number == 3


# max_running


def test_max_running_is_exact_and_holds_back_new_and_waiting_trials_only(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_running=2, enqueue=[{}])
    life.ask("w1", lease_seconds=60)
    life.ask("w2")
    life.enqueue(x=0.5)
    assert_full(life)
    assert life.ask("w2", resume=True).number == 1
    clock.pass_(60)
    assert life.ask("w3").number == 0
    assert_full(life)
    life.complete(0, 1.0)
    assert life.ask("w3").params == {"x": 0.5}
    assert_full(life)


def test_a_study_that_is_finished_says_so_also_where_max_running_is_reached(
    new_life: NewLife,
) -> None:
    life = new_life(max_running=1, max_trials=1)
    life.ask("w")
    assert_finished(life, "max_trials")


def test_max_running_may_be_changed_while_trials_run(new_life: NewLife) -> None:
    life = new_life()
    for _ in range(3):
        life.ask("w")
    life.limit(max_running=2)
    life.complete(0, 1.0)
    assert_full(life)
    life.complete(1, 1.0)
    assert life.ask("w").number == 3
    life.limit(max_running=None)
    assert life.ask("w").number == 4


# target


@pytest.mark.parametrize(
    ("direction", "short", "reached"), [("minimize", 0.51, 0.5), ("maximize", 0.49, 0.5)]
)
def test_a_target_is_reached_by_a_value_as_good_as_it(
    new_life: NewLife, direction: str, short: float, reached: float
) -> None:
    life = new_life(direction=direction, target=0.5)
    for _ in range(4):
        life.ask("w")
    life.complete(0, short)
    life.tell(1, "pruned", reached)
    assert life.view().state == "open"
    life.complete(2, reached)
    assert_finished(life, "target")
    assert life.complete(3, short).state == "complete"
    life.limit(target={"score": reached + (1 if direction == "maximize" else -1)})
    assert life.ask("w").number == 4


def test_a_target_of_several_objectives_must_be_met_in_all_it_names_by_one_trial(
    new_life: NewLife,
) -> None:
    life = new_life(objectives=TWO, target={"accuracy": 0.9, "latency": 10})
    for _ in range(4):
        life.ask("w")
    life.complete(0, 0.95, 11)
    life.complete(1, 0.85, 9)
    assert life.view().state == "open"
    life.limit(target={"latency": 9})
    assert_finished(life, "target")
    life.limit(target={"accuracy": 0.9, "latency": 10})
    life.complete(2, 0.9, 10)
    assert_finished(life, "target")


def test_an_infeasible_trial_does_not_reach_the_target(new_life: NewLife) -> None:
    life = new_life(target=0.5)
    life.ask("w")
    life.complete(0, 0.1, constraints={"c": 0.1})
    assert life.view().state == "open"
    life.ask("w")
    life.complete(1, 0.2, constraints={"c": 0.0})
    assert_finished(life, "target")


# max_failed_trials


def test_max_failed_trials_counts_failures_lost_trials_and_time_outs(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_failed_trials=3, max_attempts=1)
    life.ask("w")
    life.tell(0, "fail", reason="oom")
    life.ask("w", lease_seconds=60)
    clock.pass_(60)
    life.limit(trial_timeout=100)
    life.ask("w")
    clock.pass_(100)
    life.view()
    assert life.view().state == "open"
    clock.pass_(60)
    assert [life.trial(n).fail_reason for n in range(3)] == ["oom", "lease-expired", "timeout"]
    assert_finished(life, "max_failed_trials")
    life.restart()
    assert_finished(life, "max_failed_trials")


def test_max_failed_trials_does_not_count_what_was_cancelled_or_stopped(new_life: NewLife) -> None:
    life = new_life(max_failed_trials=1)
    for _ in range(2):
        life.ask("w")
    life.tell(0, "fail", reason="stopped")
    life.cancel_all()
    assert life.counts() == {"fail": 2}
    assert life.view().state == "open"


def test_failures_of_optuna_s_own_count(new_life: NewLife) -> None:
    life = new_life(max_failed_trials=1)
    outside = optuna_study(life)
    outside.tell(outside.ask(), state=TrialState.FAIL)
    take_in_foreign_writes(life.storage)
    assert life.counts() == {"fail": 1}
    assert_finished(life, "max_failed_trials")


# max_duration


def test_max_duration_runs_from_the_first_ask(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_duration=100)
    clock.pass_(1000)
    life.ask("w", lease_seconds=1000)
    clock.pass_(99)
    life.ask("w")
    life.restart()
    clock.pass_(1)
    assert_finished(life, "max_duration")
    assert life.complete(0, 1.0).state == "complete"
    life.limit(max_duration=200)
    assert life.ask("w").number == 2


# max_cost


def test_max_cost_bounds_the_sum_of_the_trials_costs(new_life: NewLife) -> None:
    life = new_life(max_cost=1)
    life.ask("w", user_attrs={"cost": 0.25})
    life.set_attrs(0, cost=0.5)
    life.tell(0, "fail")
    life.ask("w")
    for ignored in ("1", None, True, [1]):
        life.set_attrs(1, cost=ignored)
        assert life.view().state == "open"
    life.set_attrs(1, cost=0.25)
    assert life.view().state == "open"
    life.complete(1, 1.0, user_attrs={"cost": 0.5})
    assert_finished(life, "max_cost")
    life.restart()
    assert_finished(life, "max_cost")


def test_a_cost_taken_back_leaves_the_sum_as_it_was(new_life: NewLife) -> None:
    life = new_life(max_cost=0.5)
    life.ask("w", user_attrs={"cost": 0.25})
    life.ask("w", user_attrs={"cost": 1e308})
    life.set_attrs(0, cost=1e308)
    assert_finished(life, "max_cost")
    life.set_attrs(0, cost=0.25)
    life.set_attrs(1, cost=10**400)
    life.set_attrs(1, cost=0)
    assert life.ask("w").number == 2
    life.set_attrs(2, cost=0.25)
    assert_finished(life, "max_cost")


# trial_timeout


def test_a_trial_that_runs_too_long_is_told_to_stop_and_fails_one_lease_term_later(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(trial_timeout=100, lease=30)
    seen = life.ask("w")
    for step in range(4):
        clock.pass_(24)
        assert not life.report(0, step, lease=seen.lease_id).stop_requested
    clock.pass_(4)
    assert life.report(0, 9, lease=seen.lease_id).stop_requested  # no other request came in between
    clock.pass_(29)
    assert life.renew(0, seen.lease_id or "").stop_requested
    assert life.trial(0).state == "running"
    clock.pass_(1)
    failed = life.trial(0)
    assert (failed.state, failed.fail_reason, failed.lease) == ("fail", "timeout", None)


def test_without_a_lease_the_grace_is_a_minute(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w")
    clock.pass_(100)
    assert life.trial(0).record.stop_requested
    clock.pass_(59)
    assert life.trial(0).state == "running"
    clock.pass_(1)
    assert life.trial(0).fail_reason == "timeout"


def test_a_trial_told_to_stop_may_still_end_well(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w")
    clock.pass_(100)
    assert life.trial(0).record.stop_requested
    assert life.complete(0, 0.5).state == "complete"
    clock.pass_(1000)
    assert life.trial(0).state == "complete"


def test_the_time_out_runs_from_an_attempt_s_start(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w", lease_seconds=60)
    clock.pass_(90)
    again = life.ask("w2")
    assert again.number == 0
    clock.pass_(99)
    assert not life.trial(0).record.stop_requested
    clock.pass_(1)
    assert life.trial(0).record.stop_requested
    again = life.ask("w2", resume=True)
    assert not again.record.stop_requested
    clock.pass_(99)
    assert (life.trial(0).state, life.trial(0).record.stop_requested) == ("running", False)


def test_a_released_trial_does_not_time_out(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w")
    life.release(0)
    clock.pass_(1000)
    assert life.trial(0).state == "waiting"
    assert not life.ask("w").record.stop_requested


def test_time_outs_go_on_over_a_restart(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w")
    clock.pass_(50)
    life.restart()
    clock.pass_(49)
    assert not life.trial(0).record.stop_requested
    clock.pass_(2)
    assert life.trial(0).record.stop_requested
    life.restart()
    clock.pass_(58)
    assert life.trial(0).state == "running"
    clock.pass_(2)
    assert life.trial(0).fail_reason == "timeout"


def test_a_time_out_may_be_set_changed_and_lifted_while_trials_run(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    life.ask("w")
    clock.pass_(50)
    life.limit(trial_timeout=100)
    clock.pass_(49)
    assert not life.trial(0).record.stop_requested
    life.limit(trial_timeout=1000)
    clock.pass_(100)
    assert not life.trial(0).record.stop_requested
    life.limit(trial_timeout=None)
    clock.pass_(10_000)
    assert not life.trial(0).record.stop_requested
    life.limit(trial_timeout=1)
    assert life.trial(0).record.stop_requested
    clock.pass_(60)
    assert life.trial(0).fail_reason == "timeout"


def test_a_time_out_that_was_lifted_does_not_reach_the_next_attempt(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(trial_timeout=100)
    life.ask("w", lease_seconds=130)
    clock.pass_(100)
    assert life.trial(0).record.stop_requested
    life.limit(trial_timeout=None)
    clock.pass_(30)
    assert life.ask("w2").number == 0
    clock.pass_(10_000)
    assert (life.trial(0).state, life.trial(0).record.stop_requested) == ("running", False)


def test_changing_a_limit_leaves_leases_as_they_are(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    life.ask("w")
    clock.pass_(30)
    life.limit(max_trials=5, trial_timeout=10_000)
    assert life.trial(0).held.expires_at == clock.time() + 30
    clock.pass_(30)
    life.limit(max_trials=6)
    assert life.ask("w2").number == 0


# Paused and stopped


def paused(life: Life) -> None:
    life.change(state="paused")


def stopped(life: Life) -> None:
    life.change(state="finished")


@pytest.mark.parametrize(
    ("close", "error"), [(paused, StudyPaused), (stopped, StudyFinished)], ids=["paused", "stopped"]
)
def test_a_closed_study_hands_out_nothing_until_it_is_opened(
    new_life: NewLife,
    clock: Clock,
    close: Callable[[Life], None],
    error: type[OptunAPIError],
) -> None:
    life = new_life(enqueue=[{}])
    life.ask("lost", lease_seconds=60)
    life.ask("w")
    life.enqueue(x=0.5)
    clock.pass_(60)
    close(life)
    for _ in range(2):
        asks: list[dict[str, Any]] = [{}, {"resume": True}, {"params": {"x": 0.5}}]
        for fields in asks:
            with pytest.raises(error):
                life.ask("w", **fields)
        life.restart()
    clock.pass_(60)
    life.change(state="open")
    assert life.view().state == "open"
    assert life.ask("w2").number == 0


def test_a_paused_study_says_so_also_at_its_limit(new_life: NewLife) -> None:
    life = new_life(max_trials=1)
    life.ask("w")
    life.change(state="paused")
    view = life.view()
    assert (view.state, view.finished_reason) == ("paused", None)
    with pytest.raises(StudyPaused):
        life.ask("w")


def test_to_finish_a_study_asks_every_running_trial_to_stop(new_life: NewLife) -> None:
    life = new_life(enqueue=[{}])
    held = life.ask("w", lease_seconds=60)
    life.ask("w2")
    life.enqueue(x=0.5)
    stopped(life)
    assert_finished(life, "stopped")
    assert life.report(held.number, 1, lease=held.lease_id).stop_requested
    assert [seen.record.stop_requested for seen in life.trials()] == [True, True, False]
    assert life.trials()[2].state == "waiting"


def test_each_change_by_hand_rules_over_the_specification_and_survives(new_life: NewLife) -> None:
    life = new_life(max_trials=5, max_cost=9, user_attrs={"team": "vision"})
    life.change(limits={"max_trials": 7, "target": {"score": 0.1}}, user_attrs={"who": "me"})
    life.change(limits={"max_running": 3})
    for _ in range(2):
        view = life.view()
        limits = view.limits
        assert (limits.max_trials, limits.max_running, limits.max_cost) == (7, 3, 9)
        assert limits.target == {"score": 0.1}
        assert view.user_attrs == {"team": "vision", "who": "me"}
        assert life.study.spec.limits.max_trials == 5
        life.restart()


# The end of a space


@pytest.mark.parametrize("spec", [{"avoid_duplicates": "all"}, {"sampler": {"name": "grid"}}])
def test_a_space_is_exhausted_after_every_point_once(
    new_life: NewLife, spec: dict[str, Any]
) -> None:
    life = new_life(parameters=THREE, **spec)
    for number in range(3):
        life.ask("w")
        if number < 2:
            life.complete(number, 1.0)
    assert {seen.params["n"] for seen in life.trials()} == {1, 2, 3}
    assert_finished(life, "space-exhausted")
    life.restart()
    assert_finished(life, "space-exhausted")
    life.cancel_all()
    assert life.view().state == "open"
    assert life.ask("w").params == life.trial(2).params


def test_what_waits_and_is_lost_is_handed_out_when_the_space_is_exhausted(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="all")
    for _ in range(3):
        life.ask("w", lease_seconds=60)
    assert_full(life)
    life.enqueue(n=1)
    assert life.ask("w").number == 3
    clock.pass_(60)
    assert life.ask("w").number == 0
    for number in range(4):
        life.complete(number, 1.0)
    assert_finished(life, "space-exhausted")
