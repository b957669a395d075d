"""Values derived from the trials, and pages of trials."""

from typing import Any

import pytest

from optunapi.engine.reports.pages import Cursor
from optunapi.errors import RequestInvalid, StudyBusy, StudyNotFound
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life, Seen, done, optuna_study

TWO = {"a": "maximize", "b": "minimize"}


def busy(life: Life, clock: Clock) -> None:
    """Every kind of trial: complete, pruned, failed, lost, late, released, waiting, held."""
    for number in range(8):
        life.ask(f"w{number % 3}", key=f"k{number}", lease_seconds=60 + number)
        life.set_attrs(number, cost=number / 10)
    life.report(4, 1, 0.5, life.trial(4).lease_id)
    life.complete(0, 3.0)
    life.complete(1, 1.0, constraints={"c": 1.0})
    life.complete(2, 2.0)
    life.tell(3, "fail", reason="oom", lease=life.trial(3).lease_id)
    life.tell(4, "pruned", lease=life.trial(4).lease_id)
    life.release(5, life.trial(5).lease_id)
    life.enqueue(x=0.5)
    clock.pass_(66)
    life.view()
    life.complete(6, 1.0)
    life.stop(7)


def test_derived_values_match_values_derived_again(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1, trial_timeout=1000, max_cost=100)
    busy(life, clock)
    life.assert_sound()
    before = [
        life.trials(),
        life.view(),
        life.state.derived.tally.failures,
        life.state.derived.tally.cost,
    ]
    life.restart()
    after = [
        life.trials(),
        life.view(),
        life.state.derived.tally.failures,
        life.state.derived.tally.cost,
    ]
    full_term = {seen.number: seen.lease for seen in life.trials()}
    assert [seen.trial for seen in after[0]] == [seen.trial for seen in before[0]]  # type: ignore[attr-defined]
    assert after[2:] == before[2:]
    assert full_term[7] is not None
    life.assert_sound()


def test_a_view_shows_counts_best_and_times(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1, user_attrs={"team": "vision"})
    created = clock.time()
    view = life.view()
    assert (view.state, view.best, view.created_at) == ("open", None, created)
    assert set(view.counts.values()) == {0}
    clock.pass_(10)
    busy(life, clock)
    view = life.view()
    assert life.counts() == {"complete": 4, "fail": 2, "pruned": 1, "running": 1, "waiting": 2}
    assert view.best is not None
    assert (view.best.number, view.best.values) == (9, [1.0])
    assert view.user_attrs == {"team": "vision"}
    assert (view.created_at, view.last_activity_at) == (created, clock.time())
    life.restart()
    assert life.view().created_at == created


def test_best_are_the_best_feasible_complete_trials(new_life: NewLife) -> None:
    life = new_life(direction="maximize")
    for number, (value, constraint) in enumerate([(1, 0), (5, 0.1), (3, -1), (3, 0), (2, 0)]):
        life.ask("w")
        life.complete(number, value, constraints={"c": constraint})
    life.ask("w")
    life.tell(5, "pruned", 9.0)

    def best(n: int | None) -> list[int]:
        views, commit = life.study.best(n)
        commit.result()
        return [view.trial.number for view in views]

    assert best(None) == [2]
    assert best(3) == [2, 3, 4]
    assert best(100) == [2, 3, 4, 0]
    assert life.view().best == life.trial(2).trial


def test_best_of_several_objectives_is_the_pareto_front(new_life: NewLife) -> None:
    life = new_life(objectives=TWO)
    for number, values in enumerate([(1, 1), (2, 2), (1, 2), (3, 3), (9, 0)]):
        life.ask("w")
        life.complete(number, *values, constraints={"c": 1.0 if number == 4 else 0.0})
    for n, expected in ((None, [0, 1, 3]), (2, [0, 1]), (9, [0, 1, 3])):
        views, commit = life.study.best(n)
        commit.result()
        assert [view.trial.number for view in views] == expected
    best = life.view().best
    assert best is not None
    assert best.number == 0


def test_a_change_that_fails_halfway_has_not_happened(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    before = life.dump()
    with pytest.raises(TypeError):
        life.change(state="finished", limits={"max_trials": 1}, user_attrs={"a": object()})
    assert life.dump() == before
    view = life.view()
    assert (view.state, view.limits.max_trials) == ("open", None)
    assert not life.trial(0).record.stop_requested
    life.assert_sound()


# Pages


def walk(life: Life, limit: int, **selection: Any) -> list[Seen]:
    found: list[Seen] = []
    while page := life.trials(after=found[-1].number if found else None, limit=limit, **selection):
        assert len(page) <= limit
        found += page
        assert len(found) <= 1000  # else the pages repeat without end
    return found


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_in_every_order_show_every_trial_once(
    new_life: NewLife, clock: Clock, limit: int
) -> None:
    life = new_life(max_attempts=1)
    busy(life, clock)
    complete = {0: 3.0, 1: 1.0, 2: 2.0, 9: 1.0}
    others = [n for n in range(10) if n not in complete]
    numbers = {
        order: [seen.number for seen in walk(life, limit, order=order)]
        for order in ("number", "-number", "value", "-value")
    }
    assert numbers["number"] == list(range(10))
    assert numbers["-number"] == list(range(9, -1, -1))
    assert numbers["value"] == [1, 9, 2, 0, *others]
    assert numbers["-value"] == [0, 2, 9, 1, *others]


@pytest.mark.parametrize("order", ["number", "-number", "value", "-value"])
def test_pages_are_stable_while_trials_are_added(
    new_life: NewLife, clock: Clock, order: str
) -> None:
    life = new_life(max_attempts=1)
    busy(life, clock)
    there = [seen.number for seen in life.trials(order=order)]
    shown: list[int] = []
    while page := life.trials(order=order, after=shown[-1] if shown else None, limit=2):
        shown += [seen.number for seen in page]
        assert len(shown) <= 100  # else the pages repeat without end
        if len(shown) < 20:
            for value in (0.0, 1.0, 9.0):
                life.complete(life.ask("w", params={"x": 0.5}).number, value)
    assert [number for number in shown if number in there] == there
    assert len(set(shown)) == len(shown)


def test_a_trial_that_completes_between_two_pages_by_value_repeats_none(new_life: NewLife) -> None:
    life = new_life()
    for _ in range(6):
        life.ask("w")
    life.complete(0, 0.0)
    life.complete(1, 1.0)
    first = life.trials(order="value", limit=4)
    assert [seen.number for seen in first] == [0, 1, 2, 3]
    end = Cursor.of(first[-1].trial)
    life.complete(3, -1.0)
    assert [seen.number for seen in life.trials(order="value", after=end)] == [4, 5]


def test_pages_are_filtered_by_state_and_worker(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1)
    busy(life, clock)
    states = [seen.trial.state for seen in life.trials()]
    for state in set(states):
        found = walk(life, 2, state=state, order="-number")
        assert [s.number for s in found] == [n for n in range(9, -1, -1) if states[n] == state]
    assert [seen.number for seen in walk(life, 2, worker="w1")] == [1, 4, 7]
    assert walk(life, 2, worker="nobody") == []


def test_a_page_behind_a_trial_that_is_not_there_is_refused(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    for after in (1, -1, 10**30):
        with pytest.raises(RequestInvalid):
            life.trials(after=after)


def test_several_objectives_have_no_order_by_value(new_life: NewLife) -> None:
    life = new_life(objectives=TWO)
    for order in ("value", "-value"):
        with pytest.raises(RequestInvalid):
            life.trials(order=order)


# Deletion


def test_a_study_is_not_deleted_while_trials_run_unless_forced(new_life: NewLife) -> None:
    life = new_life(enqueue=[{}])
    life.ask("w")
    life.enqueue(x=0.5)
    before = life.dump()
    with pytest.raises(StudyBusy):
        life.study.delete(force=False)
    assert life.dump() == before
    life.complete(0, 1.0)
    done(life.study.delete(force=False))
    with pytest.raises(StudyNotFound):
        life.view()
    assert life.storage.get_all_studies() == []


def test_a_forced_deletion_takes_running_trials_along(new_life: NewLife) -> None:
    life = new_life()
    life.ask("w")
    done(life.study.delete(force=True))
    for call in (life.view, lambda: life.complete(0, 1.0), lambda: life.ask("w")):
        with pytest.raises(StudyNotFound):
            call()


def test_what_optuna_shows_is_what_was_told(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_attempts=1)
    busy(life, clock)
    ours = [seen.trial for seen in life.trials()]
    theirs = optuna_study(life).trials
    assert [(t.state, t.values, t.params, t.intermediate_values) for t in theirs] == [
        (t.state, t.values, t.params, t.intermediate_values) for t in ours
    ]
