"""What an objective is given: Optuna's `Trial`, whose study is on a server."""

import logging
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from optunapi.client.connection import TRIAL_FIELDS, UNDELIVERED
from optunapi.client.optuna_types.distributions import (
    CategoricalDistribution,
    Distribution,
    FloatDistribution,
    IntDistribution,
)
from optunapi.client.optuna_types.scalars import number_of, unwrapped
from optunapi.client.trial_handle import HeldTrial
from optunapi.errors import LeaseLost

Choice = TypeVar("Choice")

logger = logging.getLogger("optunapi")


class Trial(HeldTrial):
    """A trial that this process works on. Its lease is renewed in the background until it is told.

    As a context manager it ends with the block: an exception fails it, `TrialPruned` prunes it (and
    goes no further), an interrupt gives it back, a lost lease tells nothing. A block that ends without
    having told anything fails it, reason `no-score`: no value is invented.

    Every method that asks the server something raises what that refuses, and `ServerUnavailable`
    when it was not reached for the client's `retry_for` seconds.
    """

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


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(f"{name} is deprecated: use {instead}", FutureWarning, stacklevel=3)
