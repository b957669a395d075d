"""Idempotency keys: a repeated request returns the same trial."""

import pytest

from optunapi.errors import KeyReused, LeaseLost, SpecConflict, StudyPaused
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Caller, Clock, held_at, put_gate


def test_the_same_key_gives_the_same_trial(new_life: NewLife) -> None:
    life = new_life(lease=60)
    first = life.ask("w", key="k")
    assert life.ask("w", key="k") == first
    assert life.ask("w", key="other").number == 1
    assert life.ask("w").number == 2


def test_the_same_key_gives_the_same_trial_after_a_restart(new_life: NewLife) -> None:
    life = new_life(lease=60)
    first = life.ask("w", key="k")
    life.restart()
    again = life.ask("w", key="k")
    assert (again.trial, again.lease_id) == (first.trial, first.lease_id)


def test_a_key_with_another_request_is_refused(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w", key="k")
    before = life.dump()
    for fields in ({"worker": "other"}, {"worker": "w", "lease_seconds": 5.0}):
        with pytest.raises(KeyReused):
            life.ask(**fields, key="k")
    life.restart()
    with pytest.raises(KeyReused):
        life.ask("other", key="k")
    assert life.dump() == before


def test_a_key_whose_trial_was_handed_on_lost_its_lease(new_life: NewLife, clock: Clock) -> None:
    life = new_life(lease=60)
    life.ask("w", key="k")
    clock.pass_(60)
    on = life.ask("w2", key="k2")
    assert on.number == 0
    with pytest.raises(LeaseLost):
        life.ask("w", key="k")
    assert life.ask("w2", key="k2") == on
    life.restart()
    with pytest.raises(LeaseLost):
        life.ask("w", key="k")
    assert life.ask("w2", key="k2").trial == on.trial


def test_a_key_of_a_finished_trial_shows_it(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w", key="k")
    told = life.complete(0, 0.5)
    assert life.ask("w", key="k") == told


def test_a_key_that_took_a_waiting_or_resumed_trial_gives_it_again(new_life: NewLife) -> None:
    life = new_life(enqueue=[{"x": 0.5}])
    waiting = life.ask("w", key="k1")
    assert life.ask("w", key="k1") == waiting
    resumed = life.ask("w", resume=True, key="k2")
    assert (resumed.number, resumed.attempt) == (0, 2)
    assert life.ask("w", resume=True, key="k2") == resumed
    with pytest.raises(LeaseLost):
        life.ask("w", key="k1")


def test_a_repeat_is_answered_whatever_became_of_the_study(new_life: NewLife) -> None:
    life = new_life(max_trials=1)
    first = life.ask("w", key="k", params={"x": 0.5})
    life.change(state="paused")
    assert life.ask("w", key="k", params={"x": 0.5}) == first
    with pytest.raises(StudyPaused):
        life.ask("w", key="new")
    life.change(state="finished")
    assert life.ask("w", key="k", params={"x": 0.5}).trial.params == {"x": 0.5}
    life.change(state="open", limits={"max_trials": None})
    life.study.hold_spec(SpecConflict("changed", diff=[]))
    assert life.ask("w", key="k", params={"x": 0.5}).number == 0
    with pytest.raises(SpecConflict):
        life.ask("w", key="new")


def test_a_refused_ask_does_not_use_up_its_key(new_life: NewLife) -> None:
    life = new_life()
    life.change(state="paused")
    with pytest.raises(StudyPaused):
        life.ask("w", key="k")
    life.change(state="open")
    assert life.ask("w", key="k").number == 0


def test_two_asks_with_one_key_at_once_are_one_trial(new_life: NewLife) -> None:
    life = new_life()
    gate = put_gate(life)
    with held_at(gate, lambda: life.ask("w", key="k")) as first:
        second = Caller(lambda: life.ask("w", key="k"))
    assert first.outcome() == second.outcome()
    assert life.counts() == {"running": 1}
    assert gate.arrivals == 1


def test_two_asks_with_one_key_and_one_waiting_trial_are_one_trial(new_life: NewLife) -> None:
    life = new_life(enqueue=[{}, {}])
    gate = put_gate(life)
    with held_at(gate, lambda: life.ask("w", key="k")) as first:
        second = Caller(lambda: life.ask("w", key="k"))
    assert first.outcome() == second.outcome()
    assert life.counts() == {"running": 1, "waiting": 1}
