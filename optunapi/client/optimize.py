"""Optuna's loop: ask, run the objective, tell, on one machine of many."""

import gc
import logging
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from optunapi.client.endings import is_taken_away
from optunapi.client.optuna_types.scalars import numbers_of
from optunapi.client.process.signals import sigterm_ends_block
from optunapi.client.progress import Progress
from optunapi.client.study import Callback, Study
from optunapi.client.trial import Trial
from optunapi.errors import NoSlot, OptunAPIError, StudyFinished, StudyPaused

LONG_POLL = 10.0  # seconds; a thread that waits for a place ends at most so long after `stop`
PAUSED_POLL = 2.0

logger = logging.getLogger("optunapi")


@dataclass(kw_only=True)
class Loop:
    """One call of `optimize`. Its threads share what is left of `n_trials` and the first error."""

    study: Study
    objective: Callable[[Any], Any]
    n_trials: int | None
    timeout: float | None
    n_jobs: int
    callbacks: tuple[Callback, ...]
    catch: tuple[type[Exception], ...]
    worker: str | None
    lease_seconds: float | None
    gc_after_trial: bool
    _begun: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False  # and no Event, whose lock a signal's handler could find taken
    _error: BaseException | None = None
    _open: dict[Trial, None] = field(default_factory=dict)

    def stop(self) -> None:
        """Begin no more trials."""
        self._stopping = True

    def ask_to_end(self) -> None:
        """End soon: the process is to end."""
        self.stop()
        for trial in tuple(self._open):
            trial.ask_to_end()

    def run(self, *, show_progress_bar: bool) -> None:
        """Return when there is nothing more to do; raise what ended it otherwise."""
        self._started = time.monotonic()
        self._progress = Progress.of(self.study, self.n_trials, shown=show_progress_bar)
        # Here too where threads work: a signal's handler that calls `study.stop()` is run here.
        self.study.enter_loop(self)
        try:
            with self._progress, sigterm_ends_block(self.ask_to_end):
                if self.n_jobs == 1:
                    self._work()
                else:
                    self._work_in_threads()
        finally:
            self.study.enter_loop(None)

    def _work_in_threads(self) -> None:
        # Daemons, since an objective cannot be interrupted from here: Ctrl-C must end the process.
        threads = [
            threading.Thread(target=self._work_or_note, name=f"optunapi-job-{n}", daemon=True)
            for n in range(self.n_jobs)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(timeout=1.0)  # without one, Windows would not hear of Ctrl-C
        except BaseException:
            self.stop()
            self._release_all()
            raise
        if self._error is not None:
            raise self._error

    def _work_or_note(self) -> None:
        self.study.enter_loop(self)
        try:
            self._work()
        except BaseException as error:
            self.stop()
            with self._lock:
                self._error = self._error or error

    def _release_all(self) -> None:
        with self._lock:
            held = [trial for trial in self._open if trial.is_open]
        for trial in held:
            try:
                trial.release()
            except OptunAPIError as error:
                logger.warning("%r was not given back: %s", trial, error)

    def _work(self) -> None:
        while self._take_turn():
            trial = self._next()
            if trial is None:
                return
            self._run(trial)
            if self.gc_after_trial:
                gc.collect()

    def _take_turn(self) -> bool:
        with self._lock:
            if self._is_over() or (self.n_trials is not None and self._begun >= self.n_trials):
                return False
            self._begun += 1
            return True

    def _left(self) -> float:
        """Seconds until no new trial is begun."""
        if self.timeout is None:
            return float("inf")
        return self.timeout - (time.monotonic() - self._started)

    def _is_over(self) -> bool:
        return self._stopping or self._left() <= 0

    def _next(self) -> Trial | None:
        """The next trial, however long it takes; None when there will be none for this call."""
        while not self._is_over():
            try:
                trial = self.study.ask(
                    worker=self.worker,
                    lease_seconds=self.lease_seconds,
                    wait=min(LONG_POLL, self._left()),
                )
            except StudyFinished as end:
                logger.info("study %s is finished: %s", self.study.name, end.detail)
                return None
            except NoSlot:
                continue
            except StudyPaused:
                logger.info("study %s is paused: waiting", self.study.name)
                time.sleep(min(PAUSED_POLL, max(0.0, self._left())))
            else:
                if not self._stopping:
                    return trial
                trial.release()
        return None

    def _run(self, trial: Trial) -> None:
        with self._lock:
            self._open[trial] = None
        try:
            with trial:
                self._tell(trial, self.objective(trial))
        except Exception as error:
            if is_taken_away(error) and not trial.is_open:
                logger.warning("%r was taken away: %s", trial, error)
            elif isinstance(error, self.catch):
                logger.warning("%r failed: %r", trial, error, exc_info=True)
            else:
                raise
        finally:
            with self._lock:
                del self._open[trial]
        if trial.result is None:
            return
        logger.info("%r: %s %s", trial, trial.result.state, trial.result.values)
        for callback in self.callbacks:
            callback(self.study, trial.result)
        self._progress.advance(trial.result)

    def _tell(self, trial: Trial, returned: Any) -> None:
        if not trial.is_open:  # the objective told, or gave back, the trial itself
            return
        if returned is None and trial.stop_requested:
            return  # the end of the block knows what to do
        try:
            values = numbers_of(returned)
        except TypeError as error:
            self._fail(trial, str(error))
            return
        wanted = len(self.study.directions)
        if len(values) != wanted:
            self._fail(trial, f"{len(values)} value(s) returned for {wanted} objective(s)")
            return
        trial.tell(values)

    def _fail(self, trial: Trial, reason: str) -> None:
        trial.fail(reason)
        warnings.warn(f"{trial!r} failed: {reason}", RuntimeWarning, stacklevel=2)
