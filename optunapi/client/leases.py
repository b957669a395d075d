"""The trials that this process holds, and one thread that renews their leases.

A lease is renewed after a third of its term. A renewal that fails is tried again soon. A lease is given
up only when the server says that it is lost: one that has run out still counts until the trial is handed
on.
"""

import logging
import math
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from optunapi.client.http.session import Request, Session
from optunapi.client.process.forks import PerProcess
from optunapi.errors import Conflict, NotFound, OptunAPIError

LONGEST_INTERVAL = 10.0
SOON = 0.25  # of the interval, after a renewal that failed

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

    The renewing thread ends with the last lease. A child process renews none of its parent's leases.
    """

    def __init__(self, session: Session) -> None:
        # A weak reference, also in the thread: when the client, its studies and trials are gone, nobody
        # can tell a result, and the server must be free to hand the trials on.
        reference = weakref.ref(session)
        self._renewals = PerProcess(lambda: _Renewals(reference))
        self._held: dict[tuple[str, int], HeldTrial] = {}

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
            del self._held[trial.study, trial.number]


class _Renewals:
    """The leases of one process, and the thread that renews them."""

    def __init__(self, session: "weakref.ref[Session]") -> None:
        self._session = session
        self._changed = threading.Condition()
        self._due: dict[HeldTrial, float] = {}
        self._failing: set[HeldTrial] = set()
        self._runs = False

    def add(self, trial: HeldTrial) -> None:
        with self._changed:
            self._due[trial] = time.monotonic() + trial.interval
            if self._runs:
                self._changed.notify()
            else:
                self._runs = True
                threading.Thread(target=self._run, name="optunapi-leases", daemon=True).start()

    def remove(self, trial: HeldTrial) -> None:
        with self._changed:
            self._due.pop(trial, None)
            self._failing.discard(trial)
            self._changed.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            for trial in due:
                self._renew(trial)

    def _next(self) -> list[HeldTrial] | None:
        """Wait for leases that are due; return them, most urgent first, or None if there are none left."""
        with self._changed:
            while self._due:
                now = time.monotonic()
                due = sorted(self._due.items(), key=lambda item: item[1])
                if due[0][1] <= now:
                    return [trial for trial, when in due if when <= now]
                self._changed.wait(due[0][1] - now)
            self._runs = False
            return None

    def _renew(self, trial: HeldTrial) -> None:
        with self._changed:
            if trial not in self._due:
                return
        session, began = self._session(), time.monotonic()
        if session is None:
            self.remove(trial)
            return
        pause = trial.interval
        # A reply that does not arrive must not delay the renewal of the other leases for long.
        timeout = min(session.timeout, max(1.0, pause))
        body, path = trial.claim, (*trial.path, "renew")
        try:
            trial.update(
                session.send(Request(method="POST", path=path, body=body, timeout=timeout))
            )
            self._failing.discard(trial)
        except (Conflict, NotFound) as error:
            if not trial.closed:
                # Before the trial shows it, so that whoever sees the loss finds its reason in the log.
                logger.warning("trial %d of study %s: %s", trial.number, trial.study, error.detail)
                trial.lost = error
            self.remove(trial)
        except Exception as error:
            # Any exception at all: the other leases depend on this thread.
            pause *= SOON
            if trial not in self._failing:
                text = "the lease of trial %d of study %s was not renewed; trying again: %s"
                is_ours = isinstance(error, OptunAPIError)
                logger.warning(text, trial.number, trial.study, error, exc_info=not is_ours)
                self._failing.add(trial)
        with self._changed:
            if trial in self._due:
                self._due[trial] = began + pause
