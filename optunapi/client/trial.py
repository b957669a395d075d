"""The trial that an objective is given: Optuna's `Trial`, whose study is on a server."""

import copy
import math
import os
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from optunapi.client.optuna_types.attributes import attribute, constraint
from optunapi.client.optuna_types.distributions import (
    CategoricalDistribution,
    Distribution,
    FloatDistribution,
    IntDistribution,
)
from optunapi.client.optuna_types.frozen import FrozenTrial, time_of
from optunapi.client.optuna_types.scalars import number_of, shown, unwrapped
from optunapi.client.trial_handle import TrialHandle
from optunapi.errors import ValueInvalid
from optunapi.ranges import clash, range_in_words

Choice = TypeVar("Choice")


class Trial:
    """A trial that this process works on. Its lease is renewed in the background until it is closed.

    As a context manager it is closed when the block ends: an exception fails it, `TrialPruned` prunes it
    (and goes no further), an interrupt gives it back, and a lost lease tells nothing. A block that ends
    without a result fails the trial with the reason `no-score`: no value is invented.

    Requests raise what the server refuses, and `ServerUnavailable` after `retry_for` seconds.
    """

    def __init__(self, handle: TrialHandle) -> None:
        self._handle = handle
        self._held = handle.held
        self._reported = {int(step) for step in handle.document["intermediate_values"]}

    def __repr__(self) -> str:
        return f"<Trial {self.number} of study {self._handle.study_handle.name!r}>"

    @property
    def study(self) -> Any:
        """The `Study` it belongs to."""
        return self._handle.study

    @property
    def number(self) -> int:
        """Its number within the study, counted from 0."""
        return self._held.number

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters: the configured ones from the start, others once they are suggested."""
        return dict(self._held.params)

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The distributions of its parameters, as far as this client knows them."""
        return self._handle.distributions(self._handle.document["spec_version"])

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Its user attributes."""
        return copy.deepcopy(self._held.user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """Its constraints; the trial is feasible if none is above 0."""
        return dict(self._held.constraints)

    @property
    def datetime_start(self) -> datetime | None:
        """When this attempt began: naive, local time."""
        return time_of(self._handle.document["started_at"])

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
        return self._held.lease

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
            ValueInvalid: the name belongs to another kind of parameter, or the study's configuration gave
                a value that is not in this range.
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
            ValueInvalid: the name belongs to another kind of parameter, or has other choices.
        """
        found: Choice = self._suggest(name, CategoricalDistribution(tuple(choices)))
        return found

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high)`; deprecated, as in Optuna."""
        return self._deprecated("suggest_uniform", name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float(name, low, high, log=True)`; deprecated, as in Optuna."""
        return self._deprecated("suggest_loguniform", name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """`suggest_float(name, low, high, step=q)`; deprecated, as in Optuna."""
        return self._deprecated("suggest_discrete_uniform", name, low, high, step=q)

    def _deprecated(
        self, method: str, name: str, low: float, high: float, log: bool = False, step: Any = None
    ) -> float:
        text = f"{method} is deprecated: use suggest_float(…, step={step}, log={log})"
        warnings.warn(text, FutureWarning, stacklevel=3)
        return float(self._suggest(name, FloatDistribution(low, high, log, step)))

    def _suggest(self, name: str, distribution: Distribution) -> Any:
        params, suggested = self._held.params, self._handle.suggested
        known = suggested.get(name)
        if known is None and name in params:
            known = self.distributions.get(name)
        if known is not None and known.is_kind_of(distribution):
            if known != distribution:
                if name not in suggested and not distribution.contains(params[name]):
                    where = f"in the study's configuration, which gave {params[name]},"
                    raise ValueInvalid(clash(name, known.to_wire(), where, distribution.to_wire()))
                # To configure a part of the objective's range is to narrow the search on purpose.
                if name in suggested or not distribution.includes(known):
                    warnings.warn(
                        f"{name!r} was sampled from {range_in_words(known.to_wire())} and keeps its "
                        f"value: {range_in_words(distribution.to_wire())} is ignored",
                        RuntimeWarning,
                        stacklevel=3,
                    )
            value = params[name]
        else:
            # Only the server knows which other distributions the name has, in other trials too.
            known = distribution
            asked = {"name": name, "distribution": distribution.to_wire()}
            value = self._handle.call_with_lease("suggest", asked, "value")["value"]
        suggested[name] = known
        # As in Optuna, the parameters have the caller's own objects as choices, None and True included.
        params[name] = distribution.value_of(unwrapped(value))
        return params[name]

    # Reports, attributes, constraints and artifacts

    def report(self, value: float, step: int) -> "Trial":
        """Report an intermediate value; return the trial. `should_prune` then returns the server's answer.

        The first value of a step is kept. NaN and infinite values are kept too; JSON shows them as null.

        Raises:
            NotImplementedError: the study has several objectives.
            TypeError: `float` does not take the value, or `int` the step.
            ValueError: the step is negative.
            LeaseLost: the trial was handed on: end the training.
        """
        self._refuse_several_objectives("report")
        value = number_of(value)
        try:
            step = int(step)
        except (TypeError, ValueError):
            raise TypeError(f"the step {shown(step)} is not an integer") from None
        if step < 0:
            raise ValueError(f"the step {step} is negative")
        if step in self._reported:
            text = f"step {step} was reported before, and its first value is kept"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        sent: dict[str, Any] = {"step": step, "value": value if math.isfinite(value) else None}
        if math.isinf(value):
            sent["infinity"] = "+" if value > 0 else "-"
        answer = self._handle.call_with_lease("report", sent, "should_prune")
        self._reported.add(step)
        self._handle.should_prune = bool(answer["should_prune"])
        self._held.update(answer)
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
        if self._held.lost is not None:
            raise self._held.lost.again()
        return self._handle.should_prune or self._handle.should_stop

    def set_user_attr(self, key: str, value: Any) -> None:
        """Send an attribute, also after the trial is closed. If the server is not reached while the trial is
        open, it is sent with the result.

        What JSON cannot hold is kept as null (a number that is not finite, a value that is too large) or
        as its text (any other object), with a warning.

        Raises:
            ServerUnavailable: the trial is closed, and the server is not reached.
        """
        self._handle.set_user_attr(*attribute(self._handle, key, value))
        self._held.user_attrs[key] = value

    def set_constraint(self, name: str, value: float) -> None:
        """Set a constraint, which holds at 0 or below. It is sent with the result.

        The first value of a name is kept. An infinite value is kept as the largest float, with a warning.

        Raises:
            TypeError: `float` does not take the value.
            ValueError: the value is NaN.
        """
        name, value = constraint(self._handle, name, value)
        if name in self._held.constraints:
            text = f"the constraint {name!r} was set before, and its first value is kept"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
            return
        self._held.constraints[name] = value

    def upload_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> str:
        """Keep a file with the trial, under its own name or under `name`; return that name.

        An artifact that has this name is replaced.

        Raises:
            OSError: the file cannot be read.
            TooLarge: the file exceeds the server's limit.
        """
        file, kind = Path(path), "application/octet-stream"
        place = ("artifacts", name or file.name)
        self._handle.call("PUT", *place, content=file, content_type=kind, fields=("filename",))
        return place[1]

    # The end

    def tell(self, values: Any, state: Any = "complete") -> FrozenTrial:
        """Close the trial with its result. A value that is not finite fails it, with a warning.

        Raises:
            TypeError: a value is not a number; the trial stays open.
            ValueInvalid: there are too few or too many values; the trial stays open.
            TrialFinished, LeaseLost: see `Study.tell`.
        """
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
        """Begin the block, in which SIGTERM raises SystemExit and so gives the trial back.

        If the program has a handler, that is called instead, and `stop_requested` becomes True.
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
