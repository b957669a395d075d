"""When the leases and time-outs of one study's running trials are due, by moments of the clock."""

from collections.abc import Iterable
from datetime import datetime

from optuna.trial import FrozenTrial

from optunapi.engine.clock import Clock
from optunapi.engine.leases import DueTimes, Leases, Term
from optunapi.engine.lifecycle import GRACE_SECONDS
from optunapi.engine.records import TrialRecord


class Deadlines:
    """The leases and time-outs of one study's running trials."""

    def __init__(self, clock: Clock) -> None:
        self.leases = Leases(clock)
        self.timeouts = DueTimes()
        self._clock = clock
        # For each running trial the stored time from which its time-out counts, or the grace after it, and
        # when that was: it stays what it is when the time is set.
        self._counted_from: dict[int, tuple[datetime | float, float]] = {}

    def begin(
        self, trial: FrozenTrial, record: TrialRecord, timeout: float | None, now: float
    ) -> None:
        """An attempt begins now, with the lease that its record names and this time-out."""
        if record.lease is not None and record.lease_seconds is not None:
            self.leases.grant(trial.number, record.lease, record.lease_seconds, now)
        else:
            self.leases.end(trial.number)
        if trial.datetime_start is not None:
            self._counted_from[trial.number] = trial.datetime_start, now
        self.timeouts.clear(trial.number)
        self._set_timeout(trial, record, timeout)

    def begin_grace(self, trial: FrozenTrial, record: TrialRecord, now: float) -> None:
        """Give a trial that timed out now one lease term to end well: its worker may not know yet."""
        if record.timed_out_at is not None:
            self._counted_from[trial.number] = record.timed_out_at, now
        self._set_timeout(trial, record, None)

    def end(self, number: int) -> None:
        """The attempt has ended."""
        self.leases.end(number)
        self.timeouts.clear(number)
        self._counted_from.pop(number, None)

    def read_again(self, running: Iterable[FrozenTrial], timeout: float | None) -> None:
        """Go on with the running trials of a study that was read; what is known of their attempts stays."""
        leases, counted_from = self.leases, self._counted_from
        self.leases, self.timeouts, self._counted_from = Leases(self._clock), DueTimes(), {}
        for trial in running:
            if (known := counted_from.get(trial.number)) is not None:
                self._counted_from[trial.number] = known
            self.resume(trial, leases.term(trial.number), timeout)

    def resume(self, trial: FrozenTrial, term: Term | None, timeout: float | None) -> None:
        """Go on with a running trial; `term` is that of the lease it had, if it is known."""
        record = TrialRecord.of(trial)
        if term is not None and term.id == record.lease:
            self.leases.keep(trial.number, term)
        elif record.lease is not None and record.lease_seconds is not None:
            # A restart gives every open lease a full term: its holder could not renew meanwhile.
            now = self._clock.now()
            self.leases.grant(trial.number, record.lease, record.lease_seconds, now)
        self._set_timeout(trial, record, timeout)

    def set_timeouts(self, running: Iterable[FrozenTrial], timeout: float | None) -> None:
        """Apply another `trial_timeout` to the running trials, from the start of their attempts."""
        self.timeouts = DueTimes()
        for trial in running:
            self._set_timeout(trial, TrialRecord.of(trial), timeout)

    def _set_timeout(self, trial: FrozenTrial, record: TrialRecord, timeout: float | None) -> None:
        stored: datetime | float | None = trial.datetime_start
        if record.timed_out_at is not None:
            stored, timeout = record.timed_out_at, record.lease_seconds or GRACE_SECONDS
        if stored is not None and timeout is not None:
            self.timeouts.set(trial.number, self._moment_of(trial.number, stored) + timeout)

    def _moment_of(self, number: int, stored: datetime | float) -> float:
        known = self._counted_from.get(number)
        if known is None or known[0] != stored:
            time = stored.timestamp() if isinstance(stored, datetime) else stored
            known = self._counted_from[number] = stored, self._clock.moment_of(time)
        return known[1]

    def next(self, *, expiries: bool = True) -> float | None:
        """When the first is due, or None. Without `expiries` leases are left out."""
        timeout = self.timeouts.next()
        expiry = self.leases.expiries.next() if expiries else None
        if timeout is None or expiry is None:
            return expiry if timeout is None else timeout
        return min(timeout, expiry)

    def __len__(self) -> int:
        return len(self.leases) + len(self.timeouts)
