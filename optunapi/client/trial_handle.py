"""A trial that this process works on: what is known of it, and how it ends."""

import copy
import warnings
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from optunapi.client.endings import is_pruned, is_taken_away
from optunapi.client.leases import Hold
from optunapi.client.optuna_types.distributions import Distribution
from optunapi.client.optuna_types.frozen import FrozenTrial, local_time
from optunapi.client.process.forks import generation
from optunapi.client.process.signals import enter_block, leave_block
from optunapi.client.telling import tell_held
from optunapi.errors import OptunAPIError

if TYPE_CHECKING:
    from optunapi.client.study import Study

LONGEST_REASON = 10_000
STOPPED = "stopped"
NOT_TOLD = "no-score"


class HeldTrial:
    """A trial in hand, told or given back at the latest when its block ends."""

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

    @property
    def _should_stop(self) -> bool:
        return self._hold.stop_requested or self._hold.ending

    # The end

    def tell(self, values: Any, state: Any = "complete") -> FrozenTrial:
        """Close the trial with its result; see `Study.tell`."""
        self.result = tell_held(self._study, self._hold, values, state, trial=self)
        return self.result

    def fail(self, reason: str | None = None) -> FrozenTrial:
        """Close the trial as failed.

        Raises:
            LeaseLost: it was handed on.
        """
        if reason is not None:  # a message may hold anything, half a surrogate pair too
            text = reason.replace("\0", "\ufffd").encode(errors="replace").decode()
            reason = text[:LONGEST_REASON]
        self.result = tell_held(self._study, self._hold, None, "fail", reason=reason, trial=self)
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
