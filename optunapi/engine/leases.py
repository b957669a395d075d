"""The leases of one study's trials, and `DueTimes`, which finds the earliest. By moments of the clock."""

import hashlib
import heapq
from dataclasses import dataclass
from typing import NamedTuple

from optunapi.engine.clock import Clock


def lease_id(key: str, attempt: int) -> str:
    """The id of an attempt's lease, made from the trial's `key`.

    So every lease that a trial ever had is known again without a list of them, and nobody can guess the
    lease of another attempt.
    """
    digest = hashlib.blake2b(f"{key} {attempt}".encode(), digest_size=8).hexdigest()
    return f"{attempt}-{digest}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One attempt's hold on a trial, as it is shown: `expires_at` is a time, in seconds since the epoch."""

    id: str
    seconds: float
    expires_at: float


class Term(NamedTuple):
    """The present term of a lease; it begins and ends at a moment."""

    id: str
    seconds: float
    start: float

    @property
    def end(self) -> float:
        """When the lease expires if it is not renewed."""
        return self.start + self.seconds


class DueTimes:
    """At most one moment for each trial; the earliest is found without a look at the others."""

    def __init__(self) -> None:
        self._when: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, number: int, when: float) -> None:
        """Set the moment of trial `number`, in place of the one it had."""
        self._when[number] = when
        heapq.heappush(self._heap, (when, number))
        # Replaced entries stay in the heap until they reach its top: renewals must not let it grow
        # without end.
        if len(self._heap) > 64 + 4 * len(self._when):
            self._heap = [(when, number) for number, when in self._when.items()]
            heapq.heapify(self._heap)

    def clear(self, number: int) -> None:
        """Forget the moment of this trial."""
        self._when.pop(number, None)

    def due(self, now: float) -> int | None:
        """The trial that was due first, or None. It stays due until its moment is set or cleared."""
        when = self.next()
        return self._heap[0][1] if when is not None and when <= now else None

    def next(self) -> float | None:
        """The earliest moment, or None."""
        while self._heap:
            when, number = self._heap[0]
            if self._when.get(number) == when:
                return when
            heapq.heappop(self._heap)
        return None

    def __len__(self) -> int:
        return len(self._when)


class Leases:
    """The leases of one study's running trials.

    An expired lease is still held, and may be renewed, until its trial is handed on. `expiries` has the
    leases that `expire` has not returned yet. If the server stood still, each of these has a full term from
    when it went on, as after a restart: its holder could not renew it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[int, Term] = {}
        self.expiries = DueTimes()
        self._expired: dict[int, None] = {}

    def grant(self, number: int, lease_id: str, seconds: float, now: float) -> None:
        """Lease the trial for `seconds` from `now`; this also renews a lease."""
        self.keep(number, Term(lease_id, seconds, now))

    def keep(self, number: int, term: Term) -> None:
        """Take over a lease as it is."""
        self._held[number] = term
        self._expired.pop(number, None)
        self.expiries.set(number, term.end)

    def end(self, number: int) -> None:
        """End the trial's lease, if it has one."""
        self._held.pop(number, None)
        self._expired.pop(number, None)
        self.expiries.clear(number)

    def get(self, number: int) -> Lease | None:
        """The trial's lease, expired or not."""
        term = self._held.get(number)
        if term is None:
            return None
        self._clock.now()  # it notices what happened since the last look
        if number not in self._expired:
            term = self._resumed(term)
        return Lease(id=term.id, seconds=term.seconds, expires_at=self._clock.time_of(term.end))

    def term(self, number: int) -> Term | None:
        """The present term of the trial's lease, expired or not."""
        return self._held.get(number)

    def expire(self, now: float) -> list[int]:
        """The trials whose leases have expired since the last call, earliest first."""
        found: list[int] = []
        while (number := self.expiries.due(now)) is not None:
            term = self._resumed(self._held[number])
            if term.end > now:
                self.keep(number, term)
                continue
            self.expiries.clear(number)
            self._expired[number] = None
            found.append(number)
        return found

    def _resumed(self, term: Term) -> Term:
        resumed_at = self._clock.resumed_at
        return term if term.start >= resumed_at else term._replace(start=resumed_at)

    def has_expired(self, number: int) -> bool:
        """Whether the last call of `expire` found the trial's lease expired."""
        return number in self._expired

    def expired(self) -> list[int]:
        """The trials to hand on, in their order."""
        return list(self._expired)

    def __len__(self) -> int:
        return len(self._held)
