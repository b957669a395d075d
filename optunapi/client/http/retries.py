"""What is tried again, and when: exponential backoff with full jitter, within a budget of seconds.

Everything may be tried again: asks carry idempotency keys, and whatever else changes something comes
to the same when it is repeated.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from optunapi.errors import Internal, NoSlot, OptunAPIError, TryLater

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
FAULTS_BORNE = 2  # a fault of the server may be a passing one, and is mostly none

Result = TypeVar("Result")

logger = logging.getLogger("optunapi")


def pause_before(attempt: int, draw: Callable[[float, float], float]) -> float:
    """Seconds to wait before try number `attempt` (1 is the second): up to 0.1, 0.2, 0.4 … 10.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) keeps
    trainers that lost the same server from coming back all at once.
    """
    return draw(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30)))


def may_pass(error: OptunAPIError, faults: int) -> bool:
    """Whether the same request may succeed soon. No free place is an answer, not an outage."""
    if isinstance(error, Internal):
        return faults <= FAULTS_BORNE
    return isinstance(error, TryLater) and not isinstance(error, NoSlot)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Tries again for up to so many seconds after the first failure."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    # Not of `random` itself: a training that seeds it would find its numbers used up.
    draw: Callable[[float, float], float] = random.SystemRandom().uniform

    def run(self, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns, or its last error once it will not pass or the time is up.

        A `Retry-After` is waited for; one that ends after the time is up is not.
        """
        deadline, faults = None, 0
        for number in count(1):
            try:
                return attempt()
            except OptunAPIError as error:
                now = self.clock()
                deadline = now + self.seconds if deadline is None else deadline
                faults += isinstance(error, Internal)
                least = getattr(error, "retry_after", 0.0)
                if not may_pass(error, faults) or now >= deadline or now + least > deadline:
                    raise
                pause = min(max(least, pause_before(number, self.draw)), deadline - now)
                if number == 2:
                    logger.warning("%s; trying again for up to %g s", error, deadline - now)
            self.sleep(pause)
        raise AssertionError("an endless loop ended")
