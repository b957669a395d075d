"""The clock of a server, which measures what lasts by a clock that nobody sets.

Two kinds of numbers, both in seconds, that are never compared with each other:

    moment   by a clock that only goes on, whatever is done to the machine's time
    time     since the epoch, UTC: what is stored and shown
"""

import math
import time
from collections.abc import Callable

from optunapi.elapsed import elapsed

STEP = 0.05  # seconds by which the time was set at least; otherwise both clocks go at one rate
KEPT_STEPS = 64
TICK_SECONDS = 0.5
STILL_SECONDS = 2.0  # without a tick


class Clock:
    """The moment and the time. Every method may be called from any thread.

    `resumed_at` is the moment at which the server went on after it stood still: its process was stopped, or
    its machine slept, so that nobody could renew a lease. It is noticed between the ticks.
    """

    def __init__(
        self,
        *,
        moment: Callable[[], float] = elapsed,
        time: Callable[[], float] = time.time,
    ) -> None:
        self._moment = moment
        self._time = time
        self.resumed_at = -math.inf
        self._ticked = math.inf
        self._offset = self._ahead()
        # By how much the time was ahead of the moment, and until when, before it was set.
        self._former: tuple[tuple[float, float], ...] = ()

    def now(self) -> float:
        """The moment."""
        now = self._moment()
        if abs(self._time() - now - self._offset) > STEP:
            self._note_step()
        if now - self._ticked >= STILL_SECONDS:
            self.resumed_at = self._ticked = now
        return now

    def tick(self) -> None:
        """Show that the server runs. Call it every `TICK_SECONDS`, from the first call on."""
        self._ticked = self.now()

    def time(self) -> float:
        """The time now."""
        return self.now() + self._offset

    def time_of(self, moment: float) -> float:
        """The time at a moment, as if it had always been set as it was at the last `now`."""
        return moment + self._offset

    def moment_of(self, time: float) -> float:
        """The moment at which a stored time was; one in the future counts as now.

        A time from before a step that was noticed stays as long ago as it is.
        """
        start, found, nearest = -math.inf, 0.0, math.inf
        for end, offset in (*self._former, (self.now(), self._offset)):
            moment = max(start, min(time - offset, end))
            distance = max(0.0, abs(time - offset - moment) - STEP)
            if distance <= nearest:  # where the time was set back, the later one of two
                found, nearest = moment, distance
            start = end
        return found

    def since(self, time: float) -> float:
        """Seconds since a stored time; 0 for one in the future."""
        return max(0.0, self.now() - self.moment_of(time))

    def _note_step(self) -> None:
        offset, now = self._ahead(), self._moment()
        if abs(offset - self._offset) > STEP:
            self._former = (*self._former[1 - KEPT_STEPS :], (now, self._offset))
            self._offset = offset

    def _ahead(self) -> float:
        """By how much the time is ahead of the moment."""
        while True:
            before, time, after = self._moment(), self._time(), self._moment()
            if after - before < STEP / 2:  # else the thread was held up between the two
                return time - before
