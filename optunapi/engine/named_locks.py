"""A lock for each name, which is there while somebody holds it or waits for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_users = 0


class NamedLocks:
    """Locks by name. What takes long under one name delays no other, and unused names take no memory."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock of this name while the block runs."""
        with self._guard:
            found = self._locks.setdefault(name, _Lock())
            found.n_users += 1
        try:
            with found.lock:
                yield
        finally:
            with self._guard:
                found.n_users -= 1
                if not found.n_users:
                    del self._locks[name]

    def is_held(self, name: str) -> bool:
        """Whether somebody holds the lock of this name, or waits for it."""
        return name in self._locks
