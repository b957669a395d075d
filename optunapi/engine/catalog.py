"""The studies of one server: found, listed, created, forked, deleted and listened to by name."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import TrialState

from optunapi.engine.at_rest import AtRest
from optunapi.engine.clock import Clock
from optunapi.engine.config_files import ConfigFiles, InvalidFile
from optunapi.engine.fork import Origin, fitting_history
from optunapi.engine.identity import NewId
from optunapi.engine.names import check_name
from optunapi.engine.open_studies import OpenStudies
from optunapi.engine.reports.pages import Cursor, Selection
from optunapi.engine.reports.snapshot import Snapshot
from optunapi.engine.spec.diff import differences
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import checked_point
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.state.feed import Feed, Listener
from optunapi.engine.store import ArtifactFiles, Commit, StoredStudy, Stores
from optunapi.engine.study import Study
from optunapi.engine.uploads import UnfinishedUploads
from optunapi.engine.values import SpecView, StudyView, TrialView, Version, unasked_view
from optunapi.errors import (
    ConfigInvalid,
    DatabaseUnusable,
    RequestInvalid,
    SpecConflict,
    StorageClosed,
    StorageUnavailable,
    StudyNotFound,
    Superseded,
    in_one_line,
)

LOOK_EVERY_SECONDS = 10.0
LOOK_SECONDS = 0.5  # for changed configuration files; reading thousands takes longer
UNKNOWN = spec_from_mapping({"parameters": {}})  # of a study that cannot be read

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a page of the trials of all studies ended: at this trial of this study."""

    slug: str
    uid: str
    number: int


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
        self.artifacts = artifacts
        self.clock = clock
        self._looked_at = -math.inf  # no file was
        self._configs = ConfigFiles(configs, clock)
        self._stores = stores
        self._studies = OpenStudies(self._configs, stores, clock, new_id)
        self._at_rest = AtRest(self._configs, stores, clock, new_id)
        self.uploads = UnfinishedUploads(artifacts, self._studies)

    def open(self) -> None:
        """Become the owner of the databases, and end the uploads that a killed server left unfinished.

        Raises:
            StorageUnavailable: another process is the owner; the message names it.
        """
        self._stores.open()
        self.uploads.end_interrupted()
        self._look_at_files()

    @property
    def server_id(self) -> str | None:
        """What identifies this server, at whatever address; None if it is not known."""
        return self._stores.server_id

    def find(
        self, name: str, *, check: Callable[[StudySpec], object] | None = None
    ) -> Study | None:
        """The study, or None if it has a configuration and was never asked from.

        A request has to be refused in the same way before the first ask: in place of the study,
        `check` sees its specification before None is returned.

        Raises:
            StudyNotFound: there is neither a configuration nor a stored study of this name.
            ConfigInvalid: the study is not stored, and its configuration is not valid.
            DatabaseUnusable, StorageUnavailable: its database cannot be opened.
            OptunAPIError: whatever `check` raises.
        """
        study = self._studies.find(name, create=False)
        if study is None and check is not None:
            check(self._studies.configured(name))
        return study

    @property
    def n_open(self) -> int:
        """How many studies are open."""
        return len(self._studies)

    def served(self, name: str) -> Study | None:
        """The study if it is open. Uses no disk: a changed configuration is not noticed."""
        return self._studies.get(name)

    def for_ask(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        check: Callable[[StudySpec], object] | None = None,
    ) -> Study:
        """The study, created now if it has a configuration and was never asked from.

        A request that will be refused must not create a study: before one is created, `check` is
        called with its specification, and the `params` that an ask fixes are checked against it.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
            ValueInvalid: the `params` are not in the space.
            OptunAPIError: whatever `check` raises.
        """
        if (params or check) and self.find(name) is None:
            spec = self._studies.configured(name, to_create=True)
            if params:
                checked_point(spec, params)
            if check:
                check(spec)
        study = self._studies.find(name, create=True)
        assert study is not None
        return study

    def view(self, name: str) -> tuple[StudyView, *tuple[Commit, ...]]:
        """The study as it is now, asked from or not.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        study = self.find(name)
        if study is None:
            return (unasked_view(name, self._studies.configured(name)),)
        with _still_there():
            return study.view()

    def snapshot(self, name: str) -> tuple[Snapshot, *tuple[Commit, ...]]:
        """The study with all its trials at this moment, asked from or not.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        study = self.find(name)
        if study is None:
            return (Snapshot(study=name, spec=self._studies.configured(name)),)
        with _still_there():
            return study.snapshot()

    def names(self) -> list[str]:
        """The sorted names of all studies, as URLs have them; some may turn out not to open."""
        return self._studies.names()

    def views(self, *, after: str | None, state: str | None, limit: int) -> list[StudyView]:
        """At most `limit` studies in the order of their names, after `after`, in `state` if given.

        A study that cannot be opened has the reason in `config_error`. A configuration that was never
        valid is left out: `invalid_files` has it.
        """
        found: list[tuple[str, StudyView, Sequence[Commit]]] = []
        stored = self._studies.all_stored()
        for name in sorted(self._configs.names() | stored.keys()):
            if after is not None and name <= after:
                continue
            if len(found) == limit:
                break
            try:
                view, *seen = self._listed(name, stored.get(name))
            except (StudyNotFound, ConfigInvalid):
                continue  # an invalid configuration, or a study that was deleted just now
            if state is None or view.state == state:
                found.append((name, view, seen))
        return [
            view
            if (fault := _refusal(seen)) is None
            else self._unread(name, stored.get(name), fault)
            for name, view, seen in found
        ]

    def trials(
        self, selection: Selection, *, after: Place | None, limit: int
    ) -> list[tuple[str, TrialView]]:
        """At most `limit` selected trials of all studies by study and number, each with its study's slug.

        A study that cannot be opened, or what it shows not be written, is left out.
        """
        found: list[tuple[str, TrialView]] = []
        for name in sorted(self._studies.all_stored()):
            if after is not None and name < after.slug:
                continue
            if len(found) == limit:
                break
            try:
                study = self.find(name)
                if study is None:
                    continue
                # A study made anew under this name begins with its first trial.
                is_begun = after is not None and (name, study.uid) == (after.slug, after.uid)
                cursor = Cursor(number=after.number, by_number=True) if after and is_begun else None
                with _still_there():
                    views, commit = study.trials(selection, after=cursor, limit=limit - len(found))
            except (Superseded, StorageClosed):
                raise  # it may succeed if it is tried again
            except (StudyNotFound, ConfigInvalid, StorageUnavailable):
                continue
            if _refusal([commit]) is None:
                found += [(name, view) for view in views]
        return found

    def _listed(
        self, name: str, stored: StoredStudy | None
    ) -> tuple[StudyView, *tuple[Commit, ...]]:
        """The study's view, whatever its database is like."""
        if stored is None and self.served(name) is None:  # without a look into the folder for each
            return (unasked_view(name, self._studies.configured(name)),)
        try:
            if stored is not None and self.served(name) is None:
                view = self._at_rest.view(name, stored)
                if view is not None:
                    return (view,)
            return self.view(name)
        except (Superseded, StorageClosed):
            raise  # it may succeed if it is tried again
        except (DatabaseUnusable, StorageUnavailable) as error:
            fault = error.detail
        except (StudyNotFound, ConfigInvalid):
            raise
        except Exception:
            # Whatever is wrong with one study, or with our code for it, the list has the others. Nothing is
            # hidden: a request for the study itself raises the error, and the log has it here.
            logger.exception("study %s cannot be listed", name)
            fault = "the server failed to open this study; its log has the details"
        return (self._unread(name, stored, fault),)

    def _unread(self, name: str, stored: StoredStudy | None, fault: str) -> StudyView:
        """What is known of a study whose database cannot be used."""
        config = self._configs.find(name)
        spec = None if config is None else config.content
        view = unasked_view(name, spec if isinstance(spec, StudySpec) else UNKNOWN)
        if stored is not None:
            counts = {state: stored.counts.get(state.name, 0) for state in TrialState}
            view = replace(view, name=stored.name, counts=counts)
        return replace(view, config_error=fault)

    def invalid_files(self) -> list[InvalidFile]:
        """The files of the config folder that are no study, and were none when they were last valid."""
        stored = self._studies.all_stored()
        return [each for each in self._configs.invalid(LOOK_SECONDS) if each.study not in stored]

    def _look_at_files(self) -> None:
        """Log what is wrong with files that nobody asked for yet."""
        self._looked_at = self.clock.now()
        self._configs.invalid(LOOK_SECONDS)
        with suppress(StorageUnavailable):  # the next request for a study reports it
            self._studies.all_stored()

    def put(self, name: str, spec: StudySpec) -> bool:
        """Create a study with this specification; False if there already is one with the same.

        Raises:
            NameInvalid: no study can have this name.
            SpecConflict: a study or a configuration of this name has another specification.
            ConfigInvalid: the study is not stored, and its configuration is not valid.
        """
        check_name(name)
        if self._configs.find(name) is not None:
            study = self.find(name)
            present = self._studies.configured(name) if study is None else study.spec
            reason = ": its configuration file decides"
        else:
            with self._studies.lock(name):
                study = self._studies.stored(name)
                if study is None:
                    self._studies.create(name, spec)
                    return True
            present, reason = study.spec, ""
        if study is not None:
            spec = study.with_names_in_force(spec)
        if diff := differences(present, spec):
            raise SpecConflict(
                f"there is a study of this name with another specification{reason}. In the "
                f"request, {in_one_line(diff)}",
                diff=diff,
            )
        return False

    def spec_view(self, name: str) -> tuple[SpecView, *tuple[Commit, ...]]:
        """The study's specification, and those before it.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        study = self.find(name)
        if study is None:
            spec = self._studies.configured(name)
            version = Version(spec_version=spec.version, since=None, first_trial=0)
            return (SpecView(spec=spec, source="file", versions=[version]),)
        with _still_there():
            return study.spec_view()

    def set_spec(self, name: str, wanted: StudySpec | str) -> bool:
        """Put another specification in force, or the former one of a version; see `Study.follow`.

        Returns False, and changes nothing, if it is in force already.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
            RequestInvalid: the study had no such version.
            SpecConflict: the study has a configuration file, or its trials do not fit the specification.
        """
        self.find(name)
        # Under the lock, so that of two changes one sees the other, and none comes between a look at the
        # configuration file and the change.
        with self._studies.lock(name):
            study = self._studies.stored(name)
            present = self._studies.configured(name) if study is None else study.spec
            spec = _of_version(wanted, present, study) if isinstance(wanted, str) else wanted
            named = spec if study is None else study.with_names_in_force(spec)
            if not (diff := differences(present, named)):
                return False
            if study is None or self._configs.find(name) is not None:
                raise SpecConflict(
                    "the study's configuration file decides: change the file", diff=diff
                )
            study.follow(spec)
        return True

    def fork(self, old: str, new: str) -> int:
        """Create a study with the trials of another that fit it; return how many trials that are.

        It has the specification of its own configuration file if there is one, else the other's.

        Raises:
            StudyNotFound: there is no study `old`.
            NameInvalid: no study can have the name `new`.
            SpecConflict: there already is a study `new`.
            ConfigInvalid: the configuration of a study that is not stored is not valid.
        """
        check_name(new)
        origin = self._origin(old)
        has_config = self._configs.find(new) is not None
        spec = self._studies.configured(new, to_create=True) if has_config else origin.spec
        history = fitting_history(origin, spec)
        with self._studies.lock(new):
            present = self._studies.stored(new)
            if present is not None or new == old:
                raise SpecConflict(
                    "there already is a study of this name: fork into another, or delete it first",
                    diff=[] if present is None else differences(present.spec, spec),
                )
            self._studies.create(new, spec, origin=origin, history=history)
        return len(history)

    def _origin(self, name: str) -> Origin:
        study = self.find(name)
        if study is None:
            return Origin(spec=self._studies.configured(name, to_create=True))
        with _still_there():
            origin, commit = study.origin()
            commit.result()
        return origin

    def delete(self, name: str, *, force: bool) -> bool:
        """Remove a study and its trials for good; False if nothing of it was stored.

        Its configuration stays, and the next ask creates the study again.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
            StudyBusy: trials are running, and `force` is not set.
        """
        study = self.find(name)
        if study is None:
            return False
        removed = self._studies.delete(name, study, force=force)
        self.artifacts.remove(removed.ids)
        return True

    def listen(
        self, name: str, listener: Listener, *, keep_events: bool = False
    ) -> tuple[Feed, Listener]:
        """The study's feed, and a function that ends the listening.

        Until then `listener` is called after every change. With `keep_events` the feed keeps every
        change from now on. A study that was never asked from has a feed too.

        Raises:
            StudyNotFound, ConfigInvalid: as `find`.
        """
        self.find(name)
        with self._studies.lock(name):
            feed = self._studies.feed(name)
            stop = feed.listen(listener)
        if keep_events:
            try:
                study = self.find(name)
                if study is not None:
                    study.keep_events()
                feed.keep_events()
            except BaseException:
                stop()
                raise
        return feed, stop

    def listen_to_all(self, listener: Listener) -> tuple[Feed, Listener]:
        """The feed of all studies, and a function that ends the listening.

        It keeps every change from now on, also those of studies that are opened or created later. A study
        that cannot be opened has no changes.
        """
        feed = self._studies.all_events
        feed.keep_events()  # every study looks at this when a change begins
        return feed, feed.listen(listener)

    def wind_down(self) -> None:
        """End every wait for a change and every stream of events: the server is about to stop."""
        self._studies.end_events()

    def sweep(self, idle_seconds: float) -> int:
        """Apply deadlines, close studies that were idle for `idle_seconds`, end refused uploads.

        Call it about once a second. Returns how many studies were closed or deleted since the last sweep.
        """
        self.uploads.end_refused()
        if self.clock.now() - self._looked_at >= LOOK_EVERY_SECONDS:
            self._look_at_files()
        return self._studies.sweep(idle_seconds)

    def unavailable(self) -> str | None:
        """Why some open database cannot be read or written, or None."""
        return self._stores.unavailable()

    def close(self) -> None:
        """Write what is pending and close every database; nothing is opened from now on."""
        self.uploads.close()
        self._studies.close()
        self._stores.close()


@contextmanager
def _still_there() -> Iterator[None]:
    """A block that uses a study just found. If it was deleted meanwhile, there may be another of its name.

    Raises:
        Superseded: it was deleted; another attempt finds what is there now.
    """
    try:
        yield
    except StudyNotFound as error:
        raise Superseded(error.detail) from error


def _refusal(commits: Sequence[Commit]) -> str | None:
    """Why what rests on these commits may not be shown; None once they are done.

    Raises:
        Superseded, StorageClosed: another attempt may succeed.
    """
    try:
        for commit in commits:
            commit.result()
    except (Superseded, StorageClosed):
        raise
    except StorageUnavailable as error:
        return error.detail
    return None


def _of_version(version: str, present: StudySpec, study: Study | None) -> StudySpec:
    if version == present.version:
        return present
    found = None if study is None else study.former_spec(version)
    if found is None:
        reason = (
            f"the study had no specification of version {version!r}: see `versions` of its spec"
        )
        location = ["body", "version"]
        raise RequestInvalid(reason, errors=[{"location": location, "reason": reason}])
    return found
