"""What lasts is measured by a clock that only goes on, whatever is done to the time."""

import math
import time
from itertools import pairwise
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optunapi.elapsed import elapsed
from optunapi.engine.clock import KEPT_STEPS, STILL_SECONDS
from optunapi.engine.clock import Clock as MachineClock
from tests.support import scaled
from tests.unit.engine.support import SET, Clock

HOUR = 3600.0


def test_the_machine_s_clock_goes_on_and_shows_its_time() -> None:
    clock = MachineClock()
    moments = [clock.now() for _ in range(100)]
    assert all(one <= other for one, other in pairwise(moments))
    before, shown, after = time.time(), clock.time(), time.time()
    assert before - 0.001 <= shown <= after + 0.001
    assert abs(elapsed() - clock.now()) < 1


@pytest.mark.parametrize("step", SET)
def test_the_time_is_what_it_was_set_to_and_moments_are_not_touched(
    clock: Clock, step: float
) -> None:
    moment, shown = clock.now(), clock.time()
    clock.set_(step)
    assert clock.now() == moment
    assert clock.time() == clock.time_of(moment) == shown + step
    clock.pass_(10)
    assert (clock.now(), clock.time()) == (moment + 10, shown + step + 10)


@pytest.mark.parametrize("step", SET)
def test_what_was_stored_stays_as_long_ago_as_it_is(clock: Clock, step: float) -> None:
    stored = clock.time()
    clock.pass_(600)
    clock.set_(step)
    assert clock.since(stored) == 600
    clock.pass_(60)
    assert clock.since(stored) == 660
    assert clock.since(clock.time()) == 0
    clock.set_(-step)
    clock.pass_(60)
    assert clock.since(stored) == 720


def test_a_time_in_the_future_is_now(clock: Clock) -> None:
    assert clock.since(clock.time() + HOUR) == 0
    assert clock.moment_of(clock.time() + 1e9) == clock.now()


def test_after_a_restart_the_time_alone_is_known(clock: Clock) -> None:
    stored = clock.time()
    clock.pass_(600)
    clock.set_(HOUR)
    clock.restart()
    assert clock.since(stored) == 600 + HOUR
    clock.set_(-3 * HOUR)
    clock.restart()
    assert clock.since(stored) == 0


def test_a_time_that_came_twice_is_the_later_one(clock: Clock) -> None:
    stored = clock.time()
    clock.pass_(60)
    clock.set_(-HOUR)
    assert clock.since(stored) == 60  # it has not come again yet
    clock.pass_(2 * HOUR)
    assert clock.since(stored) == HOUR + 60


def test_small_differences_are_no_steps(clock: Clock) -> None:
    shown = clock.time()
    clock.set_(0.04)
    assert clock.time() == shown
    clock.set_(0.04)
    assert clock.time() == pytest.approx(shown + 0.08)


def test_a_thread_that_is_held_up_between_two_clocks_sees_no_step() -> None:
    moment, shown = 100.0, 1000.0
    waits = iter([0.0, 30.0, 0.0])

    def time_and_wait() -> float:
        nonlocal moment, shown
        wait = next(waits, 0.0)
        moment, shown = moment + wait, shown + wait
        return shown

    clock = MachineClock(moment=lambda: moment, time=time_and_wait)
    assert clock.time() in (1000.0, 1030.0)  # from the moment before it waited, or after
    assert clock.time_of(100) == 1000
    assert clock.since(1000) == 30


@pytest.mark.timeout(60)
def test_a_machine_whose_time_is_set_all_the_time_remembers_the_latest_steps(clock: Clock) -> None:
    for _ in range(3 * KEPT_STEPS):
        clock.pass_(60)
        clock.set_(1)
        clock.now()
    stored = clock.time()
    clock.pass_(60)
    clock.set_(HOUR)
    assert clock.since(stored) == 60
    assert len(clock._former) == KEPT_STEPS
    assert clock.since(0) > 0


events = st.lists(
    st.tuples(st.sampled_from(["pass", "set", "store"]), st.integers(1, 5000)), max_size=20
)


@settings(max_examples=scaled(200, 5000), deadline=None)
@given(events)
def test_no_sequence_of_steps_forward_changes_how_long_ago_anything_is(
    events: list[tuple[str, int]],
) -> None:
    clock = Clock()
    stored: list[tuple[float, float]] = []
    for kind, seconds in events:
        if kind == "pass":
            clock.pass_(seconds)
        elif kind == "set":
            clock.set_(seconds)
        else:
            stored.append((clock.time(), clock.passed))
        assert [clock.since(at) for at, _ in stored] == [clock.passed - was for _, was in stored]


@settings(max_examples=scaled(200, 5000), deadline=None)
@given(events)
def test_nothing_is_ever_older_than_it_is(events: list[tuple[str, int]]) -> None:
    """Where the time is set back, it may seem newer once the same time has come again."""
    clock = Clock()
    stored: list[tuple[float, float]] = []
    for kind, seconds in events:
        if kind == "pass":
            clock.pass_(seconds)
        elif kind == "set":
            clock.set_(-seconds)
        else:
            stored.append((clock.time(), clock.passed))
        for at, was in stored:
            assert 0 <= clock.since(at) <= clock.passed - was


def test_a_server_that_stood_still_notices_when_it_goes_on(clock: Clock) -> None:
    clock.pass_(HOUR)
    assert clock.now() > 0
    assert clock.resumed_at == -math.inf  # it never ticked
    clock.tick()
    clock.pass_(STILL_SECONDS - 0.5)
    clock.tick()
    clock.set_(HOUR)
    clock.tick()
    assert clock.resumed_at == -math.inf
    clock.pass_(STILL_SECONDS)
    assert clock.now() == clock.resumed_at == clock.passed
    resumed_at = clock.resumed_at
    clock.pass_(STILL_SECONDS - 0.5)
    clock.tick()
    assert clock.resumed_at == resumed_at


def test_threads_may_use_it_while_the_time_is_set(clock: Clock) -> None:
    stored = clock.time()
    seen: list[float] = []

    def look() -> None:
        seen.extend(clock.since(stored) for _ in range(2000))

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(KEPT_STEPS):
        clock.set_(HOUR)
        clock.now()
    for thread in threads:
        thread.join()
    assert set(seen) == {0.0}
