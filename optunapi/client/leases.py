"""One thread that renews every lease this process holds, a third of its term after the last time.

A renewal that fails is tried again soon, and a lease is given up only when the server says that it is
lost: one that ran out still counts until the trial was handed on.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optunapi.client.process.forks import PerProcess
from optunapi.errors import Conflict, NotFound, OptunAPIError

LONGEST_INTERVAL = 10.0
SOON = 0.25  # of the interval, after a renewal that failed

logger = logging.getLogger("optunapi")


@dataclass(eq=False, kw_only=True)
class Hold:
    """A trial that was handed to this process, and what is to be told with its result.

    `lease_seconds` is the lease's term. `lost` says why the trial is not this process's any more.
    `ending`: the process is to end, and gives the trial back unless that has a result by then.
    """

    study: str
    number: int
    created_at: str | None = None
    lease: str | None = None
    lease_seconds: float = 60.0
    stop_requested: bool = False
    lost: OptunAPIError | None = None
    ending: bool = False
    closed: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> float:
        """Seconds between renewals."""
        return min(self.lease_seconds / 3, LONGEST_INTERVAL)

    def learn(self, answer: Mapping[str, Any]) -> None:
        """Take over what a report's or renewal's answer says."""
        self.stop_requested = bool(answer.get("stop_requested"))


Renewer = Callable[[], Callable[[Hold], None] | None]


class LeaseKeeper:
    """Renews leases in the background. Its thread ends with the last lease. Thread- and fork-safe:
    a child renews nothing of its parent's.

    `renewer` gives what renews a lease, and None once nobody is left who could tell a result: then the
    trials are left to be handed on.
    """

    def __init__(self, renewer: Renewer, clock: Callable[[], float] = time.monotonic) -> None:
        self._renewing = PerProcess(lambda: _Renewing(renewer, clock))

    def keep(self, hold: Hold) -> None:
        """Renew this hold's lease from now on."""
        if hold.lease is not None:
            self._renewing.get().add(hold)

    def drop(self, hold: Hold) -> None:
        """Renew it no more."""
        self._renewing.get().remove(hold)


class _Renewing:
    """One process's leases, and the thread that renews them."""

    def __init__(self, renewer: Renewer, clock: Callable[[], float]) -> None:
        self._renewer = renewer
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[Hold, float] = {}
        self._failures: set[Hold] = set()
        self._runs = False

    def add(self, hold: Hold) -> None:
        with self._changed:
            self._due[hold] = self._clock() + hold.interval
            if self._runs:
                self._changed.notify()
            else:
                self._runs = True
                threading.Thread(target=self._run, name="optunapi-leases", daemon=True).start()

    def remove(self, hold: Hold) -> None:
        with self._changed:
            self._due.pop(hold, None)
            self._failures.discard(hold)
            self._changed.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            for hold in due:
                self._renew_one(hold)

    def _next(self) -> list[Hold] | None:
        """The holds that are due, most urgent first, once there are any; None once none is left."""
        with self._changed:
            while self._due:
                now = self._clock()
                due = sorted(self._due.items(), key=lambda item: item[1])
                if due[0][1] <= now:
                    return [hold for hold, when in due if when <= now]
                self._changed.wait(due[0][1] - now)
            self._runs = False
            return None

    def _renew_one(self, hold: Hold) -> None:
        with self._changed:
            if hold not in self._due:
                return
        renew = self._renewer()
        if renew is None:
            self.remove(hold)
            return
        pause, began = hold.interval, self._clock()
        try:
            renew(hold)
        except (Conflict, NotFound) as error:
            if not hold.closed:
                hold.lost = error
                logger.warning("trial %d of study %s: %s", hold.number, hold.study, error.detail)
            self.remove(hold)
            return
        except Exception as error:
            # Whatever it is, the other leases depend on this thread.
            pause *= SOON
            if hold not in self._failures:
                logger.warning(
                    "the lease of trial %d of study %s was not renewed, trying on: %s",
                    hold.number,
                    hold.study,
                    error,
                    exc_info=not isinstance(error, OptunAPIError),
                )
                self._failures.add(hold)
        else:
            self._failures.discard(hold)
        with self._changed:
            if hold in self._due:
                self._due[hold] = began + pause
