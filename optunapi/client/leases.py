"""The trials that this process holds, and the threads that renew their leases.

A lease is renewed after a third of its term. A renewal that fails is tried again soon. A lease is given
up only when the server says that it is lost: one that has run out still counts until the trial is handed
on.
"""

import atexit
import logging
import math
import queue
import sys
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Self

from optunapi.client.http.retries import Retries
from optunapi.client.http.session import Request, Session
from optunapi.client.process.forks import PerProcess, generation
from optunapi.elapsed import elapsed
from optunapi.errors import Conflict, NotFound, OptunAPIError

LONGEST_INTERVAL = 10.0
SOON = 0.25  # of the interval, after a renewal that failed
MOST_AT_ONCE = 16  # requests, apart from those that are slow
SLOW_SECONDS = 1.0
MOST_WAITING = 2  # threads
# A wait stands still while the machine sleeps: this long after it has woken up, leases are renewed.
LONGEST_WAIT = 1.0
LEAST_WAIT = 0.05  # when requests have to wait for others
RELEASE_SECONDS = 5.0

_Key = tuple[str, int, str | None]  # study, number and lease

logger = logging.getLogger("optunapi")


@dataclass(eq=False, kw_only=True)
class HeldTrial:
    """A trial that was handed to this process, and what is to be sent with its result."""

    study: str  # the study's slug
    number: int
    study_uid: str | None = None  # None if it is not known
    created_at: str | None = None
    lease: str | None = None  # the lease's id; None if there is no lease
    lease_seconds: float = math.inf
    stop_requested: bool = False
    lost: OptunAPIError | None = None  # why the trial is no longer this process's
    ending: bool = False  # whether this process is about to end
    closed: bool = False  # whether this process has told the trial or given it back
    params: dict[str, Any] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    unsent_attrs: dict[str, Any] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, study: str, document: Mapping[str, Any]) -> Self:
        """The trial of the reply to an ask."""
        lease, term = document["lease"], math.inf
        if lease is not None:
            until = datetime.fromisoformat(lease["expires_at"])
            since = datetime.fromisoformat(document["started_at"])
            term = max(1.0, (until - since).total_seconds())
        return cls(
            study=study,
            number=document["number"],
            study_uid=document.get("study_uid"),  # a server before 1.0 has none
            created_at=document["created_at"],
            params=dict(document["params"]),
            user_attrs=dict(document["user_attrs"]),
            constraints=dict(document["constraints"]),
            lease=lease and lease["id"],
            lease_seconds=term,
            stop_requested=document["stop_requested"],
        )

    @property
    def path(self) -> tuple[str, ...]:
        """The trial's path below v1."""
        return "studies", self.study, "trials", str(self.number)

    @property
    def claim(self) -> dict[str, str]:
        """What proves to the server that this is the trial that was handed out, and who holds it."""
        claim = {"lease": self.lease, "study_uid": self.study_uid}
        return {name: value for name, value in claim.items() if value is not None}

    @property
    def interval(self) -> float:
        """Seconds between renewals."""
        return min(self.lease_seconds / 3, LONGEST_INTERVAL)

    def update(self, answer: Mapping[str, Any]) -> None:
        """Note what the server answers to a report or a renewal."""
        self.stop_requested = bool(answer.get("stop_requested"))


class HeldTrials:
    """The held trials of one client. Safe across threads and forks.

    They are held weakly: when the last `Trial` object of one is gone, nobody can tell its result. It is then
    released with a warning, as it is when the interpreter ends. The renewing threads end with the last
    lease. A child process renews and releases none of its parent's leases.
    """

    def __init__(self, session: Session, clock: Callable[[], float] = elapsed) -> None:
        self._renewals = PerProcess(lambda: _Renewals(session, clock))
        self._held: weakref.WeakValueDictionary[tuple[str, int], HeldTrial]
        self._held = weakref.WeakValueDictionary()

    def get(self, study: str, number: int) -> HeldTrial | None:
        """Return the held trial of this number, or None."""
        return self._held.get((study, number))

    def add(self, trial: HeldTrial) -> None:
        """Hold a trial, and renew its lease from now on."""
        former = self.get(trial.study, trial.number)
        if former is not None:
            self._renewals.get().remove(former)
        trial.closed = False
        self._held[trial.study, trial.number] = trial
        if trial.lease is not None:
            self._renewals.get().add(trial)

    def remove(self, trial: HeldTrial) -> None:
        """Hold a trial no longer: it has a result, or it is another worker's."""
        trial.closed = True
        self._renewals.get().remove(trial)
        if self.get(trial.study, trial.number) is trial:
            self._held.pop((trial.study, trial.number), None)


@dataclass(eq=False, kw_only=True)
class _Lease:
    """What it takes to renew or to release a lease without its trial."""

    trial: "weakref.ref[HeldTrial]"
    study: str
    number: int
    path: tuple[str, ...]
    claim: dict[str, str]
    interval: float
    due: float
    sent_at: float | None = None  # when the request that is not answered yet was sent
    is_failing: bool = False

    def __str__(self) -> str:
        return f"trial {self.number} of study {self.study}"


class _Renewals:
    """The leases of one process, and the threads that renew them side by side.

    All threads do the same. As long as a lease has no request of its own, one of them waits for what is
    due. The first leases are those of studies with the fewest requests on their way, and last come those
    that were not renewed before: replies that do not arrive hold up no other lease.
    """

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session = session
        self._clock = clock
        self._process = generation()
        self._lock = threading.Lock()
        self._leases: dict[_Key, _Lease] = {}
        self._waiting = 0  # threads
        self._ending = False
        self._ended = threading.Event()
        # Wakes a waiting thread. The end of an object may interrupt any code, so that it can take no lock;
        # this queue may be used there.
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        _of_this_interpreter.add(self)

    def add(self, trial: HeldTrial) -> None:
        key = trial.study, trial.number, trial.lease
        with self._lock:
            self._leases[key] = _Lease(
                trial=weakref.ref(trial, partial(self._dropped, key)),
                study=trial.study,
                number=trial.number,
                path=trial.path,
                claim=trial.claim,
                interval=trial.interval,
                due=self._clock() + trial.interval,
            )
            self._ensure_one_waits()
        self._woken.put(None)

    def remove(self, trial: HeldTrial) -> None:
        with self._lock:
            self._leases.pop((trial.study, trial.number, trial.lease), None)
        self._woken.put(None)

    def end(self) -> None:
        """Release all, and wait for that for a limited time: the interpreter ends."""
        if self._process != generation():
            return
        with self._lock:
            self._ending = True
            unfinished = [each for each in self._leases.values() if each.trial() is not None]
        if not self._leases:
            return
        self._woken.put(None)
        self._ended.wait(RELEASE_SECONDS)
        for lease in unfinished:  # last, since a warning may be an error
            text = f"{lease} has no result at the end of the program, and is given back"
            warnings.warn(text, RuntimeWarning, stacklevel=1)

    def _dropped(self, key: _Key, _: object) -> None:
        """Have a trial released whose last object is gone."""
        found = self._leases.get(key)
        if found is None or self._process != generation() or sys.is_finalizing():
            return
        self._woken.put(None)
        text = f"{found} was dropped without a result, and is given back: keep the Trial until it is told"
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    def _ensure_one_waits(self) -> None:
        if not self._waiting and any(each.sent_at is None for each in self._leases.values()):
            self._waiting += 1
            threading.Thread(target=self._run, name="optunapi-leases", daemon=True).start()

    def _run(self) -> None:
        while (lease := self._next()) is not None:
            if self._ending or lease.trial() is None:
                self._release(lease)
            else:
                self._renew(lease)
            with self._lock:
                lease.sent_at = None
                self._waiting += 1

    def _next(self) -> _Lease | None:
        """Wait for a lease to renew or to release; return None when this thread is not needed."""
        while True:
            with self._lock:
                now = self._clock()
                found = self._most_urgent(now)
                if found is not None:
                    found.sent_at = now
                    self._waiting -= 1
                    self._ensure_one_waits()
                    return found
                if not self._leases or self._waiting > MOST_WAITING:
                    self._waiting -= 1
                    if not self._leases:
                        self._woken.put(None)  # the next one ends too
                        self._ended.set()
                    return None
                next_due = min(each.due for each in self._leases.values())
            pause = min(max(next_due - now, LEAST_WAIT), LONGEST_WAIT)
            with suppress(queue.Empty):
                self._woken.get(timeout=pause)

    def _most_urgent(self, now: float) -> _Lease | None:
        sent = [each for each in self._leases.values() if each.sent_at is not None]
        if sum(now - (each.sent_at or 0.0) < SLOW_SECONDS for each in sent) >= MOST_AT_ONCE:
            return None
        of_study = Counter(each.study for each in sent)
        ready = [
            each
            for each in self._leases.values()
            if each.sent_at is None and (each.due <= now or self._ending or each.trial() is None)
        ]
        urgency = lambda each: (each.is_failing, of_study[each.study], each.due)  # noqa: E731
        return min(ready, key=urgency, default=None)

    def _forget(self, lease: _Lease) -> None:
        with self._lock:
            for key in [key for key, each in self._leases.items() if each is lease]:
                del self._leases[key]

    def _renew(self, lease: _Lease) -> None:
        began, pause = self._clock(), lease.interval
        timeout = min(self._session.timeout, max(1.0, pause))
        request = Request(
            method="POST", path=(*lease.path, "renew"), body=lease.claim, timeout=timeout
        )
        try:
            answer = self._session.send(request)
            lease.is_failing = False
            if (trial := lease.trial()) is not None:
                trial.update(answer)
        except (Conflict, NotFound) as error:
            trial = lease.trial()
            if trial is not None and not trial.closed:
                # Before the trial shows it, so that whoever sees the loss finds its reason in the log.
                logger.warning("%s: %s", lease, error.detail)
                trial.lost = error
            self._forget(lease)
        except Exception as error:
            # Any exception at all: the other leases depend on these threads.
            pause *= SOON
            if not lease.is_failing:
                text = "the lease of %s was not renewed; trying again: %s"
                is_ours = isinstance(error, OptunAPIError)
                logger.warning(text, lease, error, exc_info=not is_ours)
                lease.is_failing = True
        lease.due = began + pause

    def _release(self, lease: _Lease) -> None:
        timeout = min(self._session.timeout, RELEASE_SECONDS)
        path = (*lease.path, "release")
        request = Request(method="POST", path=path, body=lease.claim, timeout=timeout)
        try:
            Retries(seconds=RELEASE_SECONDS).run(lambda: self._session.send(request))
        except (Conflict, NotFound) as error:  # it has a result, or is another worker's
            logger.info("%s was not given back: %s", lease, error.detail)
        except Exception as error:
            logger.warning("%s was not given back; its lease has to run out: %s", lease, error)
        self._forget(lease)


_of_this_interpreter: "weakref.WeakSet[_Renewals]" = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for each in tuple(_of_this_interpreter):
        each.end()
