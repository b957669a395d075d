"""Objects that belong to one process: after a fork, the child makes its own."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Owned = TypeVar("Owned")

# Not the process id, which the system may use again.
_generation = 0


def _forked() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def generation() -> int:
    """Return a number that differs between a process and its forks."""
    return _generation


class PerProcess(Generic[Owned]):
    """One object for each process, made when it is first used. Thread-safe.

    A child does not touch its parent's object: another thread may have held its lock at the fork, and
    its connections are still the parent's. The object is kept, so that nothing closes it.
    """

    def __init__(self, make: Callable[[], Owned]) -> None:
        self._make = make
        self._objects: dict[int, Owned] = {}

    def get(self) -> Owned:
        """Return this process's object."""
        found = self._objects.get(_generation)
        if found is None:
            found = self._objects.setdefault(_generation, self._make())
        return found
