"""Leases: which worker holds a trial, and when it loses it."""

import pytest

from optunapi.engine.leases import DueTimes
from optunapi.errors import LeaseLost, TrialFinished, TrialWaiting
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life, Seen


def handed_on(life: Life, clock: Clock) -> tuple[Seen, Seen]:
    """A trial as its first worker got it, and as its second worker got it later."""
    first = life.ask("w1", lease_seconds=60)
    clock.pass_(60)
    return first, life.ask("w2", lease_seconds=60)


def test_the_request_s_lease_goes_before_the_study_s(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    own, study_s, none = life.ask(lease_seconds=5), life.ask(), life.ask(leased=False)
    assert own.held.expires_at == clock.time() + 5
    assert study_s.held.expires_at == clock.time() + 60
    assert none.lease is None


def test_a_lease_changed_by_hand_is_for_the_asks_that_follow(new_life: NewLife) -> None:
    life = new_life(lease=60)
    before = life.ask()
    life.change(lease_seconds=[7])
    assert life.ask().held.seconds == 7
    assert life.trial(before.number).held.seconds == 60
    life.change(lease_seconds=[None])
    assert life.ask().lease is None
    life.restart()
    assert life.ask().lease is None
    assert life.view().lease_seconds is None


def test_a_trial_without_a_lease_is_held_for_ever(new_life: NewLife, clock: Clock) -> None:
    life = new_life()
    life.ask("w")
    clock.pass_(10**9)
    assert life.ask("w2").number == 1
    assert life.trial(0).state == "running"


def test_a_report_renews_the_lease(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    for step in range(5):
        clock.pass_(59)
        answer = life.report(seen.number, step, lease=seen.lease_id)
        assert answer.lease is not None
        assert (answer.lease.id, answer.lease.expires_at) == (seen.lease_id, clock.time() + 60)
    assert life.ask("w2").number == 1
    assert life.trial(seen.number).lease == answer.lease


def test_a_renewal_renews_the_lease_and_may_give_it_another_term(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    clock.pass_(50)
    answer = life.renew(seen.number, seen.lease_id or "")
    assert answer.lease is not None
    assert answer.lease.expires_at == clock.time() + 60
    answer = life.renew(seen.number, seen.lease_id or "", 600)
    assert answer.lease is not None
    assert answer.lease.expires_at == clock.time() + 600
    life.report(seen.number, 1, lease=seen.lease_id)
    assert life.trial(seen.number).held.expires_at == clock.time() + 600


def test_a_lease_that_ran_out_but_was_not_handed_on_still_counts_and_is_renewed(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    clock.pass_(61)
    assert life.trial(seen.number).state == "running"
    assert life.report(seen.number, 1, lease=seen.lease_id).lease is not None
    assert life.ask("w2").number == 1
    clock.pass_(61)
    life.renew(seen.number, seen.lease_id or "")
    assert life.ask("w3").number == 1  # the trial of w2, whose lease expired
    assert life.tell(seen.number, "fail", lease=seen.lease_id).state == "fail"


def test_a_worker_that_lost_its_lease_cannot_touch_the_new_one_s_trial(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    old, new = handed_on(life, clock)
    before = life.dump()
    for lease in (old.lease_id, None, "made-up"):
        for call in (
            lambda lease=lease: life.report(0, 1, 0.5, lease),
            lambda lease=lease: life.release(0, lease),
            lambda lease=lease: life.tell(0, "fail", lease=lease),
            lambda lease=lease: life.tell(0, "pruned", 0.5, lease=lease),
            lambda lease=lease: life.renew(0, lease or ""),
        ):
            with pytest.raises(LeaseLost):
                call()
    assert life.dump() == before
    assert life.report(0, 1, 0.5, new.lease_id).lease is not None


@pytest.mark.parametrize("state", ["fail", "pruned"])
def test_its_own_lease_lets_a_worker_end_its_trial(
    new_life: NewLife, clock: Clock, state: str
) -> None:
    life = new_life()
    _, new = handed_on(life, clock)
    assert life.tell(0, state, lease=new.lease_id).state == state


def test_a_trial_without_a_lease_needs_none_and_refuses_any(
    new_life: NewLife,
) -> None:
    life = new_life()
    life.ask("w")
    assert life.report(0, 1).lease is None
    for call in (
        lambda: life.report(0, 2, lease="x"),
        lambda: life.renew(0, "x"),
        lambda: life.release(0, "x"),
        lambda: life.tell(0, "fail", lease="x"),
    ):
        with pytest.raises(LeaseLost):
            call()
    assert life.trial(0).reports == {1: 0.0}
    assert life.release(0).state == "waiting"


def test_a_complete_needs_no_lease_and_the_first_result_wins(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    old, new = handed_on(life, clock)
    told = life.complete(0, 0.5, lease=old.lease_id)
    assert (told.state, told.trial.values, told.lease) == ("complete", [0.5], None)
    with pytest.raises(TrialFinished) as error:
        life.complete(0, 0.7, lease=new.lease_id)
    assert error.value.extra["trial"].trial == told.trial
    for call in (
        lambda: life.report(0, 1, lease=new.lease_id),
        lambda: life.renew(0, new.lease_id or ""),
        lambda: life.release(0, new.lease_id),
        lambda: life.tell(0, "fail", lease=new.lease_id),
        lambda: life.tell(0, "pruned", lease=new.lease_id),
        lambda: life.stop(0),
    ):
        with pytest.raises(TrialFinished) as error:
            call()
        assert error.value.extra["trial"].trial == told.trial
    assert life.trial(0) == told


def test_after_max_attempts_expired_leases_the_trial_fails(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60, max_attempts=2)
    life.ask("w1")
    clock.pass_(60)
    assert (life.ask("w2").number, life.trial(0).attempt) == (0, 2)
    clock.pass_(60)
    assert life.ask("w3").number == 1
    failed = life.trial(0)
    assert (failed.state, failed.fail_reason, failed.lease) == ("fail", "lease-expired", None)
    assert failed.attempt == 2


def test_with_max_attempts_of_one_a_trial_is_not_handed_on(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60, max_attempts=1)
    life.ask("w1")
    clock.pass_(60)
    assert life.ask("w2").number == 1
    assert life.trial(0).fail_reason == "lease-expired"


def test_a_release_raises_the_next_attempt_but_is_no_expiry(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60, max_attempts=2)
    for attempt in range(1, 5):
        seen = life.ask("w")
        assert (seen.number, seen.attempt) == (0, attempt)
        life.release(0, seen.lease_id)
    life.ask("w")
    clock.pass_(60)
    assert (life.ask("w").number, life.trial(0).attempt) == (0, 6)
    clock.pass_(60)
    assert life.trial(0).fail_reason == "lease-expired"


def test_a_resumed_lease_that_had_run_out_is_an_expiry_and_one_that_had_not_is_none(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60, max_attempts=2)
    for _ in range(4):
        clock.pass_(59)
        assert life.ask("w", resume=True).number == 0
    clock.pass_(60)
    assert life.ask("w", resume=True).number == 0
    clock.pass_(60)
    assert life.ask("w", resume=True).number == 1
    assert life.trial(0).fail_reason == "lease-expired"


def test_expiries_are_counted_over_a_restart(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60, max_attempts=2)
    life.ask("w1")
    clock.pass_(60)
    life.ask("w2")
    life.restart()
    clock.pass_(60)
    assert life.trial(0).fail_reason == "lease-expired"


def test_a_restart_gives_every_open_lease_a_full_term(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    lost = life.ask("w2")
    clock.pass_(59)
    life.renew(lost.number, lost.lease_id or "", 600)
    clock.pass_(601)
    life.restart()
    assert life.trial(seen.number).held.expires_at == clock.time() + 60
    assert life.trial(lost.number).held.expires_at == clock.time() + 600
    assert life.trial(seen.number).lease_id == seen.lease_id
    clock.pass_(59)
    assert life.report(seen.number, 1, lease=seen.lease_id).lease is not None
    assert life.ask("w3").number == 2


def test_no_worker_holds_a_released_trial_not_even_the_one_that_released_it(
    new_life: NewLife,
) -> None:
    life = new_life(lease=60)
    held = life.ask("w")
    life.release(0, held.lease_id)
    before = life.dump()
    for call in (
        lambda: life.report(0, 1, lease=held.lease_id),
        lambda: life.report(0, 1),
        lambda: life.renew(0, held.lease_id or ""),
        lambda: life.release(0, held.lease_id),
        lambda: life.release(0),
        lambda: life.tell(0, "fail", lease=held.lease_id),
        lambda: life.tell(0, "pruned"),
    ):
        with pytest.raises(LeaseLost):
            call()
    assert life.dump() == before


def test_a_released_trial_takes_a_complete(new_life: NewLife) -> None:
    life = new_life(lease=60)
    held = life.ask("w")
    life.release(0, held.lease_id)
    told = life.complete(0, 0.5)
    assert (told.state, told.params) == ("complete", held.params)
    assert told.trial.datetime_start is not None  # or Optuna could not copy it to another study
    assert life.ask("w").number == 1
    life.assert_sound()


def test_a_queued_trial_that_was_never_handed_out_takes_nothing(new_life: NewLife) -> None:
    life = new_life(enqueue=[{"x": 0.5}])
    before = life.dump()
    for call in (
        lambda: life.complete(0, 0.5),
        lambda: life.tell(0, "fail"),
        lambda: life.tell(0, "pruned", 0.5),
        lambda: life.report(0, 1),
        lambda: life.release(0),
        lambda: life.stop(0),
    ):
        with pytest.raises(TrialWaiting):
            call()
    with pytest.raises(LeaseLost):
        life.renew(0, "x")
    assert life.dump() == before


def test_stop_is_learnt_at_the_next_report_and_renewal(new_life: NewLife) -> None:
    life = new_life(lease=60)
    seen = life.ask("w")
    assert not life.report(0, 1, lease=seen.lease_id).stop_requested
    assert life.stop(0).record.stop_requested
    assert life.stop(0).record.stop_requested
    assert life.report(0, 2, lease=seen.lease_id).stop_requested
    assert life.renew(0, seen.lease_id or "").stop_requested
    life.restart()
    assert life.report(0, 3, lease=seen.lease_id).stop_requested
    assert life.tell(0, "fail", reason="stopped", lease=seen.lease_id).fail_reason == "stopped"
    with pytest.raises(TrialFinished):
        life.stop(0)


def test_a_worker_that_comes_back_still_learns_that_it_should_stop(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w", lease_seconds=60)
    life.stop(0)
    again = life.ask("w", resume=True, lease_seconds=60)
    assert again.record.stop_requested
    assert life.report(0, 1, lease=again.lease_id).stop_requested


def test_a_stop_is_for_the_worker_that_had_the_trial_and_not_for_the_next(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    life.ask("w", lease_seconds=60)
    life.stop(0)
    clock.pass_(60)
    on = life.ask("w2", lease_seconds=60)
    assert (on.number, on.record.stop_requested) == (0, False)
    life.stop(0)
    assert not life.release(0, on.lease_id).record.stop_requested
    assert not life.ask("w2").record.stop_requested


def test_cancel_fails_every_running_trial_and_no_other(new_life: NewLife) -> None:
    life = new_life(enqueue=[{"x": 0.5}], lease=60)
    life.ask("a")
    life.ask("b")
    life.complete(0, 1.0)
    life.enqueue(x=0.25)
    assert life.cancel_all() == 1
    assert [seen.state for seen in life.trials()] == ["complete", "fail", "waiting"]
    assert (life.trial(1).fail_reason, life.trial(1).lease) == ("cancelled", None)
    assert life.cancel_all("waiting") == 1
    assert life.trial(2).trial.datetime_start is not None
    assert life.cancel_all() == 0
    life.assert_sound()


def test_of_many_times_the_earliest_is_due_first_also_after_thousands_of_renewals() -> None:
    times = DueTimes()
    for round_ in range(100):
        for number in range(50):
            times.set(number, 1000.0 * round_ + number)
    assert len(times._heap) <= 64 + 4 * 50 + 1
    assert times.due(99_000 - 1) is None
    found = []
    while (due := times.due(99_024)) is not None:
        found.append(due)
        times.clear(due)
    assert found == list(range(25))
    assert len(times) == 25
