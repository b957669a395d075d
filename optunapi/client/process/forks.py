"""What belongs to one process: after a fork the child gets its own, and leaves its parent's alone."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")

# Not the process id: that of a process long gone may come again.
_generation = 0


def _forked() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def generation() -> int:
    """A number that differs between a process and its forks."""
    return _generation


class PerProcess(Generic[Made]):
    """One object a process, made when it is first needed. Thread-safe.

    A child takes no lock of its parent, which another thread may have held at the fork, and closes
    none of its connections: they are kept, untouched.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: dict[int, Made] = {}

    def get(self) -> Made:
        """This process's object."""
        found = self._made.get(_generation)
        if found is None:
            found = self._made.setdefault(_generation, self._make())
        return found
