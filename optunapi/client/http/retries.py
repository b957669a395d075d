"""Which failures are tried again, and when: exponential backoff with full jitter, for a limited time.

Almost every request may be sent again: asks carry idempotency keys, and for most others a repetition
changes nothing. What is not repeatable is sent again only if it has certainly not been carried out.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from optunapi.errors import Internal, NoSlot, OptunAPIError, ServerUnavailable, TryLater

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
MOST_FAULTS = 2  # a fault of the server (500) may pass, but usually does not

Result = TypeVar("Result")

logger = logging.getLogger("optunapi")


def pause_before(attempt: int, draw: Callable[[float, float], float]) -> float:
    """Return the seconds to wait before retry number `attempt`: at most 0.1, 0.2, 0.4 … 10.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) keeps
    trainers that lost the same server from all returning at the same moment.
    """
    return draw(0.0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 30)))


def may_pass(error: OptunAPIError, faults: int, *, is_repeatable: bool = True) -> bool:
    """Whether the same request may succeed soon, and may be sent again.

    `NoSlot` is an answer and not an outage.
    """
    if not is_repeatable and isinstance(error, Internal | ServerUnavailable):
        return getattr(error, "is_unsent", False)
    if isinstance(error, Internal):
        return faults <= MOST_FAULTS
    return isinstance(error, TryLater) and not isinstance(error, NoSlot)


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Tries a call again for `seconds` seconds after its first failure."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    # The generator of the `random` module belongs to the training, which may have seeded it.
    draw: Callable[[float, float], float] = random.SystemRandom().uniform

    def run(self, attempt: Callable[[], Result], *, is_repeatable: bool = True) -> Result:
        """Return what `attempt` returns.

        A `Retry-After` that ends within the time is waited for. If the request is not repeatable, it is
        not tried again once it may have arrived.

        Raises:
            OptunAPIError: the last error, when trying again cannot help or the time is up.
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
                can_pass = may_pass(error, faults, is_repeatable=is_repeatable)
                if not can_pass or now >= deadline or now + least > deadline:
                    raise
                pause = min(max(least, pause_before(number, self.draw)), deadline - now)
                if number == 2:
                    logger.warning("%s; trying again for up to %g s", error, deadline - now)
            self.sleep(pause)
        raise AssertionError("an endless loop ended")
