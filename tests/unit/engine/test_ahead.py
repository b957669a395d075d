"""When the next ask's point may be drawn in advance, and that it is the same point."""

import pytest

from tests.unit.engine.conftest import NewLife

TPE = {"name": "tpe", "seed": 3, "n_startup_trials": 2}


def test_it_may_after_a_tell_that_leaves_no_trial_running(new_life: NewLife) -> None:
    life = new_life(sampler=TPE)
    assert not life.study.is_awaiting_ask
    one, other = life.ask("a"), life.ask("b")
    life.complete(one.number, 1.0)
    assert not life.study.is_awaiting_ask
    life.complete(other.number, 1.0)
    assert life.study.is_awaiting_ask


def test_it_may_not_while_a_trial_waits(new_life: NewLife) -> None:
    life = new_life(sampler=TPE)
    asked = life.ask("a")
    life.enqueue()
    life.complete(asked.number, 1.0)
    assert not life.study.is_awaiting_ask


@pytest.mark.parametrize("sampler", [{"name": "random"}, {"name": "tpe", "engine": "optuna"}])
def test_it_may_not_where_it_saves_no_time(new_life: NewLife, sampler: dict[str, object]) -> None:
    life = new_life(sampler=sampler)
    life.complete(life.ask("a").number, 1.0)
    assert not life.study.is_awaiting_ask


def test_a_study_goes_the_same_way_with_and_without(new_life: NewLife) -> None:
    one, other = new_life(sampler=TPE), new_life(sampler=TPE)
    for number in range(12):
        asked = one.ask("a")
        assert other.ask("a").params == asked.params
        for life in (one, other):
            life.complete(number, float(number % 5))
        other.study.prepare()


def test_a_finished_study_is_unaffected(new_life: NewLife) -> None:
    life = new_life(sampler=TPE, max_trials=1)
    life.complete(life.ask("a").number, 1.0)
    before = life.dump()
    life.study.prepare()
    assert life.dump() == before
