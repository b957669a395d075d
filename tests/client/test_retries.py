"""What is tried again, and when; the clock, the sleep and the randomness are the test's own."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from optunapi.client.http.retries import Retries, may_pass, pause_before
from optunapi.errors import (
    Internal,
    LeaseLost,
    NoSlot,
    OptunAPIError,
    RateLimited,
    ServerUnavailable,
    Standby,
    StorageUnavailable,
    StudyFinished,
    UnexpectedReply,
)


def outage(retry_after: float = 0.0) -> ServerUnavailable:
    return ServerUnavailable("not reached", retry_after=retry_after)


@dataclass
class Time:
    """A clock that moves only by sleeping."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def retries(self, seconds: float) -> Retries:
        # Always the longest possible pause.
        return Retries(
            seconds=seconds,
            clock=lambda: self.now,
            sleep=self.sleep,
            draw=lambda _, longest: longest,
        )


def failing(*errors: OptunAPIError) -> Callable[[], str]:
    left = list(errors)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return attempt


def test_the_longest_pause_doubles_up_to_ten_seconds_and_the_shortest_is_zero() -> None:
    longest = [pause_before(attempt, lambda _, most: most) for attempt in range(1, 10)]
    assert longest == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert pause_before(5, lambda least, _: least) == 0.0
    assert pause_before(100_000, lambda _, most: most) == 10.0


@pytest.mark.parametrize(
    "error", [outage(), RateLimited("x"), StorageUnavailable("x"), Standby("x"), Internal("x")]
)
def test_what_may_pass_is_tried_again_until_it_has(error: OptunAPIError) -> None:
    time = Time()
    assert time.retries(60).run(failing(error, error)) == "answer"
    assert len(time.pauses) == 2


@pytest.mark.parametrize(
    "error", [NoSlot("x"), StudyFinished("x"), LeaseLost("x"), UnexpectedReply("x")]
)
def test_an_answer_is_not_tried_again(error: OptunAPIError) -> None:
    time = Time()
    with pytest.raises(type(error)):
        time.retries(60).run(failing(error))
    assert not time.pauses


def test_retries_end_when_the_time_is_up_and_not_before() -> None:
    time = Time()
    with pytest.raises(ServerUnavailable):
        time.retries(30).run(failing(*[outage()] * 100))
    assert sum(time.pauses) == pytest.approx(30)


def test_without_time_there_is_one_try() -> None:
    time = Time()
    with pytest.raises(ServerUnavailable):
        time.retries(0).run(failing(outage(), outage()))
    assert not time.pauses


def test_the_time_counts_from_the_first_failure_so_that_a_slow_answer_costs_none_of_it() -> None:
    time = Time()
    tries = iter([outage(), outage()])

    def slow() -> str:
        time.now += 100
        for error in tries:
            raise error
        return "answer"

    assert time.retries(150).run(slow) == "answer"


def test_retry_after_is_waited_for() -> None:
    time = Time()
    assert time.retries(60).run(failing(RateLimited("x", retry_after=7.0))) == "answer"
    assert time.pauses == [7.0]


@pytest.mark.parametrize("seconds", [61.0, math.inf])
def test_a_retry_after_beyond_the_time_is_not_waited_for(seconds: float) -> None:
    time = Time()
    with pytest.raises(ServerUnavailable):
        time.retries(60).run(failing(outage(seconds)))
    assert not time.pauses


def test_a_fault_of_the_server_is_tried_again_twice() -> None:
    time = Time()
    with pytest.raises(Internal):
        time.retries(1000).run(failing(*[Internal("x")] * 3))
    assert len(time.pauses) == 2
    assert [may_pass(Internal("x"), faults) for faults in (1, 2, 3)] == [True, True, False]


def test_retries_do_not_use_the_trainings_random_numbers() -> None:
    random.seed(7)
    expected = random.getstate()
    tried = failing(*[outage()] * 3)
    assert Retries(seconds=60, sleep=lambda _: None).run(tried) == "answer"
    assert random.getstate() == expected


def test_a_long_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    Time().retries(60).run(failing(*[outage()] * 6))
    assert len(caplog.records) == 1
    assert "not reached; trying again for up to" in caplog.text
