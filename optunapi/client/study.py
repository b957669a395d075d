"""One study on a server: its trials are asked for, told, looked at and queued; and Optuna's loop."""

import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optunapi.client.connection import STUDY_FIELDS, TRIAL_FIELDS, Connection
from optunapi.client.events import StudyEvent, follow
from optunapi.client.files import Spec, Trials, format_of, save_export, spec_sent, trials_sent
from optunapi.client.leases import HeldTrial
from optunapi.client.optimize import Callback, CurrentLoop, Exceptions, Loop
from optunapi.client.optuna_types.attributes import attributes
from optunapi.client.optuna_types.frozen import FrozenTrial
from optunapi.client.optuna_types.states import StudyDirection, TrialState
from optunapi.client.study_handle import Ask, StudyHandle
from optunapi.client.trial import Trial
from optunapi.client.trial_handle import TrialHandle

LONGEST_POLL = 5.0


class Study:
    """A study. Its name and directions are known; everything else is requested when it is used.

    Requests raise what the server refuses, and `ServerUnavailable` after the client's `retry_for` seconds.
    """

    def __init__(self, connection: Connection, document: Mapping[str, Any]) -> None:
        self.connection = connection
        self._handle = StudyHandle(connection, document)
        self._current = CurrentLoop()

    def __reduce__(self) -> tuple[Any, ...]:
        return Study, (self.connection, self._handle.document)

    def __repr__(self) -> str:
        return f"<Study {self.name!r} at {self.connection.url}>"

    # The study itself

    @property
    def name(self) -> str:
        """Its name."""
        return self._handle.name

    @property
    def study_name(self) -> str:
        """Its name, as Optuna calls it."""
        return self.name

    @property
    def slug(self) -> str:
        """Its name in the server's paths, usually the same."""
        return self._handle.slug

    @property
    def directions(self) -> list[StudyDirection]:
        """The direction of each objective."""
        return self._handle.directions

    @property
    def direction(self) -> StudyDirection:
        """The direction of the only objective.

        Raises:
            RuntimeError: there are several objectives.
        """
        self._refuse_several("direction", "directions")
        return self.directions[0]

    @property
    def metric_names(self) -> list[str] | None:
        """The names of the objectives, now; None if nobody named them."""
        names = self.document().get("metric_names")
        return None if names is None else list(names)

    @property
    def state(self) -> str:
        """`open`, `paused` or `finished`, now."""
        return str(self.document()["state"])

    @property
    def finished_reason(self) -> str | None:
        """Why it is finished, such as max_trials, target or stopped; None while it is not."""
        return self.document()["finished_reason"]  # type: ignore[no-any-return]

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Its user attributes, now."""
        return dict(self.document()["user_attrs"])

    @property
    def description(self) -> str | None:
        """What it is about, now."""
        return self.document()["description"]  # type: ignore[no-any-return]

    @property
    def limits(self) -> dict[str, Any]:
        """Where it ends or holds back, now; None where it does not. `target` has objectives' names."""
        return dict(self.document()["limits"])

    @property
    def spec(self) -> dict[str, Any]:
        """The specification in force, with its defaults filled in: what a new study is made of."""
        return dict(self._handle.call("GET", "spec", fields=("spec",))["spec"])

    def document(self) -> dict[str, Any]:
        """Return everything that the server says about the study now, as on the wire."""
        return self._handle.refresh()

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set an attribute of the study. What JSON cannot hold is kept as by `Trial.set_user_attr`."""
        self._change({"user_attrs": attributes(self, {key: value})})

    def set_metric_names(self, metric_names: Sequence[str]) -> None:
        """Name the objectives, in their order; `target` and `importances` go by these names.

        Raises:
            ValueError: there is not one name for each objective.
            BadRequest: a name is empty or there twice, for example.
        """
        if len(metric_names) != len(self.directions):
            raise ValueError(
                f"{len(metric_names)} names for {len(self.directions)} objective(s): give one for each"
            )
        self._change({"metric_names": list(metric_names)})

    def set_description(self, description: str | None) -> None:
        """Say what the study is about."""
        self._change({"description": description})

    def set_limits(self, **limits: Any) -> None:
        """Set limits, such as `max_trials=500`, and leave the others; None lifts one.

        Raises:
            BadRequest: there is no such limit, or a study cannot have this value.
        """
        self._change({"limits": limits})

    def set_spec(self, spec: Spec) -> None:
        """Put another specification in force. Trials that ran are kept.

        Args:
            spec: A whole one, as for `create_study`; or `{"version": …}`, to go back to an earlier one.

        Raises:
            SpecConflict: the trials do not fit it, or the study has a configuration file;
                `extra["diff"]` says where.
            ConfigInvalid: it has errors; `extra["errors"]` lists all of them.
        """
        self._handle.call("POST", "spec", fields=STUDY_FIELDS, **spec_sent(spec))

    def pause(self) -> None:
        """Hand out nothing until `resume`; running trials go on."""
        self._change({"state": "paused"})

    def resume(self) -> None:
        """Open a study that was paused or stopped."""
        self._change({"state": "open"})

    def events(self) -> Iterator[StudyEvent]:
        """Iterate over what happens in the study from now on, until it is deleted.

        A lost connection is opened again where it ended. A `reset` event says that some were missed.
        """
        return follow(self.connection, self.slug)

    def wait_until_finished(self, timeout: float | None = None) -> bool:
        """Return True when the study is finished, False when `timeout` seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while self.state != "finished":
            left = LONGEST_POLL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_POLL)
        return True

    # Ask and tell

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
        """Return a trial to work on.

        Args:
            worker: The worker's name; by default this host's name and the process id.
            resume: Return the running trial of a restarted worker with this name, with its reports.
            lease_seconds: Seconds until the trial may be handed on; the lease is renewed in the background.
                None means the study's own lease, if it has one.
            wait: Seconds to wait until a trial or a place is free.
            fixed_params: Values of some parameters; the others are sampled.
            user_attrs: Attributes to keep with the trial.

        Raises:
            NoSlot: nothing is free now, but something may become free.
            StudyFinished, StudyPaused: nothing is handed out.
            SpecConflict: the study's configuration no longer fits its trials.
            ValueInvalid: a fixed value is not in the search space.
        """
        ask = Ask(
            worker=worker,
            resume=resume,
            lease_seconds=lease_seconds,
            fixed_params=fixed_params,
            user_attrs=attributes(self, user_attrs),
        )
        return self._handed_out(self._handle.ask(ask, wait=wait))

    def ask_batch(
        self,
        count: int,
        worker: str | None = None,
        lease_seconds: float | None = 60,
        *,
        user_attrs: Mapping[str, Any] | None = None,
    ) -> list[Trial]:
        """Return up to `count` (1 to 1000) trials, as many as the limits allow but at least one.

        Raises: as `ask`.
        """
        attrs = attributes(self, user_attrs)
        ask = Ask(worker=worker, lease_seconds=lease_seconds, user_attrs=attrs)
        return [self._handed_out(document) for document in self._handle.ask_batch(ask, count)]

    def _handed_out(self, document: Mapping[str, Any]) -> Trial:
        return Trial(TrialHandle.handed_out(self, self._handle, document))

    def tell(
        self,
        number: int | Trial,
        values: Any = None,
        state: Any = None,
        lease: str | None = None,
        *,
        reason: str | None = None,
    ) -> FrozenTrial:
        """Close a trial; return it. The first result counts, and telling it again does no harm.

        Args:
            number: The trial, or its number.
            values: A number for each objective, also a boolean or one of numpy or torch.
            state: `complete`, `pruned` (its value is the last report's), `fail`, or Optuna's TrialState.
                Without it the trial is complete; values that are not finite numbers, one for each
                objective, fail it with a warning.
            lease: The lease's id, which `pruned` and `fail` need; by default the one this client holds.
            reason: Why the trial failed.

        Returns: the closed trial. If the server was not reached for `retry_for` seconds, the result is
            kept on disk, with a warning, and the trial is returned as it will be.

        Raises:
            ValueError: the state is `complete` and the values are not finite numbers, one for each
                objective; the trial stays open.
            TrialFinished: the trial has another result; `extra["trial"]` is the stored trial.
            LeaseLost: the trial was handed on, and the state is `fail` or `pruned`; or it never had this
                lease.
            StudyReplaced: the study was deleted, and another one has its name.
        """
        number = number.number if isinstance(number, Trial) else number
        held = self.connection.held.get(self.slug, number)
        if held is None or (lease is not None and lease != held.lease):
            held = HeldTrial(
                study=self.slug, number=number, lease=lease, study_uid=self._handle.uid
            )
        told = None if state is None else TrialState.of(state)
        return TrialHandle(self, self._handle, held, {}).tell_as_optuna(values, told, reason)

    def cancel(self, number: int) -> FrozenTrial:
        """Fail a waiting or running trial, reason `cancelled`; return it. No lease is needed.

        Raises:
            TrialFinished: it is finished.
            StudyReplaced: the study was deleted, and another one has its name.
        """
        path = "trials", str(number)
        return self._frozen(
            self._handle.call("DELETE", *path, query=self._named(), fields=TRIAL_FIELDS)
        )

    def retry(self, number: int) -> FrozenTrial:
        """Queue the parameters of a failed trial again; return the new trial.

        Raises:
            TrialFinished: the trial is complete or pruned.
            StudyBusy, TrialWaiting: it is running, or in the queue.
            StudyFinished: the study's limits leave no place for it.
            StudyReplaced: the study was deleted, and another one has its name.
        """
        verb = f"trials/{number}/retry"
        return self._frozen(self._post_once(verb, *TRIAL_FIELDS, body=self._named()))

    def _named(self) -> dict[str, str]:
        return {} if self._handle.uid is None else {"study_uid": self._handle.uid}

    # Trials to look at

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial as it is now.

        Raises:
            TrialNotFound: no trial has this number.
        """
        return self._frozen(self._handle.call("GET", "trials", str(number), fields=TRIAL_FIELDS))

    def trials(self, state: Any = None) -> Iterator[FrozenTrial]:
        """Iterate over the trials by number, all or those in one state, requested page by page."""
        query = {} if state is None else {"state": TrialState.of(state).word}
        for document in self.connection.pages("studies", self.slug, "trials", query=query):
            yield self._frozen(document)

    @property
    def best_trials(self) -> list[FrozenTrial]:
        """The best trial; with several objectives the Pareto front."""
        found = self._handle.call("GET", "best", fields=("items",))
        return [self._frozen(each) for each in found["items"]]

    @property
    def best_trial(self) -> FrozenTrial:
        """The best trial that is complete and feasible.

        Raises:
            ValueError: no trial is complete and feasible.
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
        if (value := self.best_trial.value) is None:  # Optuna allows infinite values, JSON does not
            raise ValueError("the best trial's value is not finite")
        return value

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's parameters.

        Raises: as `best_trial`.
        """
        return dict(self.best_trial.params)

    # The queue, and trials from elsewhere

    def enqueue(
        self,
        params: Mapping[str, Any],
        user_attrs: Mapping[str, Any] | None = None,
        skip_if_exists: bool = False,
    ) -> FrozenTrial:
        """Queue a point that is tried before new ones are sampled; missing parameters are sampled.

        Raises:
            ValueInvalid: a value is not in the search space.
            StudyFinished: the study's limits leave no place for it.
        """
        point = {"params": dict(params), "user_attrs": attributes(self, user_attrs)}
        body = {**point, "skip_if_exists": skip_if_exists}
        return self._frozen(self._post_once("queue", *TRIAL_FIELDS, body=body))

    def enqueue_trial(
        self,
        params: Mapping[str, Any],
        user_attrs: Mapping[str, Any] | None = None,
        skip_if_exists: bool = False,
    ) -> None:
        """`enqueue`, as Optuna calls it."""
        self.enqueue(params, user_attrs, skip_if_exists)

    def import_trials(self, items: Trials) -> int:
        """Import trials, all or none; return how many. Limits do not apply.

        Args:
            items: The path of a file that `export` wrote as jsonl, whose trials come back in the state
                they had; or finished trials. Each of those has `params`, and `values` or `state`, and may
                have distributions, user_attrs, constraints, intermediate_values, started_at, finished_at
                and reason, as on the wire.

        Raises:
            ValueInvalid: a trial does not fit the study.
            BadRequest: a trial is not written as on the wire.
            OSError: the file cannot be read.
        """
        return int(self._post_once("import", "imported", **trials_sent(items))["imported"])

    def export(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Write all trials, as they are at one moment, to a file; it is complete or not written at all.

        Args:
            path: The file; one that exists is replaced.
            format: `jsonl`, which `import_trials` takes, or `csv`; by default the end of the path.

        Raises:
            ValueError: there is no such format.
            OSError: the file cannot be written.
        """
        path = Path(path)
        save_export(self.connection, self.slug, format or format_of(path), path)

    # Optuna's loop

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
        """Run an objective written for Optuna on trials of this study.

        The call ends when the study is finished, after `n_trials` or `timeout`, or when the objective or a
        callback calls `stop()`. While every place is taken or the study is paused, it waits.

        A NaN, None or the wrong number of values fails the trial with a warning, and the call goes on, as
        in Optuna. It also goes on after a trial that was handed on or cancelled. Any other exception fails
        the trial and, unless it is in `catch`, ends the call when the other threads are done.

        Args:
            objective: Takes a `Trial`; returns a value, or a sequence with one for each objective.
            n_trials: How many trials this call begins; the study's own limits count for all machines.
            timeout: Seconds after which no trial is begun.
            n_jobs: The number of threads; -1 means one for each processor.
            callbacks: Called with the study and the finished `FrozenTrial` after each trial.
            catch: Exceptions that do not end the call.
            show_progress_bar: Show one if stderr is a terminal and rich is installed.
            worker: As for `ask`.
            lease_seconds: As for `ask`.
            gc_after_trial: Collect garbage after each trial.

        Raises:
            RuntimeError: it is called by its own objective or callback.
            ValueError: `n_jobs` is not a number of threads.
        """
        if self._current.loop is not None:
            raise RuntimeError("`optimize` is called by its own objective or callback")
        if n_jobs < 1 and n_jobs != -1:
            raise ValueError(f"`n_jobs` is {n_jobs}: it is 1 or more, or -1 for each processor")
        Loop(
            study=self,
            study_handle=self._handle,
            current=self._current,
            objective=objective,
            n_trials=n_trials,
            timeout=None if timeout is None else float(timeout),
            n_jobs=(os.cpu_count() or 1) if n_jobs == -1 else n_jobs,
            callbacks=tuple(callbacks or ()),
            catch=(catch,) if isinstance(catch, type) else tuple(catch),
            ask=Ask(worker=worker, lease_seconds=lease_seconds),
            gc_after_trial=gc_after_trial,
        ).run(show_progress_bar=show_progress_bar)

    def stop(self) -> None:
        """Within `optimize`, end that call after the trials that it has begun, as in Optuna.

        Anywhere else, finish the study for everybody: nothing more is handed out, and every running trial
        is asked to stop.
        """
        if self._current.loop is not None:
            self._current.loop.stop()
        else:
            self._change({"state": "finished"})

    def _change(self, body: Mapping[str, Any]) -> None:
        self._handle.call("PATCH", body=body, fields=STUDY_FIELDS)

    def _post_once(self, verb: str, *fields: str, **sent: Any) -> Any:
        """Send a request that the server carries out once, however often it arrives."""
        key = uuid.uuid4().hex
        return self._handle.call("POST", *verb.split("/"), key=key, fields=fields, **sent)

    def _frozen(self, document: Mapping[str, Any]) -> FrozenTrial:
        return self._handle.frozen(self, document, {})

    def _refuse_several(self, name: str, instead: str) -> None:
        if len(self.directions) > 1:
            raise RuntimeError(f"a study of several objectives has no `{name}`: use `{instead}`")
