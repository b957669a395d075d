"""One study on a server: its trials asked for, told, looked at and queued, and Optuna's loop."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from optunapi.client.asking import ask_body
from optunapi.client.connection import TRIAL_FIELDS, Connection
from optunapi.client.leases import Hold
from optunapi.client.optuna_types.distributions import Distribution
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.states import TrialState
from optunapi.client.study_handle import KnownStudy
from optunapi.client.telling import tell_held
from optunapi.client.trial import Trial
from optunapi.errors import NoSlot

if TYPE_CHECKING:
    from optunapi.client.optimize import Loop

LONGEST_WAIT = 60.0  # of one request: proxies cut off what takes longer

Callback = Callable[["Study", FrozenTrial], None]
Exceptions = type[Exception] | Iterable[type[Exception]]


class Study(KnownStudy):
    """A study. Every method that asks the server something raises what that refuses, and
    `ServerUnavailable` when it was not reached for the client's `retry_for` seconds.

    What does not change, as its name and directions, is known from the start; everything else is
    looked up when it is asked for.
    """

    def __init__(self, connection: Connection, document: Mapping[str, Any]) -> None:
        super().__init__(connection, document)
        self._loops = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return Study, (self.connection, self._document)

    def ask(
        self,
        worker: str | None = None,
        resume: bool = False,
        lease_seconds: float | None = 60,
        wait: float = 0,
        fixed_params: Mapping[str, Any] | None = None,
        *,
        user_attrs: Mapping[str, Any] | None = None,
    ) -> Trial:
        """A trial to work on.

        Args:
            worker: Under which name, by default this host's and the process id.
            resume: Give a restarted worker of this name its own running trial back, reports kept.
            lease_seconds: How long the trial stays this worker's without a sign of life; signs are
                given in the background. None takes the study's own lease, if it has one.
            wait: Up to how many seconds to wait while no trial or place is free.
            fixed_params: Values of some parameters; the others are sampled.
            user_attrs: Attributes to keep with the trial.

        Raises:
            NoSlot: nothing is free now, something may become free.
            StudyFinished, StudyPaused: nothing is handed out.
            SpecConflict: the study's configuration no longer fits its trials.
            ValueInvalid: a fixed value is not of the search space.
        """
        body = ask_body(worker, resume, lease_seconds, fixed_params, user_attrs)
        path = ("studies", self.slug, "trials")
        deadline = time.monotonic() + wait
        while True:
            began = time.monotonic()
            patience = round(min(max(0.0, deadline - began), LONGEST_WAIT), 3)
            try:
                return self._handed_out(
                    self.connection.ask(path, body, fields=TRIAL_FIELDS, wait=patience)
                )
            except NoSlot as refusal:
                now = time.monotonic()
                if now >= deadline:
                    raise
                if now - began < patience / 2:  # a server about to stop does not wait
                    time.sleep(min(refusal.retry_after, deadline - now))

    def ask_batch(
        self,
        count: int,
        worker: str | None = None,
        lease_seconds: float | None = 60,
        *,
        user_attrs: Mapping[str, Any] | None = None,
    ) -> list[Trial]:
        """Up to `count` (1 to 1000) trials, as many as the limits allow, at least one.

        Raises: as `ask`.
        """
        body = ask_body(worker, False, lease_seconds, None, user_attrs)
        documents = self.connection.ask(
            ("studies", self.slug, "trials", "batch"), {**body, "count": count}, fields=("items",)
        )
        return [self._handed_out(document) for document in documents["items"]]

    def _handed_out(self, document: Mapping[str, Any]) -> Trial:
        return Trial(self, document, self.connection.hold(self.slug, document))

    def tell(
        self,
        number: int | Trial,
        values: Any = None,
        state: Any = "complete",
        lease: str | None = None,
        *,
        reason: str | None = None,
    ) -> FrozenTrial:
        """Close a trial; return it. The first result wins, and repeating it is harmless.

        Args:
            number: Which trial.
            values: A number for each objective, numpy's and torch's too. One that is NaN or infinite
                fails the trial, with a warning.
            state: `complete`, `pruned` (without values: the last report's) or `fail`, or Optuna's
                TrialState.
            lease: Proves that the trial is this worker's, needed for `pruned` and `fail`; by default
                the one this client holds.
            reason: Why it failed.

        Returns: the trial; if the server was not reached for `retry_for` seconds, the trial as it will
            be: the result is kept on disk then, with a warning, and any later client delivers it.

        Raises:
            TypeError: a value is no number.
            ValueInvalid: there are too few values, or too many.
            TrialFinished: the trial has another result; `extra["trial"]` is the stored trial.
            LeaseLost: a trial that was handed on was told to have failed, or to be pruned.
        """
        number = number.number if isinstance(number, Trial) else number
        hold = self.connection.held(self.slug, number)
        if hold is None or (lease is not None and lease != hold.lease):
            hold = Hold(study=self.slug, number=number, lease=lease)
        return tell_held(self, hold, values, state, reason=reason)

    def trial(self, number: int) -> FrozenTrial:
        """A trial as it is now.

        Raises:
            TrialNotFound: there is none of this number.
        """
        return self.frozen(self._call("GET", "trials", str(number), fields=TRIAL_FIELDS))

    def trials(self, state: Any = None) -> Iterator[FrozenTrial]:
        """The trials by number, all or those in one state, looked up as they are iterated over."""
        query = {} if state is None else {"state": TrialState.of(state).word}
        for document in self.connection.pages("studies", self.slug, "trials", query=query):
            yield self.frozen(document)

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The best trial; with several objectives those that no other beats in all (Pareto's front)."""
        found = self._call("GET", "best", fields=("items",))
        return [self.frozen(each) for each in found["items"]]

    @property
    def best_trial(self) -> FrozenTrial:
        """The best complete and feasible trial.

        Raises:
            ValueError: there is none.
            RuntimeError: the study has several objectives.
        """
        self._refuse_several("best_trial", "best_trials")
        for trial in self.best_trials:
            return trial
        raise ValueError("no trial is complete and feasible yet")

    @property
    def best_value(self) -> float:
        """The best trial's value.

        Raises: as `best_trial`.
        """
        value = self.best_trial.value
        if value is None:  # Optuna allows infinite values, which the wire cannot write
            raise ValueError("the best trial's value is not finite")
        return value

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters.

        Raises: as `best_trial`.
        """
        return dict(self.best_trial.params)

    def enqueue(
        self,
        params: Mapping[str, Any],
        user_attrs: Mapping[str, Any] | None = None,
        skip_if_exists: bool = False,
    ) -> FrozenTrial:
        """Queue a point to be tried before anything new is sampled; parameters left out are sampled.

        Raises:
            ValueInvalid: a value is not of the search space.
            StudyFinished: there is no place for it.
        """
        body = {
            "params": dict(params),
            "user_attrs": dict(user_attrs or {}),
            "skip_if_exists": skip_if_exists,
        }
        key = uuid.uuid4().hex
        return self.frozen(self._call("POST", "queue", body=body, key=key, fields=TRIAL_FIELDS))

    def enqueue_trial(
        self,
        params: Mapping[str, Any],
        user_attrs: Mapping[str, Any] | None = None,
        skip_if_exists: bool = False,
    ) -> None:
        """`enqueue`, as Optuna calls it."""
        self.enqueue(params, user_attrs, skip_if_exists)

    def import_trials(self, items: Iterable[Mapping[str, Any]]) -> int:
        """Take in finished trials from elsewhere, all or none; return how many. Limits do not apply.

        Each has `params`, `values` or `state`, and may have what the wire's import allows beside them
        (distributions, user_attrs, constraints, intermediate_values, started_at, finished_at, reason).

        Raises:
            ValueInvalid: one does not fit the study.
        """
        body = {"items": [dict(item) for item in items]}
        key = uuid.uuid4().hex
        reply = self._call("POST", "import", body=body, key=key, fields=("imported",))
        return int(reply["imported"])

    def optimize(
        self,
        objective: Callable[[Any], Any],
        n_trials: int | None = None,
        timeout: float | None = None,
        n_jobs: int = 1,
        callbacks: Iterable[Callback] | None = (),
        catch: Exceptions = (),
        show_progress_bar: bool = True,
        *,
        worker: str | None = None,
        lease_seconds: float | None = 60,
        gc_after_trial: bool = False,
    ) -> None:
        """Run an objective written for Optuna on trials of this study, until it or this call is done.

        It is done when the study is finished, after `n_trials` trials of this call, or when none
        was begun within `timeout` seconds. While every place is taken, or the study is paused, it
        waits. `stop()`, called by the objective or a callback, ends this call.

        A NaN, None, or the wrong number of values fails the trial with a warning and the search goes
        on, as in Optuna. So it does after a trial that was handed on or cancelled. Any other exception
        fails the trial, and unless `catch` names it, ends the call once the threads are done.

        Args:
            objective: Takes a `Trial` and returns a value, or a sequence with one for each objective.
            n_trials: How many trials this call begins; the study's own limits bind all machines.
            timeout: Seconds after which no new trial is begun.
            n_jobs: Threads; -1 is one for each processor.
            callbacks: Called with the study and the finished `FrozenTrial` after each trial.
            catch: Exceptions that do not end the call.
            show_progress_bar: Show one if stderr is a terminal and rich is installed.
            worker: As for `ask`.
            lease_seconds: As for `ask`.
            gc_after_trial: Collect garbage after each trial.

        Raises:
            RuntimeError: it is called within an objective or callback of itself.
            ValueError: `n_jobs` is no number of threads.
        """
        from optunapi.client.optimize import Loop

        if self._loop() is not None:
            raise RuntimeError("`optimize` is called by its own objective or callback")
        if n_jobs < 1 and n_jobs != -1:
            raise ValueError(f"`n_jobs` is {n_jobs}: it is 1 or more, or -1 for each processor")
        caught = (catch,) if isinstance(catch, type) else tuple(catch)
        Loop(
            study=self,
            objective=objective,
            n_trials=n_trials,
            timeout=timeout,
            n_jobs=(os.cpu_count() or 1) if n_jobs == -1 else n_jobs,
            callbacks=tuple(callbacks or ()),
            catch=caught,
            worker=worker,
            lease_seconds=lease_seconds,
            gc_after_trial=gc_after_trial,
        ).run(show_progress_bar=show_progress_bar)

    def stop(self) -> None:
        """Within `optimize`, end that call after the trials it has begun, as in Optuna.

        Anywhere else, finish the study for all: nothing more is handed out, and every running trial
        is asked to stop.
        """
        loop = self._loop()
        if loop is not None:
            loop.stop()
        else:
            self._change({"state": "finished"})

    # For trials and loops

    def frozen(
        self, document: Mapping[str, Any], known: Mapping[str, Distribution] | None = None
    ) -> FrozenTrial:
        """The trial of a reply, with the distributions of the configuration and those `known`."""
        configured = self.distributions_of(document["spec_version"])
        return FrozenTrial.of(self, document, {**configured, **(known or {})})

    def enter_loop(self, loop: "Loop | None") -> None:
        """Make `stop` in this thread end this loop."""
        self._loops.current = loop

    def _loop(self) -> "Loop | None":
        return getattr(self._loops, "current", None)
