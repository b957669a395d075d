"""The trial that an objective is given: Optuna's `Trial`, whose study is on a server."""

import copy
import logging
import math
import os
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from optunapi.client.connection import TRIAL_FIELDS
from optunapi.client.optuna_types.distributions import (
    CategoricalDistribution,
    Distribution,
    FloatDistribution,
    IntDistribution,
)
from optunapi.client.optuna_types.frozen import FrozenTrial, local_time
from optunapi.client.optuna_types.scalars import number_of, unwrapped
from optunapi.client.trial_handle import UNDELIVERED, TrialHandle

Choice = TypeVar("Choice")

logger = logging.getLogger("optunapi")


class Trial:
    """A trial that this process works on. Its lease is renewed in the background until it is closed.

    As a context manager it is closed when the block ends: an exception fails it, `TrialPruned` prunes it
    (and goes no further), an interrupt gives it back, and a lost lease tells nothing. A block that ends
    without a result fails the trial with the reason `no-score`: no value is invented.

    Methods that send a request raise what the server refuses, and `ServerUnavailable` if it was not
    reached for the client's `retry_for` seconds.
    """

    def __init__(self, handle: TrialHandle) -> None:
        self._handle = handle
        self._reported: dict[int, float] = {
            int(step): value for step, value in handle.document["intermediate_values"].items()
        }

    def __repr__(self) -> str:
        return f"<Trial {self.number} of study {self._handle.study_handle.name!r}>"

    @property
    def study(self) -> Any:
        """The `Study` it belongs to."""
        return self._handle.study

    @property
    def number(self) -> int:
        """Its number within the study, counted from 0."""
        return self._handle.held.number

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters: the configured ones from the start, others once they are suggested."""
        return dict(self._handle.params)

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The distributions of its parameters, as far as this client knows them."""
        return self._handle.distributions

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Its user attributes."""
        return copy.deepcopy(self._handle.user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """Its constraints; the trial is feasible if none is above 0."""
        return dict(self._handle.constraints)

    @property
    def datetime_start(self) -> datetime | None:
        """When this attempt began: naive, local time."""
        return local_time(self._handle.document["started_at"])

    @property
    def attempt(self) -> int:
        """How often the trial was handed out, this time included."""
        return int(self._handle.document["attempt"])

    @property
    def worker(self) -> str | None:
        """The name of the worker that asked for it."""
        return self._handle.document["worker"]  # type: ignore[no-any-return]

    @property
    def lease(self) -> str | None:
        """The lease's id, which proves that the trial is this worker's; None if there is no lease."""
        return self._handle.held.lease

    @property
    def stop_requested(self) -> bool:
        """Whether the training should end now: somebody asked for it, its time is over, the trial was
        handed on, or this process got SIGTERM. The server says so in its answers to reports and renewals.
        """
        return self._handle.stop_requested

    @property
    def is_open(self) -> bool:
        """Whether this client has neither told the trial nor given it back."""
        return self._handle.is_open

    @property
    def result(self) -> FrozenTrial | None:
        """The closed trial; None while it is open."""
        return self._handle.result

    # Parameters

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number from `low` to `high`, both included.

        Raises:
            ValueError: the bounds, `step` and `log` do not fit together.
            ValueInvalid: the study has another kind of parameter with this name.
        """
        return float(self._suggest(name, FloatDistribution(low, high, log, step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return an integer from `low` to `high`, both included.

        Raises: as `suggest_float`.
        """
        return int(self._suggest(name, IntDistribution(low, high, log, step)))

    def suggest_categorical(self, name: str, choices: Sequence[Choice]) -> Choice:
        """Return one of the choices: the same object.

        Raises:
            ValueError: there is no choice.
            TypeError: a choice is not a string, number, boolean or None.
            ValueInvalid: the study has another kind of parameter, or other choices, with this name.
        """
        found: Choice = self._suggest(name, CategoricalDistribution(tuple(choices)))
        return found

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high)`; deprecated, as in Optuna."""
        _deprecated("suggest_uniform", "suggest_float(name, low, high)")
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high, log=True)`; deprecated, as in Optuna."""
        _deprecated("suggest_loguniform", "suggest_float(name, low, high, log=True)")
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """`suggest_float(name, low, high, step=q)`; deprecated, as in Optuna."""
        _deprecated("suggest_discrete_uniform", "suggest_float(name, low, high, step=q)")
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, distribution: Distribution) -> Any:
        handle = self._handle
        known = handle.suggested.get(name)
        if known is None and name in handle.params:
            known = handle.configured.get(name)
        if known is not None and known.is_kind_of(distribution):
            if known != distribution:
                warnings.warn(
                    f"{name!r} was sampled from {known} and keeps its value: another range is ignored",
                    RuntimeWarning,
                    stacklevel=3,
                )
            value = handle.params[name]
        else:
            # Only the server knows which other distributions the name has, in other trials too.
            known = distribution
            asked = {"name": name, "distribution": distribution.to_wire()}
            value = handle.call_with_lease("suggest", asked, "value")["value"]
            handle.held.params[name] = value
        handle.suggested[name] = known
        # As in Optuna, the parameters have the caller's own objects as choices, None and True included.
        handle.params[name] = distribution.value_of(unwrapped(value))
        return handle.params[name]

    # Reports, attributes, constraints and artifacts

    def report(self, value: float, step: int) -> "Trial":
        """Report an intermediate value; return the trial. The answer has what `should_prune` returns.

        The first value of a step is kept. A value that is not finite cannot be sent; if the study has a
        pruner, the trial is then to be pruned, as after a NaN in Optuna.

        Raises:
            NotImplementedError: the study has several objectives.
            TypeError: the value is not a number, or the step is not an integer.
            ValueError: the step is negative.
            LeaseLost: the trial was handed on: end the training.
        """
        self._refuse_several_objectives("report")
        value = number_of(value)
        try:
            whole = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"the step {step!r} is not an integer") from None
        if whole < 0:
            raise ValueError(f"the step {whole} is negative")
        if not math.isfinite(value):
            warnings.warn(f"a report of {value} is not kept", RuntimeWarning, stacklevel=2)
            pruner = self._handle.study_handle.document["pruner"]["name"]
            self._handle.should_prune = bool(pruner != "none")
            return self
        if whole in self._reported:
            warnings.warn(
                f"step {whole} was reported before, and its first value is kept",
                RuntimeWarning,
                stacklevel=2,
            )
        sent = {"step": whole, "value": value}
        answer = self._handle.call_with_lease("report", sent, "should_prune")
        self._reported.setdefault(whole, value)
        self._handle.should_prune = bool(answer["should_prune"])
        self._handle.held.update(answer)
        return self

    def should_prune(self) -> bool:
        """Whether to raise `TrialPruned`.

        True if the pruner said so to the last report; if the trial has been asked to stop (it fails then,
        with the reason `stopped`); or if this process is to end (the trial is given back then).

        Raises:
            NotImplementedError: the study has several objectives.
            LeaseLost: the trial was handed on.
        """
        self._refuse_several_objectives("should_prune")
        if self._handle.held.lost is not None:
            raise self._handle.held.lost.again()
        return self._handle.should_prune or self._handle.should_stop

    def set_user_attr(self, key: str, value: Any) -> None:
        """Send an attribute; if the server is not reached, it is sent with the result.

        Raises:
            TypeError, ValueError: JSON cannot represent the value.
        """
        unsent = self._handle.held.user_attrs
        try:
            body = {"user_attrs": {**unsent, key: value}}
            self._handle.call("PATCH", body=body, fields=TRIAL_FIELDS)
        except UNDELIVERED as error:
            logger.warning(
                "the attribute %r of %s is sent with its result: %s", key, self._handle, error
            )
            unsent[key] = value
        else:
            unsent.clear()
        self._handle.user_attrs[key] = value

    def set_constraint(self, name: str, value: float) -> None:
        """Set a constraint, which holds at 0 or below. It is sent with the result.

        The first value of a name is kept.

        Raises:
            TypeError: the value is not a number.
            ValueError: the value is not finite.
        """
        value = number_of(value)
        if not math.isfinite(value):
            raise ValueError(f"the constraint {name!r} is {value}, which is not finite")
        if name in self._handle.constraints:
            warnings.warn(
                f"the constraint {name!r} was set before, and its first value is kept",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        self._handle.constraints[name] = value
        self._handle.held.constraints[name] = value

    def upload_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> str:
        """Keep a file with the trial, under its own name or under `name`; return that name.

        An artifact that has this name is replaced.

        Raises:
            OSError: the file cannot be read.
            TooLarge: the file exceeds the server's limit.
        """
        file = Path(path)
        filename = name or file.name
        self._handle.call(
            "PUT",
            "artifacts",
            filename,
            content=file,
            content_type="application/octet-stream",
            fields=("filename",),
        )
        return filename

    # The end

    def tell(self, values: Any, state: Any = "complete") -> FrozenTrial:
        """Close the trial with its result; see `Study.tell`."""
        return self._handle.tell(values, state)

    def fail(self, reason: str | None = None) -> FrozenTrial:
        """Close the trial as failed.

        Raises:
            LeaseLost: the trial was handed on.
        """
        return self._handle.tell(None, "fail", reason)

    def prune(self) -> FrozenTrial:
        """Close the trial as pruned; its value is the last report's.

        Raises:
            LeaseLost: the trial was handed on.
        """
        return self._handle.tell(None, "pruned")

    def release(self) -> None:
        """Give the trial back: the next ask gets it. If the trial was handed on, nothing is done.

        Raises:
            TrialFinished: the trial is closed.
        """
        self._handle.release()

    def __enter__(self) -> Self:
        """Begin the block, in which SIGTERM gives the trial back.

        Where the process would be killed, SystemExit is raised; a handler of the program's is called
        instead, and then `stop_requested` is True.
        """
        self._handle.begin_block()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Close the trial if it is open."""
        return self._handle.end_block(error)

    def _refuse_several_objectives(self, method: str) -> None:
        if len(self._handle.study_handle.directions) > 1:
            raise NotImplementedError(f"Trial.{method} is for studies with one objective")


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated: use {instead}", FutureWarning, stacklevel=3)
