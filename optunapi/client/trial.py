"""What an objective is given: Optuna's `Trial`, whose study is on a server."""

import copy
import logging
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from optunapi.client.connection import TRIAL_FIELDS, UNDELIVERED
from optunapi.client.distributions import (
    CategoricalDistribution,
    Distribution,
    FloatDistribution,
    IntDistribution,
)
from optunapi.client.frozen import FrozenTrial, local_time
from optunapi.client.interrupts import enter_block, leave_block
from optunapi.client.leases import Hold
from optunapi.client.processes import generation
from optunapi.client.scalars import number_of, unwrapped
from optunapi.errors import LeaseLost, OptunAPIError, TrialFinished

if TYPE_CHECKING:
    from optunapi.client.study import Study

LONGEST_REASON = 10_000
STOPPED = "stopped"
NOT_TOLD = "no-score"

Choice = TypeVar("Choice")

logger = logging.getLogger("optunapi")


class TrialPruned(Exception):
    """Raised by an objective whose trial is not worth going on with, as `optuna.TrialPruned` is."""


class Trial:
    """A trial that this process works on. Its lease is renewed in the background until it is told.

    As a context manager it ends with the block: an exception fails it, `TrialPruned` prunes it (and
    goes no further), an interrupt gives it back, a lost lease tells nothing. A block that ends without
    having told anything fails it, reason `no-score`: no value is invented.

    Every method that asks the server something raises what that refuses, and `ServerUnavailable`
    when it was not reached for the client's `retry_for` seconds.
    """

    def __init__(self, study: "Study", document: Mapping[str, Any], hold: Hold) -> None:
        self._study = study
        self._document = document
        self._hold = hold
        self._process = generation()
        self._params: dict[str, Any] = dict(document["params"])
        self._suggested: dict[str, Distribution] = {}
        self._reported: dict[int, float] = {
            int(step): value for step, value in document["intermediate_values"].items()
        }
        self._user_attrs: dict[str, Any] = dict(document["user_attrs"])
        self._constraints: dict[str, float] = dict(document["constraints"])
        self._should_prune = False
        self.result: FrozenTrial | None = None

    def __repr__(self) -> str:
        return f"<Trial {self.number} of study {self._study.name!r}>"

    @property
    def study(self) -> "Study":
        """The study it belongs to."""
        return self._study

    @property
    def number(self) -> int:
        """Its number within the study, which counts from 0."""
        return self._hold.number

    @property
    def params(self) -> dict[str, Any]:
        """The parameters it has: those of the configuration from the start, others as suggested."""
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The distributions of its parameters, as far as this client knows them."""
        known = self._study.distributions_of(self._document["spec_version"])
        return {n: d for n, d in {**known, **self._suggested}.items() if n in self._params}

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Its user attributes."""
        return copy.deepcopy(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """Its constraints; it is feasible when none is above 0."""
        return dict(self._constraints)

    @property
    def datetime_start(self) -> datetime | None:
        """When this attempt began: naive, local time."""
        return local_time(self._document["started_at"])

    @property
    def attempt(self) -> int:
        """How often the trial was handed out, this time included."""
        return int(self._document["attempt"])

    @property
    def worker(self) -> str | None:
        """The name it was asked for under."""
        return self._document["worker"]  # type: ignore[no-any-return]

    @property
    def lease(self) -> str | None:
        """What proves that the trial is this worker's; None where it is held for ever."""
        return self._hold.lease

    @property
    def stop_requested(self) -> bool:
        """Whether the trial should end now: somebody asked for it, its time is over, it was handed on, or
        this process got SIGTERM. Learnt from the answers to reports and renewals.
        """
        return self._should_stop or self._hold.lost is not None

    # Parameters

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from `low` to `high`, both among them.

        Raises:
            ValueError: the bounds, `step` and `log` do not go together.
            ValueInvalid: the name stands for another kind of parameter.
        """
        return float(self._suggest(name, FloatDistribution(low, high, log, step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """A whole number from `low` to `high`, both among them.

        Raises: as `suggest_float`.
        """
        return int(self._suggest(name, IntDistribution(low, high, log, step)))

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """One of the choices, the very object.

        Raises:
            ValueError: there is none.
            TypeError: one is no text, number, boolean or None.
            ValueInvalid: the name stands for another kind of parameter, or for other choices.
        """
        found: Choice = self._suggest(name, CategoricalDistribution(tuple(choices)))
        return found

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high)`, under a name that Optuna is about to drop."""
        _deprecated("suggest_uniform", "suggest_float(name, low, high)")
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high, log=True)`, under a name that Optuna is about to drop."""
        _deprecated("suggest_loguniform", "suggest_float(name, low, high, log=True)")
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """`suggest_float(name, low, high, step=q)`, under a name that Optuna is about to drop."""
        _deprecated("suggest_discrete_uniform", "suggest_float(name, low, high, step=q)")
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, distribution: Distribution) -> Any:
        known = self._suggested.get(name)
        if known is None and name in self._params:
            known = self._study.distributions_of(self._document["spec_version"]).get(name)
        if known is not None and known.is_kind_of(distribution):
            if known != distribution:
                warnings.warn(
                    f"{name!r} is asked for from another range than {known}, which it was sampled "
                    "from: it keeps its value",
                    RuntimeWarning,
                    stacklevel=3,
                )
            value = self._params[name]
        else:
            # The server knows what else the name may stand for, in other trials too.
            known = distribution
            asked = {"name": name, "distribution": distribution.to_wire()}
            value = self._send("suggest", asked, "value")["value"]
            self._hold.params[name] = value
        self._suggested[name] = known
        # In Optuna a trial's params hold the caller's own choice objects, None and True included.
        self._params[name] = distribution.value_of(unwrapped(value))
        return self._params[name]

    # On the way

    def report(self, value: float, step: int) -> "Trial":
        """Keep an intermediate value; the answer to `should_prune` comes with it. Returns the trial.

        The first value of a step is kept. One that is not finite cannot be sent: it makes a trial that
        has a pruner one to prune, as a NaN does in Optuna.

        Raises:
            NotImplementedError: the study has several objectives.
            TypeError: the value is no number, or the step no whole one.
            ValueError: the step is negative.
            LeaseLost: the trial was handed on: end the training.
        """
        self._refuse_several_objectives("report")
        value = number_of(value)
        try:
            whole = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"the step {step!r} is not a whole number") from None
        if whole < 0:
            raise ValueError(f"the step {whole} is negative")
        if not math.isfinite(value):
            warnings.warn(f"a report of {value} is not kept", RuntimeWarning, stacklevel=2)
            self._should_prune = self._study.has_pruner
            return self
        if whole in self._reported:
            warnings.warn(
                f"step {whole} was reported before, and its first value is kept",
                RuntimeWarning,
                stacklevel=2,
            )
        answer = self._send("report", {"step": whole, "value": value}, "should_prune")
        self._reported.setdefault(whole, value)
        self._should_prune = bool(answer["should_prune"])
        self._hold.learn(answer)
        return self

    def should_prune(self) -> bool:
        """Whether to raise `TrialPruned`: the pruner said so to the last report, or the trial has been
        asked to stop (and then it fails, reason `stopped`), or this process to end (and then the trial
        is given back).

        Raises:
            NotImplementedError: the study has several objectives.
            LeaseLost: the trial was handed on.
        """
        self._refuse_several_objectives("should_prune")
        if self._hold.lost is not None:
            raise self._hold.lost.again()
        return self._should_prune or self._should_stop

    @property
    def _should_stop(self) -> bool:
        return self._hold.stop_requested or self._hold.ending

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep an attribute with the trial, at once; if the server is not reached, with its result.

        Raises:
            TypeError, ValueError: JSON cannot write it.
        """
        body = {"user_attrs": {**self._hold.user_attrs, key: value}}
        try:
            self._study.connection.call("PATCH", *self._path, body=body, fields=TRIAL_FIELDS)
        except UNDELIVERED as error:
            logger.warning("attribute %r goes with the result of %r: %s", key, self, error)
            self._hold.user_attrs[key] = value
        else:
            self._hold.user_attrs.clear()
        self._user_attrs[key] = value

    def set_constraint(self, name: str, value: float) -> None:
        """Set a constraint, which holds at 0 or below. It goes with the trial's result.

        The first value of a name is kept.

        Raises:
            TypeError: the value is no number.
            ValueError: it is not finite.
        """
        value = number_of(value)
        if not math.isfinite(value):
            raise ValueError(f"the constraint {name!r} is {value}, which is not finite")
        if name in self._constraints:
            warnings.warn(
                f"the constraint {name!r} was set before, and its first value is kept",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        self._constraints[name] = value
        self._hold.constraints[name] = value

    def upload_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> str:
        """Keep a file with the trial, under its own name unless another is given; return that name.

        One of the same name is replaced.

        Raises:
            OSError: the file cannot be read.
            TooLarge: it is over the server's limit.
        """
        file = Path(path)
        filename = name or file.name
        place = (*self._path, "artifacts", filename)
        self._study.connection.call(
            "PUT",
            *place,
            content=file,
            content_type="application/octet-stream",
            fields=("filename",),
        )
        return filename

    # The end

    def tell(self, values: Any, state: Any = "complete") -> FrozenTrial:
        """Close the trial with its result; see `Study.tell`."""
        self.result = self._study.tell_held(self._hold, values, state, trial=self)
        return self.result

    def fail(self, reason: str | None = None) -> FrozenTrial:
        """Close the trial as failed.

        Raises:
            LeaseLost: it was handed on.
        """
        if reason is not None:  # a message may hold anything, half a surrogate pair too
            text = reason.replace("\0", "\ufffd").encode(errors="replace").decode()
            reason = text[:LONGEST_REASON]
        self.result = self._study.tell_held(self._hold, None, "fail", reason=reason, trial=self)
        return self.result

    def prune(self) -> FrozenTrial:
        """Close the trial as pruned, with the value that was reported last.

        Raises:
            LeaseLost: it was handed on.
        """
        return self.tell(None, "pruned")

    def release(self) -> None:
        """Give the trial back: the next ask gets it. One that was handed on is somebody else's already.

        Raises:
            TrialFinished: it is closed.
        """
        self._study.connection.release(self._hold)

    def ask_to_end(self) -> None:
        """Say that this process is to end: `stop_requested` becomes True."""
        self._hold.ending = True

    @property
    def is_open(self) -> bool:
        """Whether it was neither told nor released by this client."""
        return not self._hold.closed

    def __enter__(self) -> Self:
        """Begin the block; until its end SIGTERM raises SystemExit where it would kill the process, and
        where there is a handler makes `stop_requested` True beside it.
        """
        enter_block(self.ask_to_end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Tell what the block came to, if it did not tell so itself."""
        if generation() != self._process:  # a fork that leaves the block is not the trainer
            return False
        try:
            if self.is_open:
                self._settle(error)
        except OptunAPIError as refusal:
            if error is None or is_pruned(error):
                raise
            error.add_note(f"and the server was not told: {refusal}")
        finally:
            leave_block(self.ask_to_end)
        return error is not None and is_pruned(error)

    def _settle(self, error: BaseException | None) -> None:
        pruned = error is not None and is_pruned(error)
        if self.stop_requested and (error is None or (pruned and not self._should_prune)):
            self.release() if self._hold.ending else self.fail(STOPPED)
        elif error is None:
            warnings.warn(
                f"{self!r} was not told a value: it failed, reason {NOT_TOLD}",
                RuntimeWarning,
                stacklevel=3,
            )
            self.fail(NOT_TOLD)
        elif is_taken_away(error):
            self._study.connection.forget(self._hold)
        elif pruned:
            self.prune()
        elif isinstance(error, Exception):
            self.fail(f"{type(error).__name__}: {error}")
        else:
            self.release()

    # Requests

    @property
    def _path(self) -> tuple[str, ...]:
        return ("studies", self._hold.study, "trials", str(self.number))

    def _send(self, verb: str, body: dict[str, Any], *fields: str) -> Any:
        if self._hold.lease is not None:
            body["lease"] = self._hold.lease
        try:
            return self._study.connection.call("POST", *self._path, verb, body=body, fields=fields)
        except LeaseLost as error:
            self._hold.lost = error
            raise

    def _refuse_several_objectives(self, method: str) -> None:
        if len(self._study.directions) > 1:
            raise NotImplementedError(f"Trial.{method} is for studies with one objective")


def is_pruned(error: BaseException) -> bool:
    """Whether this is TrialPruned, ours or, where it is loaded, Optuna's."""
    optuna = sys.modules.get("optuna")
    theirs = getattr(optuna, "TrialPruned", TrialPruned)
    return isinstance(error, (TrialPruned, theirs))


def is_taken_away(error: BaseException) -> bool:
    """Whether the trial is not this worker's any more: handed on, cancelled, or told by another."""
    return isinstance(error, LeaseLost | TrialFinished)


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated: use {instead}", FutureWarning, stacklevel=3)
