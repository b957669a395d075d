"""A clock that nobody sets and that only goes on."""

import time

# It goes on while the machine sleeps, as those on other machines do. Linux has a name of its own for it;
# elsewhere the monotonic clock does so.
_STEADY = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def elapsed() -> float:
    """Return the seconds since a fixed moment, such as the machine's start."""
    return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)
