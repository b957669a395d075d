"""The time of day is set: leases, time-outs and limits go on as if nothing had happened."""

import pytest

from optunapi.engine.clock import STILL_SECONDS
from optunapi.errors import NoSlot, StudyFinished
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import SET, Clock, Life, optuna_study
from tests.unit.storage.support import take_in_foreign_writes

HOUR = 3600.0


@pytest.fixture(params=SET)
def step(request: pytest.FixtureRequest) -> float:
    return float(request.param)


def is_asked_to_stop(life: Life, number: int) -> bool:
    life.study.apply_deadlines()
    return life.trial(number).record.stop_requested


def read_again(life: Life) -> None:
    """Another process writes to the study's database, so that it is read again."""
    optuna_study(life).set_user_attr("written", True)
    optuna_study(life).enqueue_trial({})
    take_in_foreign_writes(life.storage)


def test_a_lease_lasts_its_term(new_life: NewLife, clock: Clock, step: float) -> None:
    life = new_life(lease=60, max_trials=1)
    life.ask("w")
    clock.pass_(30)
    clock.set_(step)
    life.study.apply_deadlines()
    with pytest.raises(NoSlot):
        life.ask("another")
    assert life.trial(0).held.expires_at == clock.time() + 30
    clock.pass_(29)
    with pytest.raises(NoSlot):
        life.ask("another")
    clock.pass_(1)
    assert life.ask("another").number == 0


def test_a_renewal_lasts_a_term_from_then_on(new_life: NewLife, clock: Clock, step: float) -> None:
    life = new_life(lease=60, max_trials=1)
    lease = life.ask("w").lease_id
    assert lease is not None
    clock.set_(step)
    clock.pass_(59)
    answer = life.renew(0, lease)
    assert answer.lease is not None
    assert answer.lease.expires_at == clock.time() + 60
    clock.set_(-step)
    clock.pass_(59)
    with pytest.raises(NoSlot):
        life.ask("another")
    clock.pass_(1)
    assert life.ask("another").number == 0


def test_waiting_for_a_lease_takes_as_long(new_life: NewLife, clock: Clock, step: float) -> None:
    life = new_life(lease=60)
    life.ask("w")
    clock.set_(step)
    clock.pass_(10)
    assert life.study.due_in() == 50


def test_a_time_out_is_due_at_its_time(new_life: NewLife, clock: Clock, step: float) -> None:
    life = new_life(trial_timeout=600, lease=HOUR)
    life.ask("w")
    clock.pass_(300)
    clock.set_(step)
    assert not is_asked_to_stop(life, 0)
    read_again(life)
    assert not is_asked_to_stop(life, 0)
    clock.pass_(299)
    assert not is_asked_to_stop(life, 0)
    clock.pass_(1)
    assert is_asked_to_stop(life, 0)


def test_the_grace_of_a_trial_that_timed_out_lasts_a_term(
    new_life: NewLife, clock: Clock, step: float
) -> None:
    life = new_life(trial_timeout=600)
    life.ask("w", lease_seconds=100)
    life.renew(0, str(life.trial(0).lease_id), HOUR)
    clock.pass_(600)
    assert is_asked_to_stop(life, 0)
    clock.set_(step)
    clock.pass_(HOUR - 1)
    read_again(life)
    life.study.apply_deadlines()
    assert life.trial(0).state == "running"
    clock.pass_(1)
    life.study.apply_deadlines()
    assert life.trial(0).fail_reason == "timeout"


def test_a_time_out_that_is_set_later_counts_from_the_start(
    new_life: NewLife, clock: Clock, step: float
) -> None:
    life = new_life()
    life.ask("w")
    clock.set_(step)
    clock.pass_(300)
    life.limit(trial_timeout=600)
    assert not is_asked_to_stop(life, 0)
    clock.pass_(300)
    assert is_asked_to_stop(life, 0)


def test_max_duration_runs_from_the_first_ask(new_life: NewLife, clock: Clock, step: float) -> None:
    life = new_life(max_duration=600)
    life.ask("w")
    clock.pass_(300)
    clock.set_(step)
    read_again(life)
    clock.pass_(299)
    life.ask("w")
    assert life.study.due_in() == 1
    clock.pass_(1)
    assert life.view().finished_reason == "max_duration"
    with pytest.raises(StudyFinished):
        life.ask("w")


def test_a_study_that_was_closed_and_opened_again_goes_on(
    new_life: NewLife, clock: Clock, step: float
) -> None:
    life = new_life(max_duration=600, trial_timeout=500)
    life.ask("w")
    clock.pass_(300)
    clock.set_(step)
    clock.now()
    clock.pass_(100)
    life.storage.close()
    life.open()
    assert life.study.due_in() == 100
    assert not is_asked_to_stop(life, 0)
    clock.pass_(100)
    assert is_asked_to_stop(life, 0)
    clock.pass_(100)
    assert life.view().finished_reason == "max_duration"


def test_times_are_shown_and_stored_as_they_are_now(
    new_life: NewLife, clock: Clock, step: float
) -> None:
    life = new_life()
    life.ask("w")
    clock.set_(step)
    assert life.ask("w").record.created_at == clock.wall
    life.complete(0, 1.0)
    life.restart()
    done, running = (life.trial(number).trial for number in (0, 1))
    assert done.datetime_start is not None
    assert done.datetime_complete is not None
    assert running.datetime_start is not None
    assert done.datetime_start.timestamp() == clock.wall - step
    assert done.datetime_complete.timestamp() == running.datetime_start.timestamp() == clock.wall
    assert life.view().last_activity_at == max(clock.wall, clock.wall - step)


def test_over_a_restart_the_time_is_what_there_is(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=600, max_duration=2 * HOUR)
    life.ask("w")
    clock.pass_(300)
    life.restart()
    assert life.study.due_in() == 300


def test_after_a_restart_a_start_in_the_future_is_now(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=600, max_duration=HOUR)
    life.ask("w")
    clock.set_(-1e9)
    life.restart()
    assert life.study.due_in() == 600
    clock.pass_(300)
    read_again(life)
    assert life.study.due_in() == 300
    clock.set_(2e9)
    clock.pass_(300)
    assert is_asked_to_stop(life, 0)
    life.limit(trial_timeout=None)
    assert life.view().state == "open"
    clock.pass_(HOUR - 600)
    assert life.view().finished_reason == "max_duration"


def test_a_study_is_idle_for_as_long_as_nothing_happens(
    new_life: NewLife, clock: Clock, step: float
) -> None:
    life = new_life()
    life.enqueue(x=0.5)
    clock.pass_(100)
    clock.set_(step)
    assert life.study.idle_for() == 100


# A server that stood still


def test_a_server_that_stood_still_gives_every_lease_a_fresh_term(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60, max_trials=2)
    for worker in "ab":
        life.ask(worker)
        clock.pass_(30)
    life.renew(0, str(life.trial(0).lease_id))
    clock.tick()
    clock.pass_(2 * HOUR)
    assert [life.trial(n).held.expires_at for n in (0, 1)] == [clock.time() + 60] * 2
    with pytest.raises(NoSlot):  # before any tick
        life.ask("c")
    assert [life.trial(n).held.expires_at for n in (0, 1)] == [clock.time() + 60] * 2
    for _ in range(59):
        clock.pass_(1)
        clock.tick()
    with pytest.raises(NoSlot):
        life.ask("c")
    clock.pass_(1)
    assert life.ask("c").number == 0
    assert life.ask("d").number == 1


def test_a_lease_that_was_granted_after_the_server_went_on_has_no_longer_term(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60, max_trials=1)
    clock.tick()
    clock.pass_(STILL_SECONDS)
    life.ask("w")
    for _ in range(60):
        clock.pass_(1)
        clock.tick()
    assert life.ask("c").number == 0


def test_time_outs_and_durations_count_while_the_server_stands_still(
    new_life: NewLife, clock: Clock
) -> None:
    """Workers on other machines go on."""
    life = new_life(lease=60, trial_timeout=600, max_duration=1200)
    life.ask("w")
    clock.tick()
    clock.pass_(1200)
    assert is_asked_to_stop(life, 0)
    assert life.view().finished_reason == "max_duration"
