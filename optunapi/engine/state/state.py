"""One open study: its units, its specification and record, and changes of any part of it.

Everything here happens inside a unit, which one thread at a time can enter: nothing happens between a
look and the change that rests on it. What is derived from the trials is updated with each change. It is
rebuilt when the store has read the study again: after a refused commit, or when another process wrote to
the database.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, Unpack

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.clock import Clock
from optunapi.engine.identity import NewId, stored_uid
from optunapi.engine.limits import FinishedReason, Usage, finished_reason, meets_target
from optunapi.engine.metric_names import METRIC_NAMES, metric_names_of, name_objectives
from optunapi.engine.names import slug_of
from optunapi.engine.overrides import (
    SpecSource,
    description_in_force,
    kept,
    lease_in_force,
    limits_in_force,
    limits_renamed,
    sources,
)
from optunapi.engine.records import SPEC, STUDY, StudyRecord, TrialRecord
from optunapi.engine.spec.diff import differences
from optunapi.engine.spec.model import StudySpec, renamed
from optunapi.engine.state.deadlines import Deadlines
from optunapi.engine.state.derived import Derived
from optunapi.engine.state.feed import CommittedEvents, Feed, UnitChanges, UnitCommit, View
from optunapi.engine.state.templates import Relative
from optunapi.engine.state.versions import (
    former_spec,
    names_by_version,
    queued_before,
    store_spec,
    versions_of,
)
from optunapi.engine.store import Store, TrialChanges, Unit
from optunapi.engine.values import StudyView, TrialView, Version
from optunapi.errors import (
    StudyNotFound,
    StudyReplaced,
    TrialNotFound,
)
from optunapi.telemetry import events as log
from optunapi.telemetry.emit import emit_all, is_wanted


class StudyState:
    """One study in a store, with its leases, its time-outs and what is derived from its trials.

    It is bound to the study with this `uid`, and raises StudyNotFound once that is gone, also if another
    one has its place. `new_id` returns a random id. `spec`, `record`, `limits` and `lease_seconds` are
    those in force; only the methods below change them. In `spec` and `limits` the objectives have the
    names that Optuna shows, which may be set at any time. In `configured_spec` and `record` they have
    those of the configuration.
    """

    def __init__(
        self,
        store: Store,
        study_id: int,
        *,
        name: str,
        slug: str | None = None,
        uid: str,
        spec: StudySpec,
        clock: Clock,
        new_id: NewId,
        feed: Feed | None = None,
        all_events: Feed | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.store = store
        self.id = study_id
        self.name = name
        self.slug = slug or slug_of(name)  # its name in URLs
        self.uid = uid
        self.clock = clock
        self.feed = feed or Feed()
        self.all_events = all_events or Feed()  # of all studies
        self.has_file = False  # whether a configuration file rules the specification
        self.config_error: str | None = None  # what is wrong with its configuration file
        self.sampler_failure: str | None = None  # why values are drawn at random instead
        self.relative: dict[int, Relative] = {}  # of open trials, see `trials.suggest`
        self.last_use = clock.now()  # when it was opened or changed last
        self.last_activity_at: float | None = None
        self.deadlines = Deadlines(clock) if deadlines is None else deadlines
        self._first_ask: float | None = None  # when it was; the record has its time
        self.new_id = new_id
        self._read_names(store.get_study_system_attrs(study_id), spec)
        self.record = StudyRecord()
        self._apply(spec, self.record)
        self.configured: Mapping[str | None, frozenset[str]] = {}
        self.derived = Derived(spec, store, study_id, name)
        self._seen_reloads = -1
        self._last_reloads = -1
        self._identified_reloads = -1
        self._has_changed_derived = False
        self._changes = UnitChanges()
        self._last_status: Hashable = None
        self._committed_events: CommittedEvents | None = None
        self._logged_status: tuple[str, FinishedReason | None] | None = None

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """A block in which no other thread looks or changes; its changes are committed together."""
        with self.store.unit() as unit:
            if (reloads := self.reloads()) != self._seen_reloads:
                self._rebuild(reloads)
            self._has_changed_derived = False
            if self.all_events.keeps_events and self._committed_events is None:
                self._keep_status()
                self._committed_events = CommittedEvents(self.all_events, self.name)
            try:
                yield unit
            except BaseException:
                # The study was read again in any case, and readers have not been notified of that yet.
                self._changes = UnitChanges(is_reread=self._changes.is_reread)
                if self._has_changed_derived:
                    # The store undoes the changes, but `derived` has counted them: rebuild it.
                    self._seen_reloads = -1
                raise
            noted = self._noted()
            events = self._add_events(unit)
        if noted:
            unit.commit.then(partial(emit_all, noted))
        if events is not None:
            events.end()
            self.feed.notify()
            if self._committed_events is not None:
                unit.commit.then(self._committed_events.pass_on)

    @contextmanager
    def try_exclusive(self) -> Iterator[bool]:
        """Whether units can be made here without waiting; if so, other threads wait until the end."""
        with self.store.try_exclusive() as is_free:
            yield is_free and self.reloads() == self._seen_reloads

    # Looks

    def reloads(self) -> int:
        """A number that rises when what was seen of the study may no longer be true.

        Raises:
            StudyNotFound: the study was deleted.
        """
        try:
            reloads = self.store.reloads(self.id)
            if reloads != self._identified_reloads:
                # Optuna gives the id of a study that was deleted to the next one.
                if stored_uid(self.store, self.id) != self.uid:
                    raise KeyError(self.id)
                self._identified_reloads = reloads
        except KeyError:
            raise StudyNotFound(f"study {self.name!r} was deleted") from None
        return reloads

    def check_uid(self, uid: str | None) -> None:
        """Refuse a request that is about another study of this name.

        Raises:
            StudyReplaced: `uid` is given, and is not this study's.
        """
        if uid is not None and uid != self.uid:
            raise StudyReplaced(
                "the study that this request is about was deleted, and another one has its name: drop "
                "the trial and ask for another one"
            )

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

    def waiting(self) -> list[FrozenTrial]:
        """The waiting trials, in the order of their numbers."""
        return [t for t in self.store.open_trials(self.id) if t.state == TrialState.WAITING]

    def view(self, trial: FrozenTrial) -> TrialView:
        """The trial with the lease it has now."""
        lease = self.deadlines.leases.get(trial.number)
        return TrialView(
            study=self.name,
            study_uid=self.uid,
            trial=trial,
            lease=lease,
            configured=self.configured,
        )

    def study_view(self) -> StudyView:
        """The study as it is now."""
        state, reason, config_error = self._status()
        return StudyView(
            name=self.name,
            slug=self.slug,
            uid=self.uid,
            spec=self.spec,
            metric_names=self.metric_names,
            metric_names_error=self.metric_names_fault,
            state=state,
            finished_reason=reason,
            limits=self.limits,
            limits_source=sources(self.spec, self.record, self.source),
            lease_seconds=self.lease_seconds,
            description=description_in_force(self.spec, self.record),
            counts=dict(self.store.counts(self.id)),
            best=next(iter(self.store.best_trials(self.id)), None),
            config_error=config_error,
            sampler_failure=self.sampler_failure,
            user_attrs=dict(self.store.get_study_user_attrs(self.id)),
            created_at=self.record.created_at,
            last_activity_at=self.last_activity_at,
            source=self.source,
        )

    @property
    def source(self) -> SpecSource:
        """Where the specification in force is from."""
        if self.has_file:
            return "file"
        return "http" if self.is_configured else "optuna"

    @property
    def is_configured(self) -> bool:
        """Whether the study has a specification. One that Optuna made has none until it gets one here."""
        return SPEC in self.store.get_study_system_attrs(self.id)

    def versions(self) -> list[Version]:
        """The specifications that were in force, the present one last."""
        return versions_of(self.store, self.id, self.spec)

    def former_spec(self, version: str) -> StudySpec | None:
        """The specification of this version, if it is in force or once was."""
        if version == self.spec.version:
            return self.spec
        former = former_spec(self.store, self.id, version)
        return None if former is None else former.with_names(self.spec.names)

    def _status(
        self,
    ) -> tuple[Literal["open", "paused", "finished"], FinishedReason | None, str | None]:
        """State, reason and configuration error: what can change with the trials or with time alone."""
        # A paused study is not finished, whatever its limits say: an ask is refused for the pause.
        if self.record.state == "paused":
            return "paused", None, self.config_error
        reason = finished_reason(self.limits, self.usage())
        return "finished" if reason else "open", reason, self.config_error

    def usage(self) -> Usage:
        """The figures that the limits are compared with."""
        counts = self.store.counts(self.id)
        waiting, running = counts[TrialState.WAITING], counts[TrialState.RUNNING]
        tally = self.derived.tally
        return Usage(
            waiting=waiting,
            running=running,
            places=waiting + running + counts[TrialState.COMPLETE] + counts[TrialState.PRUNED],
            leased=len(self.deadlines.leases),
            failures=tally.failures,
            cost=tally.cost,
            duration=0.0 if self._first_ask is None else self.clock.now() - self._first_ask,
            target_reached=self.limits.target is not None and self._reaches(self.limits.target),
            unused_points=not self.derived.exhausted,
            stopped=self.record.state == "stopped",
        )

    def _reaches(self, target: Mapping[str, float]) -> bool:
        return any(
            meets_target(target, self.spec.objectives, trial.values)
            for trial in self.store.best_trials(self.id)
        )

    def idle_for(self) -> float:
        """Seconds since the last change; 0 while there is a lease, a time-out or a listener."""
        if len(self.deadlines) or self.feed.has_listeners:
            return 0.0
        return self.clock.now() - self.last_use

    def due_in(self) -> float | None:
        """Seconds until time alone may change what an ask gets, or None if it does not."""
        limit, began = self.limits.max_duration, self._first_ask
        ends = None if limit is None or began is None else began + limit
        moments = (self.deadlines.next(), ends)
        first = min((moment for moment in moments if moment is not None), default=None)
        return None if first is None else max(0.0, first - self.clock.now())

    def local_time(self) -> datetime:
        """Now, as Optuna keeps times: local and naive."""
        return datetime.fromtimestamp(self.clock.time())

    # Changes of the study, to be made inside a unit

    def set_spec(self, spec: StudySpec) -> None:
        """Put another specification in force. What it changes counts from now on, set by hand or not."""
        former = self.configured_spec
        changed = tuple(change["key"] for change in differences(former, spec))
        self.note(log.SpecChanged, spec_version=spec.version, changed=changed)
        store_spec(self.store, self.id, former, spec, self.clock.time())
        name_objectives(self.store, self.id, spec)
        self._apply(spec, self.record)
        self.set_record(**kept(self.record, former, spec))
        self.set_user_attrs(
            {k: v for k, v in spec.user_attrs.items() if former.user_attrs.get(k, self) != v}
        )
        self._derive()

    def derive_again(self) -> None:
        """Rebuild what is derived from the trials at the next unit: a part of it has raised."""
        self._seen_reloads = -1

    def restore_spec(self, spec: StudySpec) -> None:
        """Put the former specification in force again after `set_spec` was refused."""
        self._apply(spec, self.record)
        self._seen_reloads = -1

    def not_queued(self, points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of a specification's points that none before it had queued."""
        known = list(queued_before(self.store.get_study_system_attrs(self.id), self.spec))
        return [point for point in points if point not in known]

    def set_record(self, **changes: Any) -> None:
        """Change the study's record."""
        self._has_changed_derived = True
        self._apply(self.configured_spec, self.record.with_(**changes))
        self.store.set_study_system_attr(self.id, STUDY, self.record.to_json())
        self._note_use()
        if changes.keys() != {"first_ask_at"}:
            self._changes.study = self._changes.may_finish = True

    def set_limits(self, changes: Mapping[str, Any]) -> None:
        """Set limits by hand; they take precedence over the specification's."""
        changes = limits_renamed(changes, self.spec.names, self.configured_spec.names)
        self.set_record(limits={**self.record.limits, **changes})
        self.deadlines.set_timeouts(self.running(), self.limits.trial_timeout)

    def set_metric_names(self, names: Sequence[str]) -> None:
        """Name the objectives, as Optuna does."""
        self._has_changed_derived = True
        self.store.set_study_system_attr(self.id, METRIC_NAMES, list(names))
        self._read_names(self.store.get_study_system_attrs(self.id), self.spec)
        self._apply(self.configured_spec, self.record)
        self._changes.study = True

    def set_user_attrs(self, user_attrs: Mapping[str, Any]) -> None:
        """Set attributes of the study."""
        for key, value in user_attrs.items():
            self.store.set_study_user_attr(self.id, key, value)
        self._changes.study = True

    def delete(self) -> None:
        """Remove the study and all its trials."""
        self.note(log.StudyDeleted, trials=self.store.n_trials(self.id))
        if self._committed_events is not None:
            self._changes.last_view = replace(self.study_view(), is_deleted=True)
        self.store.delete_study(self.id)
        self._changes.is_deleted = True

    def _read_names(self, attrs: Mapping[str, Any], spec: StudySpec) -> None:
        names, fault = metric_names_of(attrs, len(spec.objectives))
        self.metric_names, self.metric_names_fault = names, fault

    def _apply(self, spec: StudySpec, record: StudyRecord) -> None:
        if record.first_ask_at is None:
            self._first_ask = None
        elif self._first_ask is None or record.first_ask_at != self.record.first_ask_at:
            self._first_ask = self.clock.moment_of(record.first_ask_at)
        self.configured_spec, self.record = spec, record
        self.spec = spec.with_names(self.metric_names or spec.names)
        limits = limits_in_force(spec, record)
        target = renamed(limits.target, spec.names, self.spec.names)
        self.limits = replace(limits, target=target)
        self.lease_seconds = lease_in_force(spec, record)

    # Changes of trials, to be made inside a unit. `transitions` has those that have a name.

    def add(self, template: FrozenTrial, record: TrialRecord) -> FrozenTrial:
        """Add a trial; return it as stored."""
        self._has_changed_derived = True
        template.system_attrs = {**template.system_attrs, **record.attrs()}
        trial = self.store.add_trial(self.id, template)
        self._replace(None, trial)
        return trial

    def update(
        self,
        trial: FrozenTrial,
        record: TrialRecord | None = None,
        **changes: Unpack[TrialChanges],
    ) -> FrozenTrial:
        """Change a trial: `changes` are those of `Store.update_trial`. Return it as stored."""
        self._has_changed_derived = True
        if record is not None:
            changes["system_attrs"] = {**changes.get("system_attrs", {}), **record.attrs()}
        changed = self.store.update_trial(trial._trial_id, **changes)
        self._replace(trial, changed)
        return changed

    def _replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        self._note_use()
        self._count(before, after)
        self._changes.trials[after.number] = after
        self._changes.may_finish |= after.state.is_finished()

    def _count(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        if after.state.is_finished():
            self.relative.pop(after.number, None)
        self.derived.replace(before, after)

    def _note_use(self) -> None:
        self.last_use = self.clock.now()
        self.last_activity_at = self.clock.time_of(self.last_use)

    # The log

    def note(self, kind: type[log.StudyEvent], **fields: Any) -> None:
        """Log an event once the unit is committed; never if it is refused."""
        if is_wanted(kind):
            self._changes.events.append(kind(study=self.name, **fields))

    def note_trial(
        self, kind: type[log.TrialEvent], trial: FrozenTrial, record: TrialRecord, **fields: Any
    ) -> None:
        """Log what happens to a trial once the unit is committed; `record` says who has it."""
        if is_wanted(kind):
            who = {"worker": record.worker, "attempt": record.attempt}
            self.note(kind, trial=trial.number, **who, **fields)

    def check_finished(self) -> None:
        """Log it if the study has finished since the last look, by time alone for example."""
        self._changes.may_finish = True

    def _noted(self) -> list[log.Event]:
        """What the unit that is about to end adds to the log."""
        changes = self._changes
        if changes.may_finish and not changes.is_deleted:
            (state, reason, _), before = self._status(), self._logged_status
            self._logged_status = state, reason
            if before not in (None, self._logged_status):
                match state:
                    case "paused":
                        self.note(log.StudyPaused)
                    case "open":
                        self.note(log.StudyResumed)
                    case "finished":
                        self.note(log.StudyFinished, reason=reason)
        return changes.events

    # Events

    def note_expiry(self) -> None:
        """Notify listeners when the unit ends: an ask may get a trial whose lease has just expired."""
        self._changes.lease_expired = True

    def keep_events(self) -> None:
        """Keep every change in the feed from now on."""
        if not self.feed.keeps_events:
            self._keep_status()
            self.feed.keep_events()

    def note_created(self) -> None:
        """Show the study when the unit ends, since it is new."""
        self._changes.study = True

    def _keep_status(self) -> None:
        if self._last_status is None:
            self._last_status = self._status()

    def _add_events(self, unit: Unit) -> UnitCommit | None:
        """Add the events of the unit that is about to end; None if there is nobody to notify."""
        changes, self._changes = self._changes, UnitChanges()
        views: list[View] = [None] if changes.is_reread else []
        is_kept = self.feed.keeps_events or self._committed_events is not None
        if is_kept and not changes.is_deleted:
            status = self._status()
            views += map(self.view, changes.trials.values())
            if changes.study or status != self._last_status:
                views.append(self.study_view())
            self._last_status = status
        if not (views or changes.last_view or (self.feed.has_listeners and changes)):
            return None
        commit = UnitCommit(unit)
        self.feed.add(views, commit)
        if self._committed_events is not None:
            if changes.last_view is not None:
                views.append(changes.last_view)
            self._committed_events.add(views, commit)
        return commit

    # What is derived

    def _rebuild(self, reloads: int) -> None:
        self._derive()
        self._seen_reloads = reloads
        if self._last_reloads not in (-1, reloads):
            self._changes.is_reread = True
        self._last_reloads = reloads
        self._logged_status = self._status()[:2]

    def _derive(self) -> None:
        attrs = self.store.get_study_system_attrs(self.id)
        record = StudyRecord.of(attrs)
        self._read_names(attrs, self.spec)
        self._apply(self.configured_spec, record)
        self.configured = names_by_version(attrs, self.spec)
        self.derived = Derived(self.spec, self.store, self.id, self.name)
        trials = self.store.get_all_trials(self.id, deepcopy=False)
        for trial in trials:
            self._count(None, trial)
        times = [
            t.timestamp()
            for trial in trials
            for t in (trial.datetime_start, trial.datetime_complete)
            if t
        ]
        self.last_activity_at = max(times, default=record.created_at)
        self.deadlines.read_again(self.running(), self.limits.trial_timeout)
