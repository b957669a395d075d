"""What is known of one live study, and the changes a trial can go through, each in one place.

Everything here happens inside `unit`, which nobody else can enter: between looking and changing
nothing happens. What is derived from the trials (tally, leases, time-outs, taken points) is kept up
change by change, and made anew whenever memory was: after a refused commit, or a change made to the
database by somebody else.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.leases import Alarms, Leases
from optunapi.engine.lifecycle import (
    GRACE_SECONDS,
    LEASE_EXPIRED,
    TIMEOUT,
    FinishedReason,
    Usage,
    finished_reason,
    meets_target,
)
from optunapi.engine.pruners.incremental import make_rule
from optunapi.engine.pruners.rules import Rule
from optunapi.engine.records import SPEC, STUDY, StudyRecord, TrialRecord
from optunapi.engine.samplers.native.engine import native_sampler
from optunapi.engine.spec.read import Limits, StudySpec
from optunapi.engine.state.feed import Feed, News
from optunapi.engine.state.taken_points import Points
from optunapi.engine.state.tally import Tally
from optunapi.engine.state.templates import Relative, waiting_trial
from optunapi.engine.store import Store, Unit
from optunapi.engine.values import TrialView
from optunapi.errors import StudyNotFound, TrialNotFound

Clock = Callable[[], float]
NewId = Callable[[], str]


class StudyState:
    """One study in a store, with what its limits and leases need to know.

    `clock` gives seconds since the epoch, `new_id` a fresh lease id.
    """

    def __init__(
        self,
        store: Store,
        study_id: int,
        *,
        name: str,
        spec: StudySpec,
        clock: Clock,
        new_id: NewId,
        feed: Feed | None = None,
    ) -> None:
        self.store = store
        self.id = study_id
        self.name = name
        self.clock = clock
        self._new_id = new_id
        self._spec = spec
        self._seen_reloads = -1
        self._last_reloads = -1
        self._touched = False
        self.news = News(feed or Feed())
        self.relative: dict[int, Relative] = {}  # of open trials, see `suggesting`
        self.tally = Tally()
        self.leases = Leases()
        self.points = Points(spec)
        self.pruning = self._new_pruning()
        self._timeouts = Alarms()
        self.native = native_sampler(spec.problem)  # told of every trial
        self.record = StudyRecord()
        self._limits = (spec, self.record, spec.limits)
        self.last_activity_at: float | None = None
        self.opened_at = clock()

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """Nobody else looks or changes meanwhile; what is changed inside is committed together."""
        with self.store.unit() as unit:
            reloads = self.reloads()
            if reloads != self._seen_reloads:
                self._derive()
                self._seen_reloads = reloads
                if self._last_reloads not in (-1, reloads):
                    self.news.reread()
                self._last_reloads = reloads
            self._touched = False
            try:
                yield unit
            except BaseException:
                self.news.drop()
                if self._touched:
                    # The store puts its trials back; what was derived has counted them already.
                    self._seen_reloads = -1
                raise
            report = self.news.report(unit, self.view)
        if report is not None:
            report.end()
            self.news.feed.tell()

    @contextmanager
    def settled_unit(self, *, expiries: bool = True) -> Iterator[Unit]:
        """A unit before which everything happened that time alone brings about: see `settle`.

        That has happened whatever becomes of the unit. Without `expiries` only time-outs are looked at:
        a lease that ran out still counts until its trial is handed on.
        """
        with self.unit() as unit:
            if not self._is_overdue(expiries):
                yield unit
                return
        with self.unit():
            if expiries:
                self.settle()
            else:
                self.time_out()
        with self.unit() as unit:
            yield unit

    def _is_overdue(self, expiries: bool) -> bool:
        moments = (self._timeouts.next(), self.leases.next_expiry() if expiries else None)
        now = self.clock()
        return any(moment is not None and moment <= now for moment in moments)

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """Whether units can be made here in no time; if so everybody else waits until the end."""
        with self.store.try_exclusive() as is_free:
            yield is_free and self.reloads() == self._seen_reloads

    def reloads(self) -> int:
        """Rises when what was seen of the study may not be true any more: look again.

        Raises:
            StudyNotFound: it was deleted.
        """
        try:
            return self.store.reloads(self.id)
        except KeyError:
            raise StudyNotFound(f"study {self.name!r} was deleted") from None

    @property
    def spec(self) -> StudySpec:
        """The specification in force."""
        return self._spec

    @property
    def limits(self) -> Limits:
        """The specification's limits, with those that were set by hand."""
        spec, record, limits = self._limits
        if spec is not self._spec or record is not self.record:
            limits = replace(self._spec.limits, **self.record.limits)
            self._limits = (self._spec, self.record, limits)
        return limits

    @property
    def lease_seconds(self) -> float | None:
        """How long a trial is leased by default, or None: for ever, without a lease."""
        by_hand = self.record.lease_seconds
        return by_hand[0] if by_hand else self._spec.lease_seconds

    def trial(self, number: int) -> FrozenTrial:
        """The trial of this number.

        Raises:
            TrialNotFound: there is none.
        """
        try:
            return self.store.trial(self.id, number)
        except KeyError:
            raise TrialNotFound(f"the study has no trial {number}") from None

    def running(self) -> list[FrozenTrial]:
        """The running trials, in the order of their numbers."""
        return [t for t in self.store.open_trials(self.id) if t.state == TrialState.RUNNING]

    def view(self, trial: FrozenTrial) -> TrialView:
        """The trial as it is now."""
        return TrialView(study=self.name, trial=trial, lease=self.leases.get(trial.number))

    def usage(self) -> Usage:
        """What the limits look at."""
        counts = self.store.counts(self.id)
        return Usage(
            waiting=counts[TrialState.WAITING],
            running=counts[TrialState.RUNNING],
            complete=counts[TrialState.COMPLETE],
            pruned=counts[TrialState.PRUNED],
            leased=len(self.leases),
            failures=self.tally.failures,
            cost=self.tally.cost,
            first_ask_at=self.record.first_ask_at,
            target_reached=self._target_reached(),
            unused_points=not self.points.exhausted,
            stopped=self.record.state == "stopped",
        )

    def finished_reason(self) -> FinishedReason | None:
        """Why an ask would get `study-finished` now, or None."""
        return finished_reason(self.limits, self.usage(), self.clock())

    # Changes, all to be made inside `unit`.

    def set_spec(self, spec: StudySpec) -> None:
        """Go by another specification from now on."""
        self.store.set_study_system_attr(self.id, SPEC, spec.to_json())
        self._spec = spec
        self._derive()
        self.news.study()

    def back_to_spec(self, spec: StudySpec) -> None:
        """Go by the former specification: the unit that set another one was refused."""
        self._spec = spec
        self._seen_reloads = -1

    def set_record(self, **changes: Any) -> None:
        """Change what is kept with the study."""
        self._touched = True
        self.record = self.record.with_(**changes)
        self.store.set_study_system_attr(self.id, STUDY, self.record.to_json())
        self.last_activity_at = self.clock()
        if changes.keys() != {"first_ask_at"}:
            self.news.study()

    def set_limits(self, changes: Mapping[str, Any]) -> None:
        """Set limits by hand; they rule over the specification's."""
        self.set_record(limits={**self.record.limits, **changes})
        self._timeouts = Alarms()
        for trial in self.running():
            self._watch_timeout(trial, TrialRecord.of(trial))

    def enqueue(self, point: Mapping[str, Any]) -> FrozenTrial:
        """A waiting trial with some parameters fixed."""
        return self.add(*waiting_trial(point, self._spec, self.clock()))

    def add(self, template: FrozenTrial, record: TrialRecord) -> FrozenTrial:
        """A new trial."""
        self._touched = True
        template.system_attrs = {**template.system_attrs, **record.attrs()}
        trial = self.store.add_trial(self.id, template)
        self._take(None, trial)
        self.news.trial(trial)
        return trial

    def update(
        self, trial: FrozenTrial, record: TrialRecord | None = None, **changes: Any
    ) -> FrozenTrial:
        """The trial with `changes` (those of `Store.update_trial`) and, if given, another record."""
        self._touched = True
        if record is not None:
            changes["system_attrs"] = {**changes.get("system_attrs", {}), **record.attrs()}
        changed = self.store.update_trial(trial._trial_id, **changes)
        self._take(trial, changed)
        self.news.trial(changed)
        return changed

    def start(
        self,
        trial: FrozenTrial,
        record: TrialRecord,
        *,
        worker: str | None,
        lease_seconds: float | None,
        key: str | None,
        request: str,
        place: int = 0,
        **changes: Any,
    ) -> FrozenTrial:
        """Hand out a trial that exists: its next attempt begins now."""
        if self.leases.has_expired(trial.number):
            record = record.with_(expiries=record.expiries + 1)
        record = self.next_attempt(
            record,
            worker=worker,
            lease_seconds=lease_seconds,
            key=key,
            request=request,
            place=place,
        )
        changed = self.update(
            trial,
            record,
            state=TrialState.RUNNING,
            datetime_start=self.local_time(),
            **changes,
        )
        self.hold(changed.number, record)
        return changed

    def next_attempt(
        self,
        record: TrialRecord,
        *,
        worker: str | None,
        lease_seconds: float | None,
        key: str | None,
        request: str,
        place: int = 0,
    ) -> TrialRecord:
        """The record of a trial that is handed out."""
        attempt = record.attempt + 1
        # A stop by hand is for its worker, also when that comes back; a time-out was the attempt's.
        is_back = worker is not None and worker == record.worker
        return record.with_(
            created_at=record.created_at or self.clock(),
            worker=worker,
            attempt=attempt,
            lease=None if lease_seconds is None else self._new_id(),
            lease_seconds=lease_seconds,
            stop_requested=is_back and record.stop_requested and record.timed_out_at is None,
            timed_out_at=None,
            prune_at=None,
            keys={**record.keys, **({key: (attempt, request, place)} if key else {})},
        )

    def hold(self, number: int, record: TrialRecord) -> None:
        """Begin the attempt's lease and its time-out."""
        if record.lease is not None and record.lease_seconds is not None:
            self.leases.grant(number, record.lease, record.lease_seconds, self.clock())
        else:
            self.leases.end(number)
        timeout = self.limits.trial_timeout
        if timeout is not None:
            self._timeouts.set(number, self.clock() + timeout)
        else:
            self._timeouts.clear(number)

    def close(
        self, trial: FrozenTrial, record: TrialRecord, state: TrialState, **changes: Any
    ) -> FrozenTrial:
        """End an open trial."""
        changed = self.update(
            trial,
            record.with_(lease=None, lease_seconds=None),
            state=state,
            # Optuna takes no finished trial without a start; one that waits has none.
            datetime_start=trial.datetime_start or self.local_time(),
            datetime_complete=self.local_time(),
            **changes,
        )
        self.leases.end(trial.number)
        self._timeouts.clear(trial.number)
        return changed

    def fail(
        self, trial: FrozenTrial, record: TrialRecord, reason: str | None, **changes: Any
    ) -> FrozenTrial:
        """End an open trial without a result."""
        return self.close(trial, record.with_(fail_reason=reason), TrialState.FAIL, **changes)

    def renew(self, trial: FrozenTrial, record: TrialRecord, seconds: float | None = None) -> None:
        """Give the trial's lease, if it has one, a new term, of `seconds` from now on if given."""
        lease = self.leases.get(trial.number)
        if lease is None:
            return
        seconds = seconds or lease.seconds
        if seconds != record.lease_seconds:
            self.update(trial, record.with_(lease_seconds=seconds))
        self.leases.grant(trial.number, lease.id, seconds, self.clock())

    def put_back(self, trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
        """Let a running trial wait for its next attempt."""
        changed = self.update(
            trial,
            record.with_(lease=None, lease_seconds=None, worker=None, stop_requested=False),
            state=TrialState.WAITING,
        )
        self.leases.end(trial.number)
        self._timeouts.clear(trial.number)
        return changed

    def request_stop(self, trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
        """Let the trial's worker know that it should end."""
        if record.stop_requested:
            return trial
        return self.update(trial, record.with_(stop_requested=True))

    def idle_for(self) -> float:
        """Seconds since the last change; 0 while there is a lease or a time-out to watch, or a listener."""
        if len(self.leases) or len(self._timeouts) or self.news.feed.has_listeners:
            return 0.0
        return self.clock() - max(self.opened_at, self.last_activity_at or 0.0)

    def settle(self) -> None:
        """Let happen what time alone brings about: time-outs, and leases that ran out for good."""
        now = self.clock()
        for number in self.leases.expire(now):
            self.news.time_passed()
            trial = self.trial(number)
            record = TrialRecord.of(trial)
            if record.expiries + 1 >= self._spec.max_attempts:
                self.fail(trial, record.with_(expiries=record.expiries + 1), LEASE_EXPIRED)
        self.time_out()

    def time_out(self) -> None:
        """Stop the trials that have run for too long, and fail those whose grace is over."""
        now = self.clock()
        while (due := self._timeouts.due(now)) is not None:
            trial = self.trial(due)
            record = TrialRecord.of(trial)
            if record.timed_out_at is not None:
                self.fail(trial, record, TIMEOUT)
                continue
            # Its worker learns at the next report or renewal, and has one lease term to end well.
            self.update(trial, record.with_(stop_requested=True, timed_out_at=now))
            self._timeouts.set(due, now + (record.lease_seconds or GRACE_SECONDS))

    def due_in(self) -> float | None:
        """Seconds until time alone may change what an ask gets, or None if it does not."""
        limit, began = self.limits.max_duration, self.record.first_ask_at
        ends = None if limit is None or began is None else began + limit
        moments = (self.leases.next_expiry(), self._timeouts.next(), ends)
        first = min((moment for moment in moments if moment is not None), default=None)
        return None if first is None else max(0.0, first - self.clock())

    def local_time(self) -> datetime:
        """Now, as Optuna keeps times: local and naive."""
        return datetime.fromtimestamp(self.clock())

    # What is derived.

    def _take(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        self.last_activity_at = self.clock()
        if after.state.is_finished():
            self.relative.pop(after.number, None)
        self.tally.replace(before, after)
        self.points.replace(before, after)
        self.pruning.replace(before, after)
        if self.native is not None:
            self.native.replace(before, after)

    def _derive(self) -> None:
        self.record = StudyRecord.of(self.store.get_study_system_attrs(self.id))
        self.tally, self.points, self.pruning = Tally(), Points(self._spec), self._new_pruning()
        self.native = native_sampler(self._spec.problem)
        trials = self.store.get_all_trials(self.id, deepcopy=False)
        for trial in trials:
            self._take(None, trial)
        times = [
            t for trial in trials for t in (trial.datetime_start, trial.datetime_complete) if t
        ]
        self.last_activity_at = max(times).timestamp() if times else self.record.created_at
        self._watch(self.leases)

    def _new_pruning(self) -> Rule:
        def best() -> FrozenTrial | None:
            return next(iter(self.store.best_trials(self.id)), None)

        return make_rule(
            self._spec.pruner, self._spec.directions, study_name=self.name, best_trial=best
        )

    def _watch(self, held: Leases) -> None:
        """Set the leases and time-outs of the running trials; those `held` go on as they are."""
        self.leases, self._timeouts = Leases(), Alarms()
        for trial in self.running():
            self._watch_trial(trial, TrialRecord.of(trial), held)

    def _watch_trial(self, trial: FrozenTrial, record: TrialRecord, held: Leases) -> None:
        known = held.get(trial.number)
        if known is not None and known.id == record.lease:
            self.leases.keep(trial.number, known)
        elif record.lease is not None and record.lease_seconds is not None:
            # A restart gives every open lease a full term: its holder could not renew meanwhile.
            self.leases.grant(trial.number, record.lease, record.lease_seconds, self.clock())
        self._watch_timeout(trial, record)

    def _watch_timeout(self, trial: FrozenTrial, record: TrialRecord) -> None:
        timeout = self.limits.trial_timeout
        if record.timed_out_at is not None:
            grace = record.lease_seconds or GRACE_SECONDS
            self._timeouts.set(trial.number, record.timed_out_at + grace)
        elif timeout is not None and trial.datetime_start is not None:
            self._timeouts.set(trial.number, trial.datetime_start.timestamp() + timeout)

    def _target_reached(self) -> bool:
        target = self.limits.target
        return target is not None and any(
            meets_target(target, self._spec.objectives, trial.values)
            for trial in self.store.best_trials(self.id)
        )
