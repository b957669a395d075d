"""Every study served: found by name, opened on first use, in step with its configuration file."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optunapi.engine.config_files import SUFFIXES, Config
from optunapi.engine.fork import Origin, create_fork, fitting_history
from optunapi.engine.names import NAME, slug_of
from optunapi.engine.records import SPEC, STUDY, StudyRecord
from optunapi.engine.reports.snapshot import Snapshot, unasked_snapshot
from optunapi.engine.samplers.native.engine import engine_of
from optunapi.engine.spec.files import read_config
from optunapi.engine.spec.inferred import spec_of_history
from optunapi.engine.spec.points import checked_point
from optunapi.engine.spec.read import StudySpec, differences, spec_from_mapping
from optunapi.engine.state.feed import Feed, Listener
from optunapi.engine.state.state import Clock, NewId, StudyState
from optunapi.engine.state.templates import waiting_trial
from optunapi.engine.store import Commit, Store, Stores
from optunapi.engine.study import Study
from optunapi.engine.trials.artifacts import ArtifactFiles
from optunapi.engine.values import StudyView, unasked
from optunapi.errors import (
    ConfigInvalid,
    NameInvalid,
    SpecConflict,
    StorageUnavailable,
    StudyNotFound,
)

logger = logging.getLogger(__name__)


class Catalog:
    """The studies of one server. Every method may be called from any thread, and may use the disk."""

    def __init__(
        self,
        *,
        configs: Path,
        stores: Stores,
        artifacts: ArtifactFiles,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._configs = configs
        self.artifacts = artifacts
        self._stores = stores
        self._clock = clock
        self._new_id = new_id
        self._live: dict[str, Study] = {}
        self._read: dict[str, Config] = {}
        self._feeds: dict[str, Feed] = {}
        self._let_go = 0
        self._is_winding_down = False
        self._closed = False
        # One study's slow opening must not hold up another's; a lock a name would let names that
        # do not exist fill the memory.
        self._locks = [threading.Lock() for _ in range(256)]

    def find(self, name: str) -> Study | None:
        """The study, or None while it has a configuration but was never asked from.

        Raises:
            StudyNotFound: there is neither a configuration nor a stored study of this name.
            ConfigInvalid: the configuration was never valid.
        """
        return self._open(name, create=False)

    def served(self, name: str) -> Study | None:
        """The study if it is open, without a look at its configuration or at anything on a disk."""
        return self._live.get(name)

    def for_ask(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        check: Callable[[StudySpec], object] | None = None,
    ) -> Study:
        """The study, created now if it has a configuration and was never asked from.

        What would be refused must not create a study first: before it is created its specification is
        given to `check`, and `params` that an ask would fix are looked at.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
            ValueInvalid: the `params` are not of the space.
            OptunAPIError: what `check` raises.
        """
        if (params or check) and self.find(name) is None:
            spec = self._configured(name, self._config(name))
            if params:
                checked_point(spec, params)
            if check:
                check(spec)
        study = self._open(name, create=True)
        assert study is not None
        return study

    def view(self, name: str) -> tuple[StudyView, *tuple[Commit, ...]]:
        """The study as it is now, asked from or not.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        study = self.find(name)
        if study is not None:
            return study.view()
        config = self._config(name)
        if config is None or config.spec is None:
            raise StudyNotFound(f"there is no study {name!r}")
        return (unasked(name, config.spec),)

    def snapshot(self, name: str) -> tuple[Snapshot, *tuple[Commit, ...]]:
        """All of the study at this moment, asked from or not.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        study = self.find(name)
        if study is not None:
            return study.snapshot()
        return (unasked_snapshot(name, self._configured(name, self._config(name))),)

    def views(
        self, *, after: str | None, state: str | None, limit: int
    ) -> tuple[list[StudyView], list[Commit]]:
        """At most `limit` studies by name, behind `after`, in this state if given."""
        found: list[StudyView] = []
        commits: list[Commit] = []
        for name in self.names():
            if after is not None and name <= after:
                continue
            if len(found) == limit:
                break
            try:
                view, *seen = self.view(name)
            except (StudyNotFound, ConfigInvalid):
                continue  # never valid, or a file without a study in it
            except StorageUnavailable as error:
                logger.warning("study %s cannot be listed: %s", name, error.detail)
                continue
            if state is None or view.state == state:
                found.append(view)
                commits += seen
        return found, commits

    def names(self) -> list[str]:
        """Every study's name or slug, in order; among them such as cannot be opened."""
        configured = {
            path.stem
            for suffix in SUFFIXES
            for path in self._configs.glob(f"*{suffix}")
            if NAME.fullmatch(path.stem)
        }
        return sorted(configured | {slug_of(name) for name in self._stores.names()})

    def put(self, name: str, spec: StudySpec) -> bool:
        """Create a study with this specification; False if there is one with the same already.

        Raises:
            NameInvalid: no study can be called so.
            SpecConflict: there is a study or a configuration of this name, and it differs.
            ConfigInvalid: there is a configuration of this name that was never valid.
        """
        _require_name(name)
        config = self._config(name)
        if config is not None:
            study = self.find(name)
            present = study.spec if study is not None else config.spec
        else:
            with self._lock(name):
                study = self._live.get(name) or self._load(name, None)
                if study is None:
                    self._live[name] = self._create(name, spec)
                    return True
                self._live[name] = study
                present = study.spec
        if present is not None and (diff := differences(present, spec)):
            raise SpecConflict(
                "there is a study of this name with another specification"
                + (": its configuration file rules" if config is not None else ""),
                diff=diff,
            )
        return False

    def fork(self, old: str, new: str) -> int:
        """A new study with the history of another that fits it; return how many trials that are.

        Its specification is that of its configuration file if there is one, else the other's.

        Raises:
            StudyNotFound: there is no study to fork.
            NameInvalid: no study can be called so.
            SpecConflict: there is a study of this name.
            ConfigInvalid: a configuration, of the old name or the new one, was never valid.
        """
        _require_name(new)
        origin = self._origin(old)
        config = self._config(new)
        spec = origin.spec if config is None else self._configured(new, config)
        history = fitting_history(origin, spec)
        with self._lock(new):
            taken = self._live.get(new) or self._load(new, config)
            if taken is not None:
                self._live[new] = taken
            if taken is not None or new == old:
                raise SpecConflict(
                    "there is a study of this name already: fork into another, or delete it first",
                    diff=differences(taken.spec, spec) if taken is not None else [],
                )
            store = self._stores.for_new(new)
            study_id = create_fork(store, new, origin, spec, history, self._clock())
            self._live[new] = self._live_study(new, store, study_id, spec)
            if config is not None:
                self._read[new] = config
        return len(history)

    def _origin(self, name: str) -> Origin:
        study = self.find(name)
        if study is None:
            return Origin(spec=self._configured(name, self._config(name)))
        origin, commit = study.origin()
        commit.result()
        return origin

    def delete(self, name: str, *, force: bool) -> bool:
        """Remove a study and its trials for good. Its configuration stays: the next ask starts afresh.

        False if nothing was stored of it.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
            StudyBusy: trials are running, and `force` is not set.
        """
        study = self.find(name)
        if study is None:
            return False
        with self._lock(name):
            study.delete(force=force).result()
            if self._live.get(name) is study:
                del self._live[name]
                self._feeds.pop(name, None)
            self._let_go += 1
            study.feed.close()
            self._stores.discard(name)
        self.artifacts.remove(study.orphaned.ids)
        return True

    def listen(self, name: str, listener: Listener) -> tuple[Feed, Listener]:
        """The study's feed, of which `listener` is told until the function returned is called.

        A study that was never asked from has one too.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        self.find(name)
        with self._lock(name):
            feed = self._feed(name)
            return feed, feed.listen(listener)

    def follow(self, name: str, listener: Listener) -> tuple[Feed, Listener]:
        """As `listen`, and every change is kept in the feed from now on."""
        feed, stop = self.listen(name, listener)
        try:
            study = self.find(name)
            if study is not None:
                study.keep_events()
            feed.follow()
        except BaseException:
            stop()
            raise
        return feed, stop

    def _feed(self, name: str) -> Feed:
        """The feed of a study whose lock is held. Its ids rise over a restart too."""
        feed = self._feeds.get(name)
        if feed is None or feed.closed:
            feed = self._feeds[name] = Feed(first_id=int(self._clock() * 1e6))
            if self._is_winding_down:
                feed.close()
        return feed

    def wind_down(self) -> None:
        """End all waiting and following: the server is about to stop."""
        self._is_winding_down = True
        for feed in list(self._feeds.values()):
            feed.close()

    def open(self) -> None:
        """Become the owner of the databases.

        Raises:
            StorageUnavailable: another process is; the message names it.
        """
        self._stores.open()
        self.artifacts.open()

    def sweep(self, idle_seconds: float) -> int:
        """Let time-outs and expiries happen, and close the databases that nobody has used so long.

        Returns how many studies were let go since the sweep before: closed, or deleted.
        """
        for name, study in list(self._live.items()):
            try:
                study.settle()
            except StorageUnavailable:
                continue  # what asks for the study next says so
            except StudyNotFound:
                study.feed.close()
                continue
            if study.idle_for() >= idle_seconds:
                with self._lock(name):
                    if self._live.get(name) is study and study.idle_for() >= idle_seconds:
                        del self._live[name]
                        self._feeds.pop(name, None)
                        # A request that found the study just before gets StorageClosed: it looks
                        # the study up again, which opens it.
                        self._stores.release(name)
                        self._let_go += 1
        for name in [name for name in list(self._feeds) if name not in self._live]:
            with self._lock(name):
                feed = self._feeds.get(name)
                if feed is not None and name not in self._live and not feed.has_listeners:
                    del self._feeds[name]
        let_go, self._let_go = self._let_go, 0
        return let_go

    def unavailable(self) -> str | None:
        """Why the server cannot read and write everything it has open, or None."""
        return self._stores.unavailable()

    def close(self) -> None:
        """Write what is pending and let go of every database; nothing is opened any more."""
        self._closed = True
        self._live.clear()
        self._stores.close()

    def _open(self, name: str, *, create: bool) -> Study | None:
        if self._closed:
            raise StorageUnavailable("the server is shutting down: ask again when it is back")
        if not NAME.fullmatch(name):
            raise StudyNotFound(f"no study can be called {name!r}")
        config = self._config(name)
        live = self._live.get(name)
        if live is None or live.is_gone() or config is not self._read.get(name):
            with self._lock(name):
                live = self._live.get(name)
                if live is not None and live.is_gone():  # somebody else deleted it
                    del self._live[name]
                    self._let_go += 1
                    live = None
                live = live or self._load(name, config)
                if live is None:
                    spec = self._configured(name, config)
                    if create:
                        live = self._create(name, spec)
                if live is not None:
                    self._follow(live, config)
                    self._live[name] = live
                if config is not None:
                    self._read[name] = config
                else:
                    self._read.pop(name, None)
        return live

    def _lock(self, name: str) -> threading.Lock:
        return self._locks[hash(name) % len(self._locks)]

    def _configured(self, name: str, config: Config | None) -> StudySpec:
        """The specification of a study that is not stored."""
        if config is None:
            raise StudyNotFound(
                f"there is no study {name!r}: put a {name}.yaml into the server's config folder"
            )
        if config.spec is None:
            assert config.error is not None
            raise config.error.again()
        return config.spec

    def _config(self, name: str) -> Config | None:
        """The configuration file as it is now, read again only if it changed."""
        for suffix in SUFFIXES:
            path = self._configs / f"{name}{suffix}"
            try:
                status = path.stat()
            except OSError:
                continue
            signature = (suffix, status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._read.get(name)
            if known is not None and known.signature == signature:
                return known
            try:
                return Config(signature=signature, spec=read_config(path), error=None)
            except FileNotFoundError:
                continue
            except ConfigInvalid as error:
                return Config(signature=signature, spec=None, error=error)
        return None

    def _load(self, name: str, config: Config | None) -> Study | None:
        """The stored study of this name or slug, or None."""
        found = self._stores.find(name)
        own = name
        if found is None:
            slugged = (each for each in self._stores.names() if slug_of(each) == name != each)
            own = next(slugged, name)
            found = None if own == name else self._stores.find(own)
        if found is None:
            return None
        return self._live_study(own, *found, self._stored_spec(*found, config))

    def _create(self, name: str, spec: StudySpec) -> Study:
        store = self._stores.for_new(name)
        return self._live_study(name, store, create_study(store, name, spec, self._clock()), spec)

    def _stored_spec(self, store: Store, study_id: int, config: Config | None) -> StudySpec:
        """The specification in force when the study was last served."""
        stored = store.get_study_system_attrs(study_id).get(SPEC)
        if stored is not None:
            return spec_from_mapping(stored)
        trials = store.get_all_trials(study_id, deepcopy=False)
        wanted = config.spec if config is not None else None
        names = [objective.name for objective in wanted.objectives] if wanted is not None else []
        return spec_of_history(store.get_study_directions(study_id), trials, names)

    def _live_study(self, name: str, store: Store, study_id: int, spec: StudySpec) -> Study:
        logger.info(
            "study %s is open: sampler %s by %s",
            name,
            spec.sampler["name"],
            engine_of(spec.problem),
        )
        return Study(
            StudyState(
                store,
                study_id,
                name=name,
                spec=spec,
                clock=self._clock,
                new_id=self._new_id,
                feed=self._feed(name),
            )
        )

    def _follow(self, live: Study, config: Config | None) -> None:
        """Bring the study in step with its configuration, as far as its history allows."""
        if config is None:
            live.follow(live.spec)  # a file that was in the way is gone
        elif config.error is not None:
            live.hold_spec(config.error)
        elif config.spec is not None:
            if diff := live.conflicts(config.spec):
                live.hold_spec(
                    SpecConflict(
                        "the configuration was changed in a way the study's trials cannot live with: "
                        "undo the change, or give the study a new name "
                        "(`optunapi fork OLD NEW` takes along the history that fits)",
                        diff=diff,
                    )
                )
            else:
                live.follow(config.spec)


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise NameInvalid(
            "a study's name has 1 to 128 letters, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )


def create_study(store: Store, name: str, spec: StudySpec, now: float) -> int:
    """A new study with its specification and the points to be tried first; return its id."""
    with store.unit() as unit:
        study_id = store.create_new_study(spec.directions, name)
        store.set_study_system_attr(study_id, SPEC, spec.to_json())
        store.set_study_system_attr(study_id, STUDY, StudyRecord(created_at=now).to_json())
        for key, value in spec.user_attrs.items():
            store.set_study_user_attr(study_id, key, value)
        for point in spec.enqueue:
            template, record = waiting_trial(point, spec, now)
            template.system_attrs |= record.attrs()
            store.add_trial(study_id, template)
    unit.commit.result()
    return study_id
