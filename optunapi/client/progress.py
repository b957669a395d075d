"""A progress bar on a terminal."""

import sys
import threading
from types import TracebackType
from typing import Any, Self

from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.states import StudyDirection, TrialState
from optunapi.client.study_handle import StudyHandle


class Progress:
    """The progress of one call of `optimize`; this class shows nothing."""

    @staticmethod
    def of(study: StudyHandle, n_trials: int | None, *, shown: bool) -> "Progress":
        """A bar, if it is wanted, stderr is a terminal and rich is installed."""
        if not shown or not sys.stderr.isatty():
            return Progress()
        try:
            import rich.progress  # noqa: F401
        except ImportError:
            return Progress()
        return _Bar(study, n_trials)

    def advance(self, trial: FrozenTrial) -> None:
        """Show that a trial has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; what was shown last stays on the screen."""


class _Bar(Progress):
    """Shows the finished trials, the elapsed time, and the best value of the study and of this call."""

    def __init__(self, study: StudyHandle, n_trials: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Columns

        self._directions = study.directions
        self._best: float | None = None
        self._lock = threading.Lock()
        best = study.refresh()["best"]
        if best is not None and len(self._directions) == 1:
            self._best = best["values"][0]
        self._columns: Any = Columns(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[best]}"),
            console=Console(stderr=True),
        )
        self._task = self._columns.add_task(study.name, total=n_trials, best=self._text())

    def _text(self) -> str:
        return "" if self._best is None else f"best {self._best:.6g}"

    def advance(self, trial: FrozenTrial) -> None:
        with self._lock:
            if trial.state == TrialState.COMPLETE and len(self._directions) == 1:
                assert trial.values is not None
                value, best = trial.values[0], self._best
                better = max if self._directions[0] == StudyDirection.MAXIMIZE else min
                self._best = value if best is None else better(best, value)
            self._columns.update(self._task, advance=1, best=self._text())

    def __enter__(self) -> Self:
        self._columns.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._columns.stop()
