"""The studies that are in memory: opened on first use, closed when idle or to make room.

A bounded number is open, since each has files open and its trials in memory. What a closed study's file
does not hold is kept here: until when its trials are leased. Each look-up compares the study's
configuration file with the one applied last, and applies a changed one before the study is used.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optunapi.engine.clock import Clock
from optunapi.engine.config_files import Config, ConfigFiles
from optunapi.engine.creation import create_study
from optunapi.engine.fork import Origin
from optunapi.engine.identity import NewId, identify
from optunapi.engine.metric_names import name_objectives
from optunapi.engine.named_locks import NamedLocks
from optunapi.engine.names import NAME, not_found, slug_in_file, slug_of
from optunapi.engine.room import room_for_studies
from optunapi.engine.samplers.native.engine import engine_of
from optunapi.engine.spec.inferred import spec_of_history
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.deadlines import Deadlines
from optunapi.engine.state.feed import Feed
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.versions import spec_in_force
from optunapi.engine.store import Store, StoredStudy, Stores
from optunapi.engine.study import Study
from optunapi.engine.trials.artifacts import Removed
from optunapi.errors import ConfigInvalid, StorageClosed, StorageUnavailable, StudyNotFound
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import StudyOpened, StudyUnavailable

WOKEN_A_SWEEP = 16


class _Open(NamedTuple):
    """An open study, the configuration that was applied to it last, and the file that it is in."""

    study: Study
    config: Config | None
    file: str


class _Resting(NamedTuple):
    """What is kept of a study that was closed with running trials: it is opened again when one is due."""

    uid: str
    deadlines: Deadlines
    due: float | None  # kept beside them, since the study may be open again when it is looked at


class OpenStudies:
    """The open studies of a server, by the names that URLs have. From any thread.

    `stored`, `create` and `feed` are for a caller that holds the study's lock.
    """

    def __init__(self, configs: ConfigFiles, stores: Stores, clock: Clock, new_id: NewId) -> None:
        self._configs = configs
        self._stores = stores
        self._clock = clock
        self._new_id = new_id
        self.max_open = room_for_studies()
        self._open: dict[str, _Open] = {}
        self._resting: dict[str, _Resting] = {}
        self._feeds: dict[str, Feed] = {}
        self.all_events = Feed(first_id=int(clock.time() * 1e6))
        self._has_ended_events = False
        self._n_closed = 0
        self._is_shut_down = False
        self._locks = NamedLocks()

    def lock(self, name: str) -> AbstractContextManager[None]:
        """The study's lock: opening, creating and closing it exclude each other."""
        return self._locks.hold(name)

    def get(self, name: str) -> Study | None:
        """The study if it is open. Uses no disk: a changed configuration is not noticed."""
        found = self._open.get(name)
        return None if found is None else found.study

    def __len__(self) -> int:
        return len(self._open)

    def find(self, name: str, *, create: bool) -> Study | None:
        """The study with its configuration as it is now; None if it is not stored, unless `create`.

        Raises:
            StudyNotFound: there is neither a configuration nor a stored study of this name.
            ConfigInvalid: the study is not stored, and its configuration is not valid.
            ConfigChanging: the study would be created, and its configuration does not count yet.
            DatabaseUnusable, StorageUnavailable: its database cannot be opened.
        """
        if self._is_shut_down:
            raise StorageUnavailable("the server is shutting down: ask again when it is back")
        if not NAME.fullmatch(name):
            raise not_found(name, ())
        found = self._open.get(name)
        if found is not None and self._is_current(name, found):
            return found.study
        with self.lock(name):
            study = self.stored(name)
            if study is None:
                spec = self._configs.spec(name, to_create=create)
                if spec is not None:
                    return self.create(name, spec) if create else None
        if study is None:
            raise not_found(name, self.names())
        return study

    def configured(self, name: str, *, to_create: bool = False) -> StudySpec:
        """The specification in the configuration file of a study that is not stored.

        Raises:
            StudyNotFound: there is no file.
            ConfigInvalid: the file is not valid.
            ConfigChanging: the file does not count yet, and it is `to_create` a study.
        """
        spec = self._configs.spec(name, to_create=to_create)
        if spec is None:
            raise not_found(name, self.names())
        return spec

    def _is_current(self, name: str, found: _Open) -> bool:
        return found.config is self._configs.find(name) and not found.study.is_gone()

    def stored(self, name: str) -> Study | None:
        """The study with its configuration as it is now; None if it is not stored."""
        self._close_gone(name)
        found = self._open.get(name)
        config = self._configs.find(name)
        if found is None:
            stored = self._stored(name)
            return None if stored is None else self._load(name, stored, config)
        if found.config is not config:
            _apply(config, found.study)
            self._open[name] = found._replace(config=config)
        return found.study

    def all_stored(self) -> dict[str, StoredStudy]:
        """Every stored study by the name that URLs have, also those that cannot be served.

        Of two studies with one name, the one in the file of that name has it in URLs too.
        """
        # An open study keeps its name when a file appears that would come before its own: else it would
        # be opened twice, and its trainers would get the trials of another.
        held = {(o.file, o.study.name): slug for slug, o in list(self._open.items())}
        found: dict[str, StoredStudy] = {}
        rest = []
        for study in sorted(self._stores.stored(), key=_precedence):
            if slug := held.get((study.file, study.name)):
                found[slug] = study
            else:
                rest.append(study)
        for study in rest:
            slug = slug_of(study.name)
            found.setdefault(slug_in_file(study.name, study.file) if slug in found else slug, study)
        return found

    def names(self) -> list[str]:
        """The sorted names of all studies, as URLs have them; some may turn out not to open."""
        return sorted(self._configs.names() | self.all_stored().keys())

    def _stored(self, slug: str) -> StoredStudy | None:
        # Almost always the study is there, and reading a whole folder takes longer.
        study = self._stores.of_file_named(slug)
        if study is None or any(
            (o.file, o.study.name) == (study.file, study.name) for o in list(self._open.values())
        ):
            study = self.all_stored().get(slug)
        return study

    def create(
        self,
        name: str,
        spec: StudySpec,
        *,
        origin: Origin | None = None,
        history: Sequence[FrozenTrial] = (),
    ) -> Study:
        """A new study; see `create_study`."""
        self._make_room()
        now, (store, file) = self._clock.time(), self._stores.for_new(name)
        try:
            study_id = create_study(
                store, name, spec, now, new_id=self._new_id, origin=origin, history=history
            )
            study = self._study(name, name, store, study_id, spec)
            study.rule_by_file(self._configs.find(name) is not None)
            study.note_created()
        except BaseException:
            self._stores.release(file)
            raise
        self._open[name] = _Open(study, None, file)
        return study

    def _load(self, name: str, stored: StoredStudy, config: Config | None) -> Study | None:
        if stored.fault is not None:
            raise stored.fault.again()
        self._make_room()
        try:
            found = self._stores.use(stored)
        except StorageUnavailable as error:
            emit(StudyUnavailable(study=stored.name, reason=error.detail))
            raise
        if found is None:
            return None
        try:
            store, study_id = found
            spec = spec_in_force(store, study_id)
            if spec is None:  # Optuna created it
                trials = store.get_all_trials(study_id, deepcopy=False)
                spec = spec_of_history(store.get_study_directions(study_id), trials)
            study = self._study(name, stored.name, store, study_id, spec)
            _apply(config, study)
        except BaseException:
            self._stores.release(stored.file)
            raise
        self._open[name] = _Open(study, config, stored.file)
        return study

    def _study(
        self, name: str, own_name: str, store: Store, study_id: int, spec: StudySpec
    ) -> Study:
        sampler, engine = spec.sampler["name"], engine_of(spec.problem)
        emit(StudyOpened(study=own_name, sampler=sampler, engine=engine))
        uid = identify(store, study_id, name, self._new_id)
        rested = self._resting.pop(name, None)
        name_objectives(store, study_id, spec)
        state = StudyState(
            store,
            study_id,
            name=own_name,
            slug=name,
            uid=uid,
            spec=spec,
            clock=self._clock,
            new_id=self._new_id,
            feed=self.feed(name),
            all_events=self.all_events,
            deadlines=rested.deadlines if rested is not None and rested.uid == uid else None,
        )
        return Study(state)

    def feed(self, name: str) -> Feed:
        """The feed of the study's events, also if it is not open. Its ids rise over a restart too."""
        feed = self._feeds.get(name)
        if feed is None or feed.closed:
            feed = self._feeds[name] = Feed(first_id=int(self._clock.time() * 1e6))
            # Checked last: `end_events` in another thread either finds the feed or is noticed here.
            if self._has_ended_events:
                feed.close()
        return feed

    def end_events(self) -> None:
        """Close the feed of every study, now and from now on."""
        self._has_ended_events = True
        for feed in [self.all_events, *self._feeds.values()]:
            feed.close()

    def delete(self, name: str, study: Study, *, force: bool) -> Removed:
        """Remove a study and its trials for good; return the artifacts that they had.

        Raises:
            StudyBusy: trials are running, and `force` is not set.
        """
        with self.lock(name):
            removed, commit = study.delete(force=force)
            commit.result()
            if self.get(name) is study:
                file = self._open[name].file
                self._forget(name)
                self._stores.discard(file)
            study.feed.close()
        return removed

    def sweep(self, idle_seconds: float) -> int:
        """Apply deadlines, close studies that were idle for `idle_seconds`, drop feeds without listeners.

        Returns how many studies were closed or deleted since the last sweep.
        """
        for name, (study, _, _) in list(self._open.items()):
            try:
                study.apply_deadlines()
            except (StudyNotFound, StorageClosed):
                study.feed.close()
                if not self._locks.is_held(name):
                    with self.lock(name):
                        self._close_gone(name)
                continue
            except StorageUnavailable:
                continue  # the next request for the study reports it
            if study.idle_for() >= idle_seconds and not self._locks.is_held(name):
                self._close(name, study, idle_seconds)
        self._wake_due()
        for name in [name for name in list(self._feeds) if name not in self._open]:
            if self._locks.is_held(name):
                continue  # opening it may take long, and the other studies have deadlines
            with self.lock(name):
                feed = self._feeds.get(name)
                if feed is not None and name not in self._open and not feed.has_listeners:
                    del self._feeds[name]
        n_closed, self._n_closed = self._n_closed, 0
        return n_closed

    def _make_room(self) -> None:
        """Close what was not used for the longest time until another study may be opened.

        Studies with listeners stay open, since they follow it. The caller may hold a study's lock.
        """
        if len(self._open) < self.max_open:
            return
        by_use = sorted(self._open.items(), key=lambda item: item[1].study.last_use)
        for name, (study, _, _) in by_use:
            if len(self._open) < self.max_open:
                return
            # A lock that is held is not waited for: its holder may be here too, and wait for ours.
            if not study.feed.has_listeners and not self._locks.is_held(name):
                self._close(name, study)

    def _close(self, name: str, study: Study, idle_seconds: float | None = None) -> None:
        """Close a study, if it is idle still; without `idle_seconds`, if it has no listeners still."""
        with self.lock(name):
            if idle_seconds is not None:
                may_close = study.idle_for() >= idle_seconds
            else:
                may_close = not study.feed.has_listeners
            if self.get(name) is study and may_close:
                try:
                    deadlines, due = study.rest()
                except (StorageUnavailable, StudyNotFound):
                    return  # the next request for the study deals with it
                file = self._open[name].file
                if len(deadlines):
                    self._resting[name] = _Resting(study.uid, deadlines, due)
                self._forget(name)
                # A request that found the study just before gets StorageClosed: it looks the study
                # up again, which opens it.
                self._stores.release(file)

    def _wake_due(self) -> None:
        """Open studies whose leases or time-outs are due, a few at a time: others need the room too."""
        now = self._clock.now()
        resting = list(self._resting.items())
        due = [name for name, each in resting if each.due is not None and each.due <= now]
        for name in due[:WOKEN_A_SWEEP]:
            try:
                study = self.find(name, create=False)
                if study is not None:
                    study.apply_deadlines()
            except (ConfigInvalid, StorageUnavailable, StudyNotFound):
                pass  # the next request for the study reports it
            self._resting.pop(name, None)

    def _close_gone(self, name: str) -> None:
        """Close the study if another process deleted it, or its file is gone."""
        found = self._open.get(name)
        if found is not None and found.study.is_gone():
            self._forget(name)
            found.study.feed.close()
            self._stores.release(found.file)

    def _forget(self, name: str) -> None:
        del self._open[name]
        self._feeds.pop(name, None)
        self._n_closed += 1

    def close(self) -> None:
        """Open nothing from now on."""
        self._is_shut_down = True
        self._open.clear()


def _apply(config: Config | None, study: Study) -> None:
    study.rule_by_file(config is not None)
    if config is None:
        study.follow(study.configured_spec)  # an error in a file that is gone does not count
    else:
        config.apply(study)


def _precedence(study: StoredStudy) -> tuple[bool, bool, str, str]:
    """Which of the studies that share a name has it in URLs: the one of its own file, else the first."""
    is_own = study.file in ("", f"{study.name}.db")
    return not is_own, slug_of(study.name) != study.name, study.name, study.file
