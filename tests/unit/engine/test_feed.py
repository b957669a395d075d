"""The events of a study: every committed change, in order, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from optunapi.engine.state import transitions
from optunapi.engine.state.feed import Event, Feed, UnitCommit
from optunapi.engine.values import StudyView, TrialView
from optunapi.errors import (
    LeaseLost,
    NoSlot,
    StorageUnavailable,
    StudyBusy,
    TrialFinished,
    ValueInvalid,
)
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Caller, Clock, Life, done, optuna_study, request
from tests.unit.engine.test_races import broken, somebody_writes, wait_until_available
from tests.unit.storage.support import take_in_foreign_writes


class Counter:
    """A listener that counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def followed(life: Life) -> Feed:
    life.study.keep_events()
    return life.study.feed


def all_events(feed: Feed, start: int = 0) -> list[Event]:
    found = feed.since(start, 10_000)
    assert found is not None
    return found


def shown(event: Event) -> Any:
    match event.view:
        case TrialView(trial=trial):
            return trial.number, trial.state.name.lower()
        case StudyView():
            return event.view.state
    return event.kind


def seen(feed: Feed, start: int = 0) -> list[Any]:
    return [shown(event) for event in all_events(feed, start)]


@contextmanager
def silence(life: Life) -> Iterator[None]:
    """Check that the block sends no event and notifies no listener."""
    feed, listener = life.study.feed, Counter()
    last = feed.last_id
    stop = feed.listen(listener)
    yield
    stop()
    assert (feed.last_id, listener.count) == (last, 0)


def test_every_change_of_a_trial_is_shown_as_it_became(new_life: NewLife) -> None:
    life = new_life(parameters={})
    feed = followed(life)
    lease = life.ask("w", lease_seconds=60).held
    x = done(life.study.suggest(0, "x", FloatDistribution(0, 1), lease.id))
    life.report(0, 1, 0.5, lease.id)
    life.set_attrs(0, note="n")
    life.stop(0)
    life.complete(0, 1.5)
    assert seen(feed) == [(0, "running")] * 5 + [(0, "complete")]
    views = [event.view for event in all_events(feed) if isinstance(event.view, TrialView)]
    asked, suggested, reported, noted, stopped, told = views
    assert asked.lease == lease
    assert asked.trial.params == {}
    assert suggested.trial.params == {"x": x}
    assert suggested.trial.intermediate_values == {}
    assert reported.trial.intermediate_values == {1: 0.5}
    assert noted.trial.user_attrs == {"note": "n"}
    assert (stopped.lease is None, told.lease) == (False, None)
    assert told.trial.values == [1.5]
    assert told.study == "study"


def test_ids_rise_by_one_and_reading_can_start_after_any(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    for _ in range(5):
        life.ask()
    assert [event.id for event in all_events(feed)] == [1, 2, 3, 4, 5]
    for known in range(6):
        assert seen(feed, known) == [(number, "running") for number in range(known, 5)]
    assert [event.id for event in feed.since(1, 2) or ()] == [2, 3]


def test_an_id_that_is_forgotten_or_unknown_is_told_apart(new_life: NewLife) -> None:
    feed = Feed(100, kept=3)
    feed.keep_events()
    with new_life().state.unit() as unit:
        for _ in range(5):
            feed.add([None], UnitCommit(unit))
    assert feed.last_id == 105
    assert feed.since(105, 10) == []
    assert [event.id for event in feed.since(102, 10) or ()] == [103, 104, 105]
    for unknown in (0, 99, 100, 101, 106, 10**15):
        assert feed.since(unknown, 10) is None


def test_no_event_is_kept_before_the_first_listener(new_life: NewLife) -> None:
    life = new_life()
    feed, listener = life.study.feed, Counter()
    life.ask()
    stop = feed.listen(listener)
    life.ask()
    assert (listener.count > 0, feed.last_id) == (True, 0)
    followed(life)
    life.ask()
    assert seen(feed) == [(2, "running")]
    stop()
    count = listener.count
    life.ask()
    assert listener.count == count
    assert seen(feed)[-1] == (3, "running")


def test_a_refused_change_sends_no_event(new_life: NewLife) -> None:
    life = new_life(max_running=2)
    followed(life)
    lease = life.ask("a", lease_seconds=60).held.id
    life.ask()
    life.complete(1, 1.0)
    life.ask()
    with silence(life):
        with pytest.raises(NoSlot):
            life.ask()
        with pytest.raises(ValueInvalid):
            life.complete(0, 1.0, 2.0)
        with pytest.raises(TrialFinished):
            life.complete(1, 3.0)
        with pytest.raises(LeaseLost):
            life.report(0, 1, 0.5, "other")
        with pytest.raises(StudyBusy):
            life.study.delete(force=False)
        life.renew(0, lease)
        life.complete(1, 1.0)
        life.trials()
        life.view()


def test_nothing_may_be_shown_before_its_commit(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    with somebody_writes(life):
        _, commit = life.study.ask(request())
        (event,) = all_events(feed)
        assert event.commit is commit
        with pytest.raises(TimeoutError):
            commit.result(0)
    commit.result(30)


def test_a_refused_commit_sends_a_reset(new_life: NewLife) -> None:
    life = new_life()
    feed, listener = followed(life), Counter()
    feed.listen(listener)
    with broken(life, "trials"), pytest.raises(StorageUnavailable):
        life.ask()
    wait_until_available(life)
    (event,) = all_events(feed)
    commit = event.commit
    assert commit is not None
    with pytest.raises(StorageUnavailable):
        commit.result(30)
    count = listener.count
    life.study.apply_deadlines()  # as the sweep does
    assert listener.count == count + 1
    assert seen(feed, event.id) == ["reset"]
    life.ask()
    assert seen(feed, event.id) == ["reset", (0, "running")]


def test_a_foreign_write_sends_a_reset(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    life.ask()
    optuna_study(life).enqueue_trial({"x": 0.5})
    take_in_foreign_writes(life.storage)
    life.study.apply_deadlines()
    assert seen(feed) == [(0, "running"), "reset"]


def test_a_foreign_write_sends_a_reset_though_the_request_is_refused(new_life: NewLife) -> None:
    life = new_life(max_running=1)
    feed = followed(life)
    life.ask()
    optuna_study(life).enqueue_trial({"x": 0.5})
    take_in_foreign_writes(life.storage)
    with pytest.raises(NoSlot):
        life.ask()
    life.complete(0, 1.0)
    assert seen(feed) == [(0, "running"), "reset", (0, "complete")]


def test_a_failing_unit_sends_no_event(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    life.ask()

    class Fault(Exception):
        pass

    def fail() -> None:
        with life.state.unit():
            transitions.enqueue(life.state, {"x": 0.5})
            raise Fault

    with pytest.raises(Fault):
        fail()
    life.complete(0, 1.0)
    assert seen(feed) == [(0, "running"), (0, "complete")]


def test_a_change_of_the_study_shows_the_study(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    life.change(user_attrs={"team": "a"})
    life.change(lease_seconds=[60.0])
    life.limit(max_trials=7)
    life.change(state="paused")
    life.change(state="open")
    assert seen(feed) == ["open", "open", "open", "paused", "open"]
    views = [event.view for event in all_events(feed)]
    assert [view.user_attrs for view in views if isinstance(view, StudyView)] == [{"team": "a"}] * 5
    assert isinstance(views[2], StudyView)
    assert views[2].limits.max_trials == 7


def test_stopping_a_study_shows_its_trials_then_the_study(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    life.ask()
    life.ask()
    life.change(state="finished")
    assert seen(feed) == [
        (0, "running"),
        (1, "running"),
        (0, "running"),
        (1, "running"),
        "finished",
    ]


@pytest.mark.parametrize(
    "limits", [{"max_trials": 1}, {"target": 2.0}, {"max_cost": 3}, {"max_failed_trials": 1}]
)
def test_a_study_that_finishes_by_its_trials_is_shown(
    new_life: NewLife, limits: dict[str, Any]
) -> None:
    life = new_life(**limits)
    feed = followed(life)
    life.ask(lease_seconds=60)
    assert seen(feed) == [(0, "running")]
    if "max_failed_trials" in limits:
        life.tell(0, "fail", lease=life.trial(0).lease_id)
    else:
        life.complete(0, 1.0, user_attrs={"cost": 3})
    assert seen(feed)[1:] == [
        (0, "fail" if "max_failed_trials" in limits else "complete"),
        "finished",
    ]
    view = all_events(feed)[-1].view
    assert isinstance(view, StudyView)
    assert view.finished_reason == next(iter(limits))


def test_a_study_that_finishes_by_time_is_shown_at_the_next_sweep(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life(max_duration=100)
    life.ask()
    feed = followed(life)
    clock.pass_(101)
    life.study.apply_deadlines()
    assert seen(feed) == ["finished"]
    life.study.apply_deadlines()
    assert len(all_events(feed)) == 1


def test_a_lease_that_expires_notifies_though_nothing_is_shown(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    feed, listener = followed(life), Counter()
    life.ask(lease_seconds=10)
    feed.listen(listener)
    clock.pass_(11)
    life.study.apply_deadlines()
    assert (listener.count, feed.last_id) == (1, 1)
    life.study.apply_deadlines()
    assert listener.count == 1


def test_what_time_does_to_trials_is_shown(new_life: NewLife, clock: Clock) -> None:
    life = new_life(trial_timeout=50, max_attempts=1)
    feed = followed(life)
    life.ask()
    life.ask(lease_seconds=10)
    for seconds in (11, 40, 61):
        clock.pass_(seconds)
        life.study.apply_deadlines()
    assert seen(feed)[2:] == [(1, "fail"), (0, "running"), (0, "fail")]


def test_the_order_of_events_is_that_of_the_changes_whoever_makes_them(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)

    def work() -> None:
        for _ in range(10):
            number = life.ask().number
            life.report(number, 1, 0.5)
            life.complete(number, 1.0)

    for caller in [Caller(work) for _ in range(8)]:
        caller.outcome()
    found = all_events(feed)
    assert len(found) == 240
    numbers: list[int] = []
    history: dict[int, list[Any]] = {}
    for event in found:
        assert isinstance(event.view, TrialView)
        assert event.commit is not None
        event.commit.result(30)
        trial = event.view.trial
        if trial.number not in history:
            numbers.append(trial.number)
        history.setdefault(trial.number, []).append((trial.state, len(trial.intermediate_values)))
    assert numbers == list(range(80))
    assert all(
        each == [(TrialState.RUNNING, 0), (TrialState.RUNNING, 1), (TrialState.COMPLETE, 1)]
        for each in history.values()
    )


def test_listeners_are_called_outside_of_the_unit(new_life: NewLife) -> None:
    life = new_life()
    looked: list[int] = []

    def look() -> None:
        # In another thread: the thread that changed the study could re-enter its lock.
        caller = Caller(lambda: looked.append(len(life.trials())))
        caller.outcome()

    life.study.feed.listen(look)
    life.ask()
    assert looked


def test_a_deleted_study_sends_no_more_events(new_life: NewLife) -> None:
    life = new_life()
    feed = followed(life)
    life.ask()
    done(life.study.delete(force=True))
    assert seen(feed) == [(0, "running")]


def test_while_anybody_listens_the_study_is_not_idle(new_life: NewLife, clock: Clock) -> None:
    life = new_life()
    clock.pass_(100)
    assert life.study.idle_for() == 100
    stop = life.study.feed.listen(Counter())
    assert life.study.idle_for() == 0
    stop()
    stop()
    assert life.study.idle_for() == 100


def test_it_is_known_when_time_may_free_something(new_life: NewLife, clock: Clock) -> None:
    life = new_life(max_duration=1000, trial_timeout=500)
    assert life.study.due_in() is None
    life.ask(lease_seconds=70)
    life.ask(lease_seconds=40)
    assert life.study.due_in() == 40
    life.renew(1, life.trial(1).held.id, 90)
    assert life.study.due_in() == 70
    clock.pass_(70)
    life.study.apply_deadlines()
    assert life.study.due_in() == 20
    life.cancel_all()
    assert life.study.due_in() == 930
