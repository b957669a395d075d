"""Optuna's loop on one machine of many: ask, run the objective, tell."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from optunapi.client.optuna_types.attributes import text_of
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.process.signals import enter_block, leave_block
from optunapi.client.progress import progress_bar
from optunapi.client.study_handle import Ask, StudyHandle
from optunapi.client.trial import Trial
from optunapi.client.trial_handle import TAKEN_AWAY, TrialHandle
from optunapi.errors import NoSlot, OptunAPIError, StudyFinished, StudyPaused

LONG_POLL = 10.0  # seconds; a thread that waits for a place ends this long after `stop`, at most
PAUSED_POLL = 2.0

Callback = Callable[[Any, FrozenTrial], None]
Exceptions = type[Exception] | Iterable[type[Exception]]

logger = logging.getLogger("optunapi")


class CurrentLoop(threading.local):
    """The loop that the current thread works for, if any: the one that `Study.stop` ends."""

    loop: "Loop | None" = None


@dataclass(kw_only=True)
class Loop:
    """One call of `Study.optimize`. Its threads share the remaining trials and the first error."""

    study: Any  # only for the objective and the callbacks
    study_handle: StudyHandle
    current: CurrentLoop
    objective: Callable[[Any], Any]
    n_trials: int | None
    timeout: float | None
    n_jobs: int
    callbacks: tuple[Callback, ...]
    catch: tuple[type[Exception], ...]
    ask: Ask
    gc_after_trial: bool
    _begun: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    # Not an Event: the handler of a signal may interrupt the thread that holds its lock.
    _stopping: bool = False
    _error: BaseException | None = None
    _open: dict[TrialHandle, None] = field(default_factory=dict)

    def stop(self) -> None:
        """Begin no more trials."""
        self._stopping = True

    def end_soon(self) -> None:
        """Begin no more trials, and ask those that are open to end: the process is about to end."""
        self.stop()
        for trial in tuple(self._open):
            trial.end_soon()

    def run(self, *, show_progress_bar: bool) -> None:
        """Return when there is nothing more to do; raise the error that ended the call."""
        self._started = time.monotonic()
        bar = progress_bar(self.study_handle, self.n_trials, shown=show_progress_bar)
        # In this thread too if others work: handlers of signals run here, and may call `study.stop()`.
        self.current.loop = self
        enter_block(self.end_soon)
        try:
            with bar as self._advance:
                if self.n_jobs == 1:
                    self._work()
                else:
                    self._work_in_threads()
        finally:
            leave_block(self.end_soon)
            self.current.loop = None

    def _work_in_threads(self) -> None:
        # Daemons: nothing here can interrupt an objective, and Ctrl-C must end the process.
        threads = [
            threading.Thread(target=self._work_or_note, name=f"optunapi-job-{n}", daemon=True)
            for n in range(self.n_jobs)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(timeout=1.0)  # without a timeout, Windows does not react to Ctrl-C
        except BaseException:
            self.stop()
            self._end_all()
            raise
        if self._error is not None:
            raise self._error

    def _work_or_note(self) -> None:
        self.current.loop = self
        try:
            self._work()
        except BaseException as error:
            self.stop()
            with self._lock:
                self._error = self._error or error

    def _end_all(self) -> None:
        """Keep the results that are on their way, then give the other trials back, which needs a server."""
        with self._lock:
            left = sorted(self._open, key=lambda trial: trial.is_open)
        for trial in left:
            try:
                trial.end_now()
            except (OptunAPIError, OSError) as error:
                logger.warning("%s was not given back: %s", trial, error)

    def _work(self) -> None:
        while self._may_begin():
            trial = self._next()
            if trial is None:
                return
            self._run(trial)
            if self.gc_after_trial:
                gc.collect()

    def _may_begin(self) -> bool:
        """Whether this call begins another trial; if so, that is counted."""
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

    def _next(self) -> TrialHandle | None:
        """Wait for the next trial; return None if this call gets no more."""
        while not self._is_over():
            try:
                document = self.study_handle.ask(self.ask, wait=min(LONG_POLL, self._left()))
            except StudyFinished as end:
                logger.info("study %s is finished: %s", self.study_handle.name, end.detail)
                return None
            except NoSlot:
                continue
            except StudyPaused:
                logger.info("study %s is paused: waiting", self.study_handle.name)
                time.sleep(min(PAUSED_POLL, max(0.0, self._left())))
            else:
                trial = TrialHandle.handed_out(self.study, self.study_handle, document)
                if not self._stopping:
                    return trial
                trial.release()
        return None

    def _run(self, trial: TrialHandle) -> None:
        with self._lock:
            self._open[trial] = None
        try:
            with Trial(trial) as shown:
                self._tell(trial, self.objective(shown))
        except Exception as error:
            if isinstance(error, TAKEN_AWAY) and not trial.is_open:
                logger.warning("%s was taken away: %s", trial, error)
            elif isinstance(error, self.catch):
                kind, text = type(error).__name__, text_of(error)
                logger.warning("%s failed: %s: %s", trial, kind, text, exc_info=True)
            else:
                raise
        finally:
            with self._lock:
                del self._open[trial]
        if trial.result is None:
            return
        logger.info("%s: %s %s", trial, trial.result.state, trial.result.values)
        for callback in self.callbacks:
            callback(self.study, trial.result)
        self._advance(trial.result)

    def _tell(self, trial: TrialHandle, returned: Any) -> None:
        if not trial.is_open:  # the objective told the trial or gave it back
            return
        if returned is None and trial.stop_requested:
            return  # the end of the block decides
        trial.tell_as_optuna(returned)
