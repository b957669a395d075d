"""The studies that are in memory: opened on first use, closed when idle.

Each look-up compares the study's configuration file with the one applied last, and applies a changed
one before the study is used.
"""

import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple

from optuna.trial import FrozenTrial

from optunapi.engine.config_files import Config, ConfigFiles
from optunapi.engine.creation import create_study
from optunapi.engine.fork import Origin
from optunapi.engine.identity import NewId, identify
from optunapi.engine.names import NAME, slug_of
from optunapi.engine.records import SPEC
from optunapi.engine.samplers.native.engine import engine_of
from optunapi.engine.spec.inferred import spec_of_history
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.stored import stored_spec
from optunapi.engine.state.feed import Feed
from optunapi.engine.state.state import Clock, StudyState
from optunapi.engine.store import Store, Stores
from optunapi.engine.study import Study
from optunapi.engine.trials.artifacts import Removed
from optunapi.errors import StorageUnavailable, StudyNotFound

logger = logging.getLogger(__name__)


class _Open(NamedTuple):
    """An open study, and the configuration that was applied to it last."""

    study: Study
    config: Config | None


class OpenStudies:
    """The open studies of a server, by the names that URLs have. From any thread.

    `stored`, `create` and `feed` are for a caller that holds the study's lock.
    """

    def __init__(self, configs: ConfigFiles, stores: Stores, clock: Clock, new_id: NewId) -> None:
        self._configs = configs
        self._stores = stores
        self._clock = clock
        self._new_id = new_id
        self._open: dict[str, _Open] = {}
        self._feeds: dict[str, Feed] = {}
        self._has_ended_events = False
        self._n_closed = 0
        self._is_shut_down = False
        # Opening one study may be slow and must not delay the others. A lock for each name would let
        # requests for names that do not exist fill the memory.
        self._locks = [threading.Lock() for _ in range(256)]

    def lock(self, name: str) -> threading.Lock:
        """The study's lock: opening, creating and closing it exclude each other."""
        return self._locks[hash(name) % len(self._locks)]

    def get(self, name: str) -> Study | None:
        """The study if it is open. Uses no disk: a changed configuration is not noticed."""
        found = self._open.get(name)
        return None if found is None else found.study

    def find(self, name: str, *, create: bool) -> Study | None:
        """The study with its configuration as it is now; None if it is not stored, unless `create`.

        Raises:
            StudyNotFound: there is neither a configuration nor a stored study of this name.
            ConfigInvalid: the study is not stored, and its configuration is not valid.
        """
        if self._is_shut_down:
            raise StorageUnavailable("the server is shutting down: ask again when it is back")
        if not NAME.fullmatch(name):
            raise StudyNotFound(f"no study can be called {name!r}")
        found = self._open.get(name)
        if found is not None and self._is_current(name, found):
            return found.study
        with self.lock(name):
            study = self.stored(name)
            if study is None:
                spec = self._configs.spec(name)
                study = self.create(name, spec) if create else None
        return study

    def _is_current(self, name: str, found: _Open) -> bool:
        return found.config is self._configs.find(name) and not found.study.is_gone()

    def stored(self, name: str) -> Study | None:
        """The study with its configuration as it is now; None if it is not stored."""
        found = self._open.get(name)
        if found is not None and found.study.is_gone():  # another process deleted it
            self._forget(name)
            found.study.feed.close()
            found = None
        config = self._configs.find(name)
        study = self._load(name, config) if found is None else found.study
        if study is not None and (found is None or found.config is not config):
            study.rule_by_file(config is not None)
            if config is None:
                study.follow(study.spec)  # an error in a file that is gone does not count
            else:
                config.apply(study)
            self._open[name] = _Open(study, config)
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
        store, now = self._stores.for_new(name), self._clock()
        study_id = create_study(
            store, name, spec, now, new_id=self._new_id, origin=origin, history=history
        )
        study = self._study(name, name, store, study_id, spec)
        study.rule_by_file(self._configs.find(name) is not None)
        self._open[name] = _Open(study, config=None)
        return study

    def _load(self, name: str, config: Config | None) -> Study | None:
        own_name, stored = name, self._stores.find(name)
        if stored is None:
            slugged = (each for each in self._stores.names() if slug_of(each) == name != each)
            own_name = next(slugged, name)
            stored = None if own_name == name else self._stores.find(own_name)
        if stored is None:
            return None
        return self._study(name, own_name, *stored, _stored_spec(*stored, config))

    def _study(
        self, name: str, own_name: str, store: Store, study_id: int, spec: StudySpec
    ) -> Study:
        sampler, engine = spec.sampler["name"], engine_of(spec.problem)
        logger.info("study %s is open: sampler %s by %s", own_name, sampler, engine)
        state = StudyState(
            store,
            study_id,
            name=own_name,
            uid=identify(store, study_id, name, self._new_id),
            spec=spec,
            clock=self._clock,
            new_id=self._new_id,
            feed=self.feed(name),
        )
        return Study(state)

    def feed(self, name: str) -> Feed:
        """The feed of the study's events, also if it is not open. Its ids rise over a restart too."""
        feed = self._feeds.get(name)
        if feed is None or feed.closed:
            feed = self._feeds[name] = Feed(first_id=int(self._clock() * 1e6))
            # Checked last: `end_events` in another thread either finds the feed or is noticed here.
            if self._has_ended_events:
                feed.close()
        return feed

    def end_events(self) -> None:
        """Close the feed of every study, now and from now on."""
        self._has_ended_events = True
        for feed in list(self._feeds.values()):
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
                self._forget(name)
            study.feed.close()
            self._stores.discard(study.name)
        return removed

    def sweep(self, idle_seconds: float) -> int:
        """Apply deadlines, close studies that were idle for `idle_seconds`, drop feeds without listeners.

        Returns how many studies were closed or deleted since the last sweep.
        """
        for name, (study, _) in list(self._open.items()):
            try:
                study.apply_deadlines()
            except StorageUnavailable:
                continue  # the next request for the study reports it
            except StudyNotFound:
                study.feed.close()
                continue
            if study.idle_for() >= idle_seconds:
                self._close_idle(name, study, idle_seconds)
        for name in [name for name in list(self._feeds) if name not in self._open]:
            with self.lock(name):
                feed = self._feeds.get(name)
                if feed is not None and name not in self._open and not feed.has_listeners:
                    del self._feeds[name]
        n_closed, self._n_closed = self._n_closed, 0
        return n_closed

    def _close_idle(self, name: str, study: Study, idle_seconds: float) -> None:
        with self.lock(name):
            # It may have been used, or closed, since it was looked at.
            if self.get(name) is study and study.idle_for() >= idle_seconds:
                self._forget(name)
                # A request that found the study just before gets StorageClosed: it looks the study
                # up again, which opens it.
                self._stores.release(study.name)

    def _forget(self, name: str) -> None:
        del self._open[name]
        self._feeds.pop(name, None)
        self._n_closed += 1

    def close(self) -> None:
        """Open nothing from now on."""
        self._is_shut_down = True
        self._open.clear()


def _stored_spec(store: Store, study_id: int, config: Config | None) -> StudySpec:
    """The specification that was in force when the study was last open.

    A study that Optuna created has none: it is inferred from the trials, and the configuration names
    the objectives.
    """
    stored = store.get_study_system_attrs(study_id).get(SPEC)
    if stored is not None:
        return stored_spec(stored)
    names: list[str] = []
    if config is not None and isinstance(config.content, StudySpec):
        names = [objective.name for objective in config.content.objectives]
    trials = store.get_all_trials(study_id, deepcopy=False)
    return spec_of_history(store.get_study_directions(study_id), trials, names)
