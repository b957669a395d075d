"""The studies of a server and their dispatch, without HTTP."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from optunapi.api.serving.dispatch import Dispatch
from optunapi.engine.catalog import Catalog
from optunapi.engine.clock import Clock
from optunapi.engine.lifecycle import Result as Told
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, TrialView
from optunapi.storage.artifacts import ArtifactFolder
from optunapi.storage.stores import StudyFiles
from tests.unit.engine.support import LINE, Caller, done

NAME = "s"


def elsewhere(call: Callable[[], Any]) -> Any:
    """Call it in another thread and return its result: an event loop must not wait for a commit."""
    return Caller(call).outcome()


class Server:
    """The studies of a server, without its sweep; `attempts` counts the asks that were tried."""

    def __init__(self, home: Path, clock: Clock) -> None:
        ids = count()
        self.configs = home / "config"
        self.configs.mkdir()
        self.catalog = Catalog(
            configs=self.configs,
            stores=StudyFiles(home / "db"),
            artifacts=ArtifactFolder(home / "artifacts", max_file=1, max_study=1),
            clock=clock,
            new_id=lambda: f"lease-{next(ids)}",
        )
        self.catalog.open()
        self.dispatch = Dispatch(self.catalog)
        self.lines = self.dispatch._long_poll._lines
        self.attempts = 0

    def put(self, **spec: Any) -> None:
        self.catalog.put(NAME, spec_from_mapping({"parameters": LINE, **spec}))

    @property
    def study(self) -> Study:
        study = self.catalog.find(NAME)
        assert study is not None
        return study

    def ask(self, **fields: Any) -> TrialView:
        view: TrialView = elsewhere(lambda: done(self.study.ask(AskRequest(**fields))))
        return view

    def tell(self, number: int) -> None:
        told = Told(state=TrialState.COMPLETE, values=(1.0,))
        elsewhere(lambda: done(self.study.tell(number, told)))

    def waiters(self, *, with_params: bool = False) -> int:
        return len(self.lines.get((NAME, with_params), ()))
