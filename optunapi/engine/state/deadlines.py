"""When the leases and time-outs of one study's running trials are due, in seconds since the epoch."""

from collections.abc import Iterable

from optuna.trial import FrozenTrial

from optunapi.engine.leases import DueTimes, Lease, Leases
from optunapi.engine.lifecycle import GRACE_SECONDS
from optunapi.engine.records import TrialRecord


class Deadlines:
    """The leases and time-outs of one study's running trials."""

    def __init__(self, leases: Leases | None = None) -> None:
        self.leases = leases or Leases()
        self.timeouts = DueTimes()

    def begin(self, number: int, record: TrialRecord, timeout: float | None, now: float) -> None:
        """An attempt begins now, with the lease that its record names and this time-out."""
        if record.lease is not None and record.lease_seconds is not None:
            self.leases.grant(number, record.lease, record.lease_seconds, now)
        else:
            self.leases.end(number)
        if timeout is not None:
            self.timeouts.set(number, now + timeout)
        else:
            self.timeouts.clear(number)

    def end(self, number: int) -> None:
        """The attempt has ended."""
        self.leases.end(number)
        self.timeouts.clear(number)

    def resume(
        self, trial: FrozenTrial, known: Lease | None, timeout: float | None, now: float
    ) -> None:
        """Go on with a running trial after the study was read again; `known` is the lease it had."""
        record = TrialRecord.of(trial)
        if known is not None and known.id == record.lease:
            self.leases.keep(trial.number, known)
        elif record.lease is not None and record.lease_seconds is not None:
            # A restart gives every open lease a full term: its holder could not renew meanwhile.
            self.leases.grant(trial.number, record.lease, record.lease_seconds, now)
        self._set_timeout(trial, record, timeout)

    def set_timeouts(self, running: Iterable[FrozenTrial], timeout: float | None) -> None:
        """Apply another `trial_timeout` to the running trials, from the start of their attempts."""
        self.timeouts = DueTimes()
        for trial in running:
            self._set_timeout(trial, TrialRecord.of(trial), timeout)

    def _set_timeout(self, trial: FrozenTrial, record: TrialRecord, timeout: float | None) -> None:
        if record.timed_out_at is not None:
            self.begin_grace(trial.number, record, record.timed_out_at)
        elif timeout is not None and trial.datetime_start is not None:
            self.timeouts.set(trial.number, trial.datetime_start.timestamp() + timeout)

    def begin_grace(self, number: int, record: TrialRecord, timed_out_at: float) -> None:
        """Give a trial that timed out one lease term to end well: its worker may not know yet."""
        self.timeouts.set(number, timed_out_at + (record.lease_seconds or GRACE_SECONDS))

    def next(self, *, expiries: bool = True) -> float | None:
        """When the first is due, or None. Without `expiries` leases are left out."""
        timeout = self.timeouts.next()
        expiry = self.leases.expiries.next() if expiries else None
        if timeout is None or expiry is None:
            return expiry if timeout is None else timeout
        return min(timeout, expiry)

    def __len__(self) -> int:
        return len(self.leases) + len(self.timeouts)
