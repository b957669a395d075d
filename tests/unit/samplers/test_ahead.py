"""A point drawn in advance equals the one drawn later, and is never out of date."""

import threading
from typing import Any

import pytest

from optunapi.engine.samplers.native.tpe import TPE
from tests.unit.samplers.test_native import NATIVE, finished, loss, run, sampler_of, spec_of

SEEDED = NATIVE | {"seed": 5}
COUNT = 30


def tpe(sampler: dict[str, Any]) -> TPE:
    """A sampler that has seen some trials."""
    found = sampler_of(sampler)
    assert isinstance(found, TPE)
    run(found, spec_of(sampler), COUNT)
    return found


@pytest.mark.parametrize("sampler", [SEEDED, {"name": "random", "seed": 5}])
def test_a_study_goes_the_same_way_with_and_without(sampler: dict[str, Any]) -> None:
    spec = spec_of(sampler)
    expected = run(sampler_of(sampler), spec, 2 * COUNT)
    found = sampler_of(sampler)
    for number, params in enumerate(expected):
        if number % 3:
            found.prepare(number)
        if number % 3 == 2:
            found.prepare(number)  # as after a tell that was repeated
        assert found.sample(number, {}) == params
        found.replace(None, finished(spec, number, params, loss(params)))


def test_a_result_that_came_between_is_taken_into_account() -> None:
    spec = spec_of(SEEDED)
    found, expected = tpe(SEEDED), tpe(SEEDED)
    found.prepare(COUNT + 1)
    for sampler in (found, expected):
        params = run(sampler_of({"name": "random", "seed": 1}), spec, 1)[0]
        sampler.replace(None, finished(spec, COUNT, params, -100.0))
    assert found.sample(COUNT + 1, {}) == expected.sample(COUNT + 1, {})


def test_another_trial_does_not_get_it() -> None:
    found, expected = tpe(SEEDED), tpe(SEEDED)
    found.prepare(COUNT)
    assert found.sample(COUNT + 1, {}) == expected.sample(COUNT + 1, {})


def test_a_point_that_would_not_do_is_drawn_again() -> None:
    found, expected = tpe(SEEDED), tpe(SEEDED)
    found.prepare(COUNT)
    for attempt in range(2):
        assert found.sample(COUNT, {}, attempt) == expected.sample(COUNT, {}, attempt)


def test_only_one_of_two_concurrent_asks_gets_it() -> None:
    found = tpe(NATIVE)
    found.prepare(COUNT)
    assert found.sample(COUNT, {}) != found.sample(COUNT, {})


def test_an_ask_after_that_does_not_wait_for_a_draw() -> None:
    found = tpe(NATIVE)
    found.prepare(COUNT)
    got: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: got.append(found.sample(COUNT, {})), daemon=True)
    with found._draw_lock:  # as a draw does
        asking.start()
        asking.join(30)
        assert got
    assert not asking.is_alive()


def test_an_ask_meanwhile_gets_the_point_that_is_being_drawn() -> None:
    found, expected = tpe(SEEDED), tpe(SEEDED)
    got: list[dict[str, Any]] = []
    with found._draw_lock:
        threads = [
            threading.Thread(target=lambda: found.prepare(COUNT)),
            threading.Thread(target=lambda: got.append(found.sample(COUNT, {}))),
        ]
        threads[0].start()
        while not found._prepare_lock.locked():
            pass
        threads[1].start()
    for thread in threads:
        thread.join(30)
    assert got == [expected.sample(COUNT, {})]
