"""A progress bar on a terminal."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.states import StudyDirection, TrialState
from optunapi.client.study_handle import StudyHandle


@contextmanager
def progress_bar(
    study: StudyHandle, n_trials: int | None, *, shown: bool
) -> Iterator[Callable[[FrozenTrial], None]]:
    """Show a bar in the block if it is wanted, stderr is a terminal, and rich is installed.

    The block gets a function to call when a trial has ended. The bar has the number of these trials, the
    elapsed time, and the best value of the study and of these trials.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    columns = _columns() if shown and is_terminal else None
    if columns is None:
        yield lambda _: None
        return
    directions, lock = study.directions, threading.Lock()
    better = max if directions[0] == StudyDirection.MAXIMIZE else min
    found = study.refresh()["best"]
    best: list[float] = (found["values"] or []) if found and len(directions) == 1 else []

    def text() -> str:
        return f"best {best[0]:.6g}" if best else ""

    def advance(trial: FrozenTrial) -> None:
        with lock:
            if trial.state == TrialState.COMPLETE and len(directions) == 1:
                assert trial.values is not None
                best[:] = [better(best + trial.values)]
            columns.update(task, advance=1, best=text())

    task = columns.add_task(study.name, total=n_trials, best=text())
    with columns:
        yield advance


def _columns() -> Any:
    """Return rich's progress display, or None if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
    except ImportError:
        return None
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
        console=Console(stderr=True),
    )
