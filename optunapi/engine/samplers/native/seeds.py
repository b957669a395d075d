"""What the points of a study follow from: a number of 64 bits for each."""

import hashlib
import random
import threading

# Asks at the same time draw for numbers that are close together: older ones need not be remembered.
MAX_GIVEN = 10_000

# The system's own randomness, asked once: a call to it gives Python's lock away, and who draws beside a
# busy event loop then waits for its turn longer than drawing takes. One call in C is safe for threads.
_CHANCE = random.Random()  # nosec B311  # no secret


class Seeds:
    """A seed for each point: from the configured one, else by chance."""

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._given: dict[tuple[int, int], int] = {}

    @property
    def are_random(self) -> bool:
        """Whether they are by chance."""
        return self._seed is None

    def of(self, number: int, attempt: int) -> int:
        """That of a trial's attempt; asked for again, that of another trial's at the same time."""
        if self._seed is None:
            return _by_chance()
        with self._lock:
            if len(self._given) > MAX_GIVEN:
                self._given.clear()
            times = self._given.get((number, attempt), 0)
            self._given[number, attempt] = times + 1
        return self._made(number, attempt, times)

    def next(self, number: int) -> int:
        """What `of` gives next for the trial's first attempt."""
        if self._seed is None:
            return _by_chance()
        with self._lock:
            times = self._given.get((number, 0), 0)
        return self._made(number, 0, times)

    def _made(self, number: int, attempt: int, times: int) -> int:
        words = f"{self._seed} {number} {attempt} {times}".encode()
        return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest())


def _by_chance() -> int:
    return _CHANCE.getrandbits(64)
