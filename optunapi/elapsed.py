"""The clock for what lasts: it only goes on, whatever happens to the date, also while the machine sleeps."""

import sys
import time


def _clock() -> int | None:
    """Return the system's clock that goes on in sleep, if `time.monotonic` is not that already."""
    if sys.platform == "linux":
        return time.CLOCK_BOOTTIME
    return getattr(time, "CLOCK_MONOTONIC", None) if sys.platform == "darwin" else None


_CLOCK = _clock()


def elapsed() -> float:
    """Return the seconds since a fixed moment, such as the machine's start. Sleep counts.

    On Linux and macOS `time.monotonic`, by which waits and time-outs run, stands still in sleep.
    """
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)
