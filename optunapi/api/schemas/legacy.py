"""The wire's models of OptunAPI 0.1's routes."""

from typing import Literal

from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, Scalar, example


class LegacyAskReply(Reply):
    """A trial, as OptunAPI 0.1 hands it out."""

    model_config = ConfigDict(
        json_schema_extra=example(
            model_name="cifar",
            trial_id=7,
            params={"lr": 0.001},
            running_trials=1,
            completed_trials=6,
        )
    )

    model_name: str
    trial_id: int
    params: dict[str, Scalar]
    running_trials: int
    completed_trials: int


class LegacyTellReply(Reply):
    """A scored trial and the best one, as OptunAPI 0.1 shows them."""

    model_config = ConfigDict(
        json_schema_extra=example(
            model_name="cifar",
            trial_id=7,
            params={"lr": 0.001},
            score=0.02,
            best_trial=7,
            best_trial_id=7,
            best_score_id=7,
            best_params={"lr": 0.001},
            best_score=0.02,
            running_trials=0,
            completed_trials=7,
            state="complete",
        )
    )

    model_name: str
    trial_id: int
    params: dict[str, Scalar]
    score: float | list[float | None] | None
    best_trial: int | None
    best_trial_id: int | None
    best_score_id: int | None
    best_params: dict[str, Scalar] | None
    best_score: float | list[float | None] | None
    running_trials: int
    completed_trials: int
    state: Literal["waiting", "running", "complete", "pruned", "fail"]
