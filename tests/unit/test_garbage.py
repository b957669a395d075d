"""What survives a full collection is frozen, and cycles in it are found once it is unfrozen."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from optunapi.garbage import frozen_survivors, unfreeze


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_frozen() -> Iterator[None]:
    gc.unfreeze()
    gc.collect()
    yield
    gc.unfreeze()


def test_what_survives_a_full_collection_is_frozen() -> None:
    with frozen_survivors():
        kept = [[] for _ in range(10_000)]  # type: list[list[int]]
        before = gc.get_freeze_count()
        gc.collect(1)
        assert gc.get_freeze_count() == before, "a small collection sets nothing aside"
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)


def test_what_was_there_before_is_frozen_from_the_start() -> None:
    tracked = len(gc.get_objects())
    with frozen_survivors():
        assert gc.get_freeze_count() >= tracked * 0.9


def test_a_cycle_that_came_since_is_collected() -> None:
    with frozen_survivors():
        gone = weakref.ref(Cycle())
        assert gone() is not None
        gc.collect()
        assert gone() is None


def test_a_cycle_that_was_frozen_is_collected_once_it_is_taken_back() -> None:
    with frozen_survivors():
        large = Cycle()
        gone = weakref.ref(large)
        gc.collect()
        del large
        gc.collect()
        assert gone() is not None
        unfreeze()
        gc.collect()
        assert gone() is None


def test_nothing_stays_frozen_after_the_end() -> None:
    callbacks = list(gc.callbacks)
    with frozen_survivors():
        gc.collect()
    assert gc.get_freeze_count() == 0
    assert gc.callbacks == callbacks
    gc.collect()
    assert gc.get_freeze_count() == 0
