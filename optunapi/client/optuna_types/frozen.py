"""A trial as it was at one moment: to look at, and for callbacks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from optunapi.client.optuna_types.distributions import Distribution
from optunapi.client.optuna_types.states import TrialState
from optunapi.local_times import local_time, time_between


@dataclass(frozen=True, kw_only=True)
class FrozenTrial:
    """The attributes of Optuna's `FrozenTrial`, and those that only OptunAPI has.

    Times are naive and local, as in Optuna. `distributions` has those that this client knows: what it
    suggested itself, and the study's configuration. `attempt` counts how often the trial was handed out.
    `fail_reason` is the reported reason, or lease-expired, timeout or cancelled. `study` is the `Study`.
    """

    study: Any = field(compare=False)  # not typed as Study, whose module imports this one
    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: list[float] | None = None
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    worker: str | None = None
    attempt: int = 0
    stop_requested: bool = False
    fail_reason: str | None = None
    spec_version: str | None = None
    datetime_start: datetime | None = None
    datetime_complete: datetime | None = None

    @classmethod
    def of(
        cls, study: Any, document: Mapping[str, Any], distributions: Mapping[str, Distribution]
    ) -> Self:
        """The trial of a reply."""
        params = {
            name: distributions[name].value_of(value) if name in distributions else value
            for name, value in document["params"].items()
        }
        return cls(
            study=study,
            number=document["number"],
            state=TrialState.of(document["state"]),
            params=params,
            values=document["values"],
            distributions={n: d for n, d in distributions.items() if n in params},
            intermediate_values={
                int(step): math.nan if value is None else value
                for step, value in document["intermediate_values"].items()
            },
            datetime_start=time_of(document["started_at"]),
            datetime_complete=time_of(document["finished_at"]),
            constraints=document["constraints"],
            user_attrs=document["user_attrs"],
            worker=document["worker"],
            attempt=document["attempt"],
            stop_requested=document["stop_requested"],
            fail_reason=document["fail_reason"],
            spec_version=document["spec_version"],
        )

    @property
    def value(self) -> float | None:
        """The value of the only objective.

        Raises:
            RuntimeError: there are several objectives.
        """
        if self.values is None:
            return None
        if len(self.values) > 1:
            raise RuntimeError("a trial of several objectives has `values`")
        return self.values[0]

    @property
    def last_step(self) -> int | None:
        """The highest reported step."""
        return max(self.intermediate_values, default=None)

    @property
    def duration(self) -> timedelta | None:
        """The time from start to end, if the trial is finished."""
        if self.datetime_start is None or self.datetime_complete is None:
            return None
        return time_between(self.datetime_start, self.datetime_complete)


def time_of(text: str | None) -> datetime | None:
    """Return a time on the wire as Optuna has it: naive and local."""
    return None if text is None else local_time(datetime.fromisoformat(text))
