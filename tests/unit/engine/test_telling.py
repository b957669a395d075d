"""Tells: values, repeats and late results."""

import math
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from optunapi.errors import TrialFinished, ValueInvalid
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life, optuna_study

TWO = {"accuracy": "maximize", "latency": "minimize"}


def test_a_result_is_kept_with_its_constraints_and_attributes(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w", user_attrs={"a": 1, "b": 1})
    told = life.complete(0, 0.5, constraints={"size": 1.5}, user_attrs={"b": 2})
    assert (told.state, told.trial.values) == ("complete", [0.5])
    assert told.trial.constraints == {"size": 1.5}
    assert told.trial.user_attrs == {"a": 1, "b": 2}
    assert told.trial.datetime_complete is not None
    life.restart()
    assert life.trial(0) == told
    assert optuna_study(life).trials[0].constraints == {"size": 1.5}


def test_telling_the_same_twice_gives_the_same_trial(new_life: NewLife, clock: Clock) -> None:
    life = new_life(objectives=TWO)
    for _ in range(3):
        life.ask("w")
    life.report(2, 4, 0.25)
    told = [life.complete(0, 1.0, 2.0), life.tell(1, "fail", reason="oom"), life.tell(2, "pruned")]
    clock.pass_(5)
    before = life.dump()
    assert life.complete(0, 1, 2) == told[0]
    assert life.tell(1, "fail") == told[1]
    assert life.tell(2, "pruned") == told[2]
    assert life.dump() == before
    life.restart()
    assert [life.complete(0, 1.0, 2.0), life.tell(1, "fail"), life.tell(2, "pruned")] == told


def test_telling_another_result_shows_the_stored_one_and_changes_nothing(
    new_life: NewLife,
) -> None:
    life = new_life()
    for _ in range(3):
        life.ask("w")
    life.report(2, 1, 0.25)
    told = [life.complete(0, 1.0), life.tell(1, "fail"), life.tell(2, "pruned")]
    before = life.dump()
    others: list[tuple[int, Callable[[], object]]] = [
        (0, lambda: life.complete(0, 1.5)),
        (0, lambda: life.tell(0, "pruned", 1.0)),
        (0, lambda: life.tell(0, "fail")),
        (1, lambda: life.complete(1, 1.0)),
        (1, lambda: life.tell(1, "pruned")),
        (2, lambda: life.tell(2, "pruned", 0.5)),
        (2, lambda: life.complete(2, 0.25)),
        (2, lambda: life.tell(2, "fail")),
    ]
    for number, call in others:
        with pytest.raises(TrialFinished) as error:
            call()
        assert error.value.extra["trial"].trial == told[number].trial
    assert life.dump() == before


def test_pruned_without_a_value_takes_the_last_report(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    for step, value in ((1, 0.1), (30, 0.3), (2, 0.2)):
        life.report(0, step, value)
    assert life.tell(0, "pruned").trial.values == [0.3]
    assert life.tell(0, "pruned", 0.3).state == "pruned"
    with pytest.raises(TrialFinished):
        life.tell(0, "pruned", 0.2)


def test_pruned_without_value_or_report_has_no_value(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    assert life.tell(0, "pruned").trial.values is None
    assert life.tell(0, "pruned").trial.values is None
    life.assert_sound()


def test_pruned_with_a_value_keeps_that(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    life.report(0, 1, 0.1)
    assert life.tell(0, "pruned", 0.9).trial.values == [0.9]


def test_a_report_is_of_no_use_as_the_values_of_several_objectives(new_life: NewLife) -> None:
    life = new_life(objectives=TWO)
    life.ask("w")
    life.report(0, 1, 0.1)
    assert life.tell(0, "pruned").trial.values is None
    assert life.tell(0, "pruned").state == "pruned"
    life.assert_sound()


@pytest.mark.parametrize("values", [(), (1.0, 2.0), (math.nan,), (math.inf,), (-math.inf,)])
@pytest.mark.parametrize("state", ["complete", "pruned"])
def test_values_that_do_not_fit_are_refused_and_the_trial_stays_open(
    new_life: NewLife, state: str, values: tuple[float, ...]
) -> None:
    if (state, values) == ("pruned", ()):
        return
    life = new_life()
    life.ask("w")
    before = life.dump()
    with pytest.raises(ValueInvalid):
        life.tell(0, state, *values)
    assert life.dump() == before
    assert life.complete(0, 1.0).state == "complete"


def test_a_failure_has_no_values_and_several_objectives_need_as_many(new_life: NewLife) -> None:
    life = new_life(objectives=TWO)
    life.ask("w")
    for state, *values in (("fail", 1.0, 2.0), ("complete", 1.0), ("complete", 1, 2, 3)):
        with pytest.raises(ValueInvalid):
            life.tell(0, str(state), *(float(value) for value in values))
    assert life.trial(0).state == "running"


def test_the_same_step_twice_keeps_the_first_value(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    life.report(0, 1, 0.1)
    life.report(0, 0, 0.0)
    life.report(0, 1, 0.9)
    assert life.trial(0).reports == {0: 0.0, 1: 0.1}


@pytest.mark.parametrize("state", ["paused", "finished"])
def test_tells_and_reports_are_accepted_in_every_state_of_the_study(
    new_life: NewLife, state: str
) -> None:
    life = new_life()
    life.ask("w")
    life.ask("w")
    life.change(state=state)
    life.report(0, 1, 0.5)
    assert life.complete(0, 0.5).state == "complete"
    assert life.tell(1, "pruned").state == "pruned"


def test_attributes_may_be_set_in_every_state(new_life: NewLife) -> None:
    life = new_life(enqueue=[{"x": 0.5}])
    assert life.set_attrs(0, a=1).trial.user_attrs == {"a": 1}
    life.ask("w")
    assert life.set_attrs(0, b=[2]).trial.user_attrs == {"a": 1, "b": [2]}
    life.complete(0, 1.0)
    assert life.set_attrs(0, a=3).trial.user_attrs == {"a": 3, "b": [2]}
    life.assert_sound()
    life.restart()
    assert life.trial(0).trial.user_attrs == {"a": 3, "b": [2]}


def test_what_a_trial_cost_counts_also_if_it_is_known_after_the_end(new_life: NewLife) -> None:
    life = new_life(max_cost=10)
    life.ask("w")
    life.complete(0, 1.0)
    life.set_attrs(0, cost=7)
    assert life.view().state == "open"
    life.complete(0, 1.0, user_attrs={"cost": 99})  # a repeat of the first tell, late
    life.set_attrs(0, cost=10)
    assert life.view().finished_reason == "max_cost"


def test_a_repeated_tell_adds_attributes_and_says_what_it_did_not_store(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    first = life.complete(0, 1.0, user_attrs={"a": 1}, constraints={"c": 1.0})
    assert first.ignored == ()
    again = life.complete(
        0, 1.0, user_attrs={"a": 2, "b": 3}, constraints={"c": 1.0, "d": -1.0}, reason="late"
    )
    assert again.trial.user_attrs == {"a": 1, "b": 3}
    assert again.trial.constraints == {"c": 1.0}
    assert again.ignored == ("user_attrs.a", "constraints.d", "reason")
    assert life.complete(0, 1.0, user_attrs={"a": 1, "b": 3}) == life.trial(0)
    life.assert_sound()


# Late results


def expired(life: Life, clock: Clock) -> int:
    number = life.ask("w", lease_seconds=60, user_attrs={"host": "a", "cost": 5}).number
    clock.pass_(60)
    assert life.trial(number).fail_reason == "lease-expired"
    return number


def timed_out(life: Life, clock: Clock) -> int:
    life.limit(trial_timeout=100)
    number = life.ask("w", user_attrs={"host": "a", "cost": 5}).number
    clock.pass_(100)
    life.view()
    clock.pass_(60)
    assert life.trial(number).fail_reason == "timeout"
    return number


@pytest.mark.parametrize("lose", [expired, timed_out])
def test_a_complete_that_comes_too_late_is_kept_as_a_trial_of_its_own(
    new_life: NewLife, clock: Clock, lose: Callable[[Life, Clock], int]
) -> None:
    life = new_life(max_attempts=1)
    number = lose(life, clock)
    failed = life.trial(number)
    late = life.complete(number, 0.5, constraints={"c": -1.0}, user_attrs={"more": 1})
    assert (late.number, late.state, late.trial.values) == (1, "complete", [0.5])
    assert late.params == failed.params
    assert late.trial.user_attrs == {"host": "a", "more": 1, "late_for": number}
    assert late.trial.constraints == {"c": -1.0}
    assert life.trial(number).state == "fail"
    assert life.view().best == late.trial
    assert life.state.derived.tally.cost == 5  # counted once
    life.assert_sound()


def test_a_late_result_is_what_its_repeats_return_and_other_values_are_refused(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_attempts=1)
    number = expired(life, clock)
    late = life.complete(number, 0.5)
    before = life.dump()
    assert life.complete(number, 0.5) == late
    life.restart()
    assert life.complete(number, 0.5) == late
    with pytest.raises(TrialFinished) as error:
        life.complete(number, 0.7)
    assert error.value.extra["trial"].trial == late.trial
    with pytest.raises(TrialFinished):
        life.tell(number, "pruned", 0.5)
    assert life.tell(number, "fail").number == number
    assert life.dump()[:2] == before[:2]
    assert life.complete(late.number, 0.5) == late


def test_a_late_result_may_exceed_max_trials(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1, max_trials=1)
    number = expired(life, clock)
    assert life.ask("w2").number == 1
    assert life.complete(number, 0.5).number == 2
    assert life.complete(1, 0.7).state == "complete"
    assert life.counts() == {"complete": 2, "fail": 1}


@pytest.mark.parametrize("reason", [None, "oom", "stopped"])
def test_a_complete_after_a_reported_failure_is_refused(
    new_life: NewLife, reason: str | None
) -> None:
    life = new_life()
    life.ask("w")
    life.tell(0, "fail", reason=reason)
    with pytest.raises(TrialFinished):
        life.complete(0, 0.5)
    assert life.counts() == {"fail": 1}


def test_a_complete_after_cancelling_is_refused(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    life.cancel_all()
    with pytest.raises(TrialFinished):
        life.complete(0, 0.5)
    assert life.counts() == {"fail": 1}


def test_a_late_result_must_fit_the_objectives(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1)
    number = expired(life, clock)
    with pytest.raises(ValueInvalid):
        life.complete(number, 0.5, 0.5)
    assert life.counts() == {"fail": 1}


def test_every_finished_trial_is_one_that_optuna_can_copy(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1, enqueue=[{}, {}])
    life.cancel_all("waiting")
    number = expired(life, clock)
    life.complete(number, 0.5)
    life.ask("w")
    life.release(life.trials()[-1].number)
    life.complete(life.trials()[-1].number, 1.0)
    copied = optuna_study(life).trials
    for trial in copied:
        trial._validate()
    assert {trial.state for trial in copied} == {TrialState.FAIL, TrialState.COMPLETE}
