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
    """Collections run only where a test asks for one; no other test's server freezes objects."""
    gc.disable()
    callbacks = gc.callbacks.copy()
    gc.callbacks.clear()
    gc.unfreeze()
    gc.collect()
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()
    gc.enable()


def is_frozen(kept: object) -> bool:
    return all(each is not kept for each in gc.get_objects())


def test_what_survives_a_full_collection_is_frozen() -> None:
    with frozen_survivors():
        kept = Cycle()
        gc.collect(1)
        assert not is_frozen(kept), "a small collection freezes nothing"
        gc.collect()
        assert is_frozen(kept)


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


def test_a_cycle_that_was_frozen_is_collected_once_it_is_unfrozen() -> None:
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
