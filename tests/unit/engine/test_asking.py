"""The order in which an ask looks for a trial, and what it does with each kind."""

import pytest

from optunapi.errors import NoSlot, StudyFinished, TrialNotFound, ValueInvalid
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import THREE, Clock, optuna_study
from tests.unit.storage.support import take_in_foreign_writes


def test_an_ask_samples_a_trial_that_is_running_at_the_worker(new_life: NewLife) -> None:
    life = new_life()
    seen = life.ask("w", user_attrs={"host": "a"})
    assert (seen.number, seen.state, seen.attempt) == (0, "running", 1)
    assert (seen.record.worker, seen.trial.user_attrs) == ("w", {"host": "a"})
    assert seen.lease is None
    assert seen.record.spec_version == life.study.spec.version
    assert 0 <= seen.params["x"] <= 1
    assert life.trial(0) == seen


def test_with_resume_a_worker_gets_its_own_running_trial_before_anything_else(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    lost = life.ask("lost", lease_seconds=10)
    own = life.ask("w")
    life.enqueue(x=0.5)
    clock.pass_(11)
    again = life.ask("w", resume=True)
    assert (again.number, again.attempt, again.params) == (own.number, 2, own.params)
    assert life.ask("w2").number == lost.number


def test_a_resumed_trial_keeps_its_reports_and_gets_a_new_lease(new_life: NewLife) -> None:
    life = new_life(lease=60)
    own = life.ask("w")
    life.report(own.number, 1, 0.5, own.lease_id)
    again = life.ask("w", resume=True)
    assert again.reports == {1: 0.5}
    assert again.lease_id not in (None, own.lease_id)


def test_resume_without_a_trial_of_its_own_asks_as_usual(new_life: NewLife) -> None:
    life = new_life()
    life.ask("other")
    assert life.ask("w", resume=True).number == 1
    life.complete(1, 0.5)
    assert life.ask("w", resume=True).number == 2


def test_without_resume_a_worker_gets_another_trial(new_life: NewLife) -> None:
    life = new_life()
    assert [life.ask("w").number for _ in range(2)] == [0, 1]


def test_a_trial_whose_lease_expired_is_handed_on_before_what_waits(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    lost = life.ask("lost")
    waiting = life.enqueue(x=0.5)
    clock.pass_(60)
    on = life.ask("w")
    assert on.number == lost.number
    assert life.ask("w").number == waiting
    assert life.ask("w").number == waiting + 1


def test_a_trial_is_handed_on_with_its_number_and_params_and_without_its_reports(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    lost = life.ask("lost", user_attrs={"host": "a", "seed": 1})
    life.report(lost.number, 1, 0.5, lost.lease_id)
    clock.pass_(60)
    on = life.ask("w", user_attrs={"host": "b"})
    assert (on.number, on.params) == (lost.number, lost.params)
    assert (on.attempt, on.reports, on.record.worker) == (2, {}, "w")
    assert on.trial.user_attrs == {"host": "b", "seed": 1}
    assert on.lease_id != lost.lease_id
    assert on.held.expires_at == clock.time() + 60
    assert on.trial.datetime_start > lost.trial.datetime_start  # type: ignore[operator]
    assert life.report(on.number, 1, 0.7, on.lease_id).lease == on.lease
    assert life.trial(on.number).reports == {1: 0.7}


def test_of_several_lost_trials_the_one_that_was_lost_first_is_handed_on_first(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    for seconds in (30, 10, 20):
        life.ask("lost", lease_seconds=seconds)
    clock.pass_(30)
    assert [life.ask("w").number for _ in range(4)] == [1, 2, 0, 3]


def test_an_expired_lease_is_not_handed_on_twice(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    life.ask("lost")
    clock.pass_(60)
    assert [life.ask("w").number for _ in range(3)] == [0, 1, 2]


def test_the_oldest_waiting_trial_comes_first_and_its_missing_params_are_sampled(
    new_life: NewLife,
) -> None:
    spec = {
        "x": {"type": "float", "low": 0, "high": 1},
        "n": {"type": "int", "low": 1, "high": 9},
    }
    life = new_life(parameters=spec, enqueue=[{"x": 0.25}, {"n": 7}, {}])
    first, second, third, fourth = (life.ask("w") for _ in range(4))
    assert [first.number, second.number, third.number] == [0, 1, 2]
    assert first.params["x"] == 0.25
    assert 1 <= first.params["n"] <= 9
    assert second.params["n"] == 7
    assert set(third.params) == {"x", "n"}
    assert fourth.number == 3


def test_params_of_an_ask_are_fixed_and_the_rest_is_sampled(new_life: NewLife) -> None:
    life = new_life(
        parameters={
            "x": {"type": "float", "low": 0, "high": 1},
            "c": {"type": "categorical", "choices": [None, True, 3, "a"]},
        }
    )
    seen = life.ask("w", params={"c": True})
    assert seen.params["c"] is True
    assert 0 <= seen.params["x"] <= 1
    assert life.ask("w", params={"x": 1, "c": None}).params == {"x": 1.0, "c": None}
    assert isinstance(life.trial(1).params["x"], float)


@pytest.mark.parametrize("params", [{"y": 1}, {"x": 2}, {"x": "0.5"}, {"x": True}])
def test_params_outside_the_space_are_refused_and_nothing_changes(
    new_life: NewLife, params: dict[str, object]
) -> None:
    life = new_life()
    life.ask("w")
    before = life.dump()
    with pytest.raises(ValueInvalid):
        life.ask("w", params=params, resume=True)
    assert life.dump() == before


def test_an_ask_with_params_takes_neither_what_waits_nor_what_was_lost(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60, enqueue=[{"x": 0.5}])
    life.ask("lost")
    life.enqueue(x=0.75)
    clock.pass_(60)
    seen = life.ask("w", params={"x": 0.125})
    assert (seen.number, seen.params) == (2, {"x": 0.125})
    assert life.trial(1).state == "waiting"


def test_what_a_queued_trial_fixes_may_repeat(new_life: NewLife) -> None:
    life = new_life(parameters=THREE, avoid_duplicates="all", enqueue=[{"n": 1}, {"n": 1}])
    assert [life.ask("w").params["n"] for _ in range(2)] == [1, 1]
    assert {life.ask("w").params["n"] for _ in range(2)} == {2, 3}


def test_a_released_trial_waits_and_goes_out_again_as_it_was(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(lease=60)
    held = life.ask("w")
    life.report(held.number, 1, 0.5, held.lease_id)
    released = life.release(held.number, held.lease_id)
    assert (released.state, released.lease, released.record.worker) == ("waiting", None, None)
    clock.pass_(1)
    again = life.ask("w2")
    assert (again.number, again.params, again.reports) == (held.number, held.params, {})
    assert (again.attempt, again.record.worker) == (2, "w2")
    assert again.lease_id not in (None, held.lease_id)


def test_an_enqueued_trial_of_optuna_is_handed_out(new_life: NewLife) -> None:
    life = new_life()
    optuna_study(life).enqueue_trial({"x": 0.125}, user_attrs={"who": "optuna"})
    take_in_foreign_writes(life.storage)
    seen = life.ask("w")
    assert (seen.number, seen.params, seen.attempt) == (0, {"x": 0.125}, 1)
    assert seen.trial.user_attrs == {"who": "optuna"}


def test_a_trial_of_optuna_s_own_can_be_told(new_life: NewLife) -> None:
    life = new_life()
    optuna_study(life).ask()
    take_in_foreign_writes(life.storage)
    assert life.trial(0).state == "running"
    assert life.complete(0, 1.0).state == "complete"


def test_an_unknown_trial_is_not_found(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    before = life.dump()
    for call in (
        lambda: life.trial(1),
        lambda: life.complete(1, 0.5),
        lambda: life.report(1, 1),
        lambda: life.renew(1, "l"),
        lambda: life.release(1),
        lambda: life.stop(-1),
        lambda: life.set_attrs(10**12),
    ):
        with pytest.raises(TrialNotFound):
            call()
    assert life.dump() == before


def test_a_refused_ask_changes_nothing(new_life: NewLife) -> None:
    life = new_life(max_running=1, max_trials=1)
    life.ask("w", lease_seconds=60)
    before = life.dump()
    with pytest.raises(NoSlot):
        life.ask("w")
    assert life.dump() == before
    life.complete(0, 1.0)
    before = life.dump()
    with pytest.raises(StudyFinished):
        life.ask("w")
    assert life.dump() == before
