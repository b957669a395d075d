"""What survives a full collection is set aside, and cycles in it are found once it is taken back."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from optunapi.garbage import survivors_set_aside, take_back


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_set_aside() -> Iterator[None]:
    gc.unfreeze()
    gc.collect()
    yield
    gc.unfreeze()


def test_what_survives_a_full_collection_is_set_aside() -> None:
    with survivors_set_aside():
        kept = [[] for _ in range(10_000)]  # type: list[list[int]]
        before = gc.get_freeze_count()
        gc.collect(1)
        assert gc.get_freeze_count() == before, "a small collection sets nothing aside"
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)


def test_what_was_there_before_is_set_aside_from_the_start() -> None:
    tracked = len(gc.get_objects())
    with survivors_set_aside():
        assert gc.get_freeze_count() >= tracked * 0.9


def test_a_cycle_that_came_since_is_collected() -> None:
    with survivors_set_aside():
        gone = weakref.ref(Cycle())
        assert gone() is not None
        gc.collect()
        assert gone() is None


def test_a_cycle_that_was_set_aside_is_collected_once_it_is_taken_back() -> None:
    with survivors_set_aside():
        large = Cycle()
        gone = weakref.ref(large)
        gc.collect()
        del large
        gc.collect()
        assert gone() is not None
        take_back()
        gc.collect()
        assert gone() is None


def test_nothing_stays_set_aside_after_the_end() -> None:
    callbacks = list(gc.callbacks)
    with survivors_set_aside():
        gc.collect()
    assert gc.get_freeze_count() == 0
    assert gc.callbacks == callbacks
    gc.collect()
    assert gc.get_freeze_count() == 0
