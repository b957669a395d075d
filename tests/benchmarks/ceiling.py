"""The ceiling: the same server stack, answering with constants of the same shape."""

from typing import Any

from fastapi import FastAPI

PARAMS = {
    "optimizer": "adam",
    "layers": 3,
    "units": 64,
    "batch": 32,
    "lr": 0.001234567890123,
    "momentum": 0.912345678901234,
    "dropout": 0.212345678901234,
}

app = FastAPI()


@app.get("/optunapi/ping")
async def ping() -> str:
    return "The Optuna-server is alive!"


@app.get("/optunapi/hparams/{model_name}")
async def hparams(model_name: str) -> dict[str, Any]:
    return {
        "model_name": model_name,
        "trial_id": 1234,
        "params": PARAMS,
        "running_trials": 32,
        "completed_trials": 1202,
    }


@app.get("/optunapi/score/{model_name}")
async def score(model_name: str, trial_id: int, score: float) -> dict[str, Any]:
    return {
        "model_name": model_name,
        "trial_id": trial_id,
        "params": PARAMS,
        "score": score,
        "best_trial": 1021,
        "best_trial_id": 1021,
        "best_score_id": 1021,
        "best_params": PARAMS,
        "best_score": 0.123456789012345,
        "running_trials": 31,
        "completed_trials": 1203,
        "state": "complete",
    }
