"""One 64-bit seed for each point of a study."""

import hashlib
import random
import threading

# Asks made at the same time draw for numbers close together, so older counts can be forgotten.
MAX_REMEMBERED = 10_000

# Seeded by the system once. Each call to the system releases Python's lock, and beside a busy event loop
# getting it back takes longer than a draw. `getrandbits` is one call in C, and so safe for threads.
_RANDOM = random.Random()  # nosec B311  # no secret


class Seeds:
    """Seeds that follow from a configured `seed`; random without one. Safe for threads."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self.are_random = seed is None
        self._lock = threading.Lock()
        self._n_taken: dict[tuple[int, int], int] = {}

    def take(self, number: int, attempt: int) -> int:
        """The seed for an attempt at a trial; another one each time it is taken again.

        A trial number is taken twice when two asks are made at the same time.
        """
        if self._seed is None:
            return _RANDOM.getrandbits(64)
        with self._lock:
            if len(self._n_taken) > MAX_REMEMBERED:
                self._n_taken.clear()
            times = self._n_taken.get((number, attempt), 0)
            self._n_taken[number, attempt] = times + 1
        return self._derived(number, attempt, times)

    def peek(self, number: int) -> int:
        """The seed that `take` returns next for the trial's first attempt."""
        if self._seed is None:
            return _RANDOM.getrandbits(64)
        with self._lock:
            times = self._n_taken.get((number, 0), 0)
        return self._derived(number, 0, times)

    def _derived(self, number: int, attempt: int, times: int) -> int:
        words = f"{self._seed} {number} {attempt} {times}".encode()
        return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest())
