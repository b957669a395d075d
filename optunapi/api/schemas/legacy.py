"""Replies of OptunAPI 0.1's routes."""

from typing import Any, Literal

from optuna.trial import TrialState
from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, Scalar, example
from optunapi.api.schemas.trials import values_of
from optunapi.engine.values import Scoreboard, TrialView

TRIAL = {"model_name": "cifar", "trial_id": 7, "params": {"lr": 0.001}}


class LegacyAskReply(Reply):
    """A trial, as OptunAPI 0.1 hands it out."""

    model_config = ConfigDict(
        json_schema_extra=example(**TRIAL, running_trials=1, completed_trials=6)
    )

    model_name: str
    trial_id: int
    params: dict[str, Scalar]
    running_trials: int
    completed_trials: int


class LegacyTellReply(LegacyAskReply):
    """A scored trial and the best one, as OptunAPI 0.1 shows them."""

    model_config = ConfigDict(
        json_schema_extra=example(
            **TRIAL,
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

    score: float | list[float | None] | None
    best_trial: int | None
    best_trial_id: int | None
    best_score_id: int | None
    best_params: dict[str, Scalar] | None
    best_score: float | list[float | None] | None
    state: Literal["waiting", "running", "complete", "pruned", "fail"]


def legacy_ask(view: TrialView, board: Scoreboard) -> dict[str, Any]:
    """The reply of OptunAPI 0.1 to a GET of `hparams`."""
    return {**_trial(view), **_counts(board)}


def legacy_tell(view: TrialView, board: Scoreboard) -> dict[str, Any]:
    """The reply of OptunAPI 0.1 to a GET of `score`; `best_*` are null while no trial is complete."""
    best = board.best[0] if board.best else None
    number = None if best is None else best.number
    return {
        **_trial(view),
        "score": _scalar(values_of(view.trial)),
        "best_trial": number,
        "best_trial_id": number,
        "best_score_id": number,
        "best_params": None if best is None else best.params,
        "best_score": None if best is None else _scalar(values_of(best)),
        **_counts(board),
        "state": view.trial.state.name.lower(),
    }


def _trial(view: TrialView) -> dict[str, Any]:
    return {
        "model_name": view.study,
        "trial_id": view.trial.number,
        "params": view.trial.params,
    }


def _counts(board: Scoreboard) -> dict[str, Any]:
    return {
        "running_trials": board.counts[TrialState.RUNNING],
        "completed_trials": board.counts[TrialState.COMPLETE],
    }


def _scalar(values: list[float | None] | None) -> float | list[float | None] | None:
    return values[0] if values is not None and len(values) == 1 else values
