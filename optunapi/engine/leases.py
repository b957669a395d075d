"""Who holds a trial until when, and what else falls due. Times are seconds since the epoch."""

import heapq
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One attempt's hold on a trial."""

    id: str
    seconds: float
    expires_at: float


class Alarms:
    """At most one alarm a trial; the earliest due is found without looking at the others."""

    def __init__(self) -> None:
        self._when: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, number: int, when: float) -> None:
        """Ring for trial `number` at `when`, instead of whenever it was to ring before."""
        self._when[number] = when
        heapq.heappush(self._heap, (when, number))
        # Entries that were replaced stay in the heap until they reach its top: renewals must not
        # let it grow without end.
        if len(self._heap) > 64 + 4 * len(self._when):
            self._heap = [(when, number) for number, when in self._when.items()]
            heapq.heapify(self._heap)

    def clear(self, number: int) -> None:
        """Do not ring for this trial."""
        self._when.pop(number, None)

    def due(self, now: float) -> int | None:
        """The trial whose alarm was due first, or None. It stays due until set anew or cleared."""
        while self._heap:
            when, number = self._heap[0]
            if self._when.get(number) != when:
                heapq.heappop(self._heap)
            elif when <= now:
                return number
            else:
                return None
        return None

    def next(self) -> float | None:
        """When the first alarm rings, or None."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._when)


class Leases:
    """The leases of one study's running trials.

    A lease that ran out is still held, and may be renewed, until the trial is handed on.
    """

    def __init__(self) -> None:
        self._held: dict[int, Lease] = {}
        self._alarms = Alarms()
        self._expired: dict[int, None] = {}

    def grant(self, number: int, lease_id: str, seconds: float, now: float) -> Lease:
        """Give the trial to one attempt for `seconds` from `now`; also how a lease is renewed."""
        lease = Lease(id=lease_id, seconds=seconds, expires_at=now + seconds)
        self.keep(number, lease)
        return lease

    def keep(self, number: int, lease: Lease) -> None:
        """Take over a lease as it is."""
        self._held[number] = lease
        self._expired.pop(number, None)
        self._alarms.set(number, lease.expires_at)

    def end(self, number: int) -> None:
        """Nobody holds the trial any more."""
        self._held.pop(number, None)
        self._expired.pop(number, None)
        self._alarms.clear(number)

    def get(self, number: int) -> Lease | None:
        """The trial's lease, run out or not."""
        return self._held.get(number)

    def expire(self, now: float) -> list[int]:
        """The trials whose leases have run out since this was last asked, earliest first."""
        found: list[int] = []
        while (number := self._alarms.due(now)) is not None:
            self._alarms.clear(number)
            self._expired[number] = None
            found.append(number)
        return found

    def has_expired(self, number: int) -> bool:
        """Whether the trial's lease had run out when `expire` was last asked."""
        return number in self._expired

    def first_expired(self) -> int | None:
        """The trial to hand on next, or None."""
        return next(iter(self._expired), None)

    def all_expired(self) -> list[int]:
        """The trials to hand on, in the order in which they are to be."""
        return list(self._expired)

    def next_expiry(self) -> float | None:
        """When the next lease runs out, or None."""
        return self._alarms.next()

    def __len__(self) -> int:
        return len(self._held)
