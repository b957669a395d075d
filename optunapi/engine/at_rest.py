"""Studies that are not open, as a list shows them: read from their files, which stay as they are."""

from typing import NamedTuple, cast

from optunapi.engine.clock import Clock
from optunapi.engine.config_files import Config, ConfigFiles
from optunapi.engine.identity import NewId, stored_uid
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.state.versions import spec_in_force
from optunapi.engine.store import Store, StoredStudy, Stores
from optunapi.engine.values import StudyView

MOST_KEPT = 20_000


class _Kept(NamedTuple):
    """A view, what it was made of, and when time alone changes it."""

    file: tuple[int, ...]
    config: Config | None
    view: StudyView
    until: float | None


class AtRest:
    """The views of studies that are not open, kept until their files change. From any thread."""

    def __init__(self, configs: ConfigFiles, stores: Stores, clock: Clock, new_id: NewId) -> None:
        self._configs = configs
        self._stores = stores
        self._clock = clock
        self._new_id = new_id
        self._kept: dict[str, _Kept] = {}

    def view(self, name: str, stored: StoredStudy) -> StudyView | None:
        """The study as its files have it; None if it has to be opened, which may change it.

        That is so for a study that this server never opened, or whose configuration has changed since.
        """
        config = self._configs.find(name)
        if stored.signature is None or stored.fault is not None:
            return None
        kept = self._kept.get(name)
        if (
            kept is not None
            and (kept.file, kept.config) == (stored.signature, config)
            and (kept.until is None or self._clock.now() < kept.until)
        ):
            return kept.view
        found = self._stores.look(stored)
        if found is None:
            return None
        # It has all that is read of a store, and nothing below changes it.
        store, study_id = cast(tuple[Store, int], found)
        uid, spec = stored_uid(store, study_id), spec_in_force(store, study_id)
        content = spec if config is None else config.content
        if uid is None or content != spec or not isinstance(spec, StudySpec):
            return None
        state = StudyState(
            store,
            study_id,
            name=stored.name,
            slug=name,
            uid=uid,
            spec=spec,
            clock=self._clock,
            new_id=self._new_id,
        )
        state.has_file = config is not None
        with state.unit():
            view, due = state.study_view(), state.due_in()
        until = None if due is None else self._clock.now() + due
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = _Kept(stored.signature, config, view, until)
        return view
