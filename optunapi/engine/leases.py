"""The leases of one study's trials, and `DueTimes`, which finds the earliest. In seconds since the epoch."""

import hashlib
import heapq
from dataclasses import dataclass


def lease_id(key: str, attempt: int) -> str:
    """The id of an attempt's lease, made from the trial's `key`.

    So every lease that a trial ever had is known again without a list of them, and nobody can guess the
    lease of another attempt.
    """
    digest = hashlib.blake2b(f"{key} {attempt}".encode(), digest_size=8).hexdigest()
    return f"{attempt}-{digest}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One attempt's hold on a trial."""

    id: str
    seconds: float
    expires_at: float


class DueTimes:
    """At most one time for each trial; the earliest is found without a look at the others."""

    def __init__(self) -> None:
        self._when: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def set(self, number: int, when: float) -> None:
        """Set the time of trial `number`, in place of the one it had."""
        self._when[number] = when
        heapq.heappush(self._heap, (when, number))
        # Replaced entries stay in the heap until they reach its top: renewals must not let it grow
        # without end.
        if len(self._heap) > 64 + 4 * len(self._when):
            self._heap = [(when, number) for number, when in self._when.items()]
            heapq.heapify(self._heap)

    def clear(self, number: int) -> None:
        """Forget the time of this trial."""
        self._when.pop(number, None)

    def due(self, now: float) -> int | None:
        """The trial that was due first, or None. It stays due until its time is set or cleared."""
        when = self.next()
        return self._heap[0][1] if when is not None and when <= now else None

    def next(self) -> float | None:
        """The earliest time, or None."""
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
    leases that `expire` has not returned yet.
    """

    def __init__(self) -> None:
        self._held: dict[int, Lease] = {}
        self.expiries = DueTimes()
        self._expired: dict[int, None] = {}

    def grant(self, number: int, lease_id: str, seconds: float, now: float) -> None:
        """Lease the trial for `seconds` from `now`; this also renews a lease."""
        self.keep(number, Lease(id=lease_id, seconds=seconds, expires_at=now + seconds))

    def keep(self, number: int, lease: Lease) -> None:
        """Take over a lease as it is."""
        self._held[number] = lease
        self._expired.pop(number, None)
        self.expiries.set(number, lease.expires_at)

    def end(self, number: int) -> None:
        """End the trial's lease, if it has one."""
        self._held.pop(number, None)
        self._expired.pop(number, None)
        self.expiries.clear(number)

    def get(self, number: int) -> Lease | None:
        """The trial's lease, expired or not."""
        return self._held.get(number)

    def expire(self, now: float) -> list[int]:
        """The trials whose leases have expired since the last call, earliest first."""
        found: list[int] = []
        while (number := self.expiries.due(now)) is not None:
            self.expiries.clear(number)
            self._expired[number] = None
            found.append(number)
        return found

    def has_expired(self, number: int) -> bool:
        """Whether the last call of `expire` found the trial's lease expired."""
        return number in self._expired

    def expired(self) -> list[int]:
        """The trials to hand on, in their order."""
        return list(self._expired)

    def __len__(self) -> int:
        return len(self._held)
