"""Objectives written for Optuna. They run with Optuna, and without it on OptunAPI."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

try:
    from optuna import TrialPruned
except ImportError:
    from optunapi import TrialPruned  # type: ignore[assignment]


Direction = Literal["minimize", "maximize"]

SEED = 7


def conditional(trial: Any) -> float:
    classifier = trial.suggest_categorical("classifier", ["svc", "forest", None])
    if classifier == "svc":
        c = trial.suggest_float("svc_c", 1e-10, 1e10, log=True)
        return abs(math.log10(c))
    if classifier == "forest":
        depth = trial.suggest_int("forest_max_depth", 2, 32, log=True)
        return float(depth)
    return 40.0


def layers(trial: Any) -> float:
    n_layers = trial.suggest_int("n_layers", 1, 4)
    size = 0
    for i in range(n_layers):
        size += trial.suggest_int(f"n_units_l{i}", 4, 128, step=4)
        size -= int(10 * trial.suggest_float(f"dropout_l{i}", 0.2, 0.5))
    optimizer = trial.suggest_categorical("optimizer", ("Adam", "RMSprop", "SGD"))
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.set_user_attr("size", size)
    return float(size * lr + len(optimizer))


def pruned(trial: Any) -> float:
    alpha = trial.suggest_float("alpha", 0.0, 1.0)
    accuracy = 0.0
    for step in range(10):
        accuracy += alpha / (step + 1)
        trial.report(accuracy, step)
        if trial.should_prune():
            raise TrialPruned
    return accuracy


def several(trial: Any) -> tuple[float, float]:
    x = trial.suggest_float("x", 0, 5)
    y = trial.suggest_float("y", 0, 3, step=0.5)
    return 4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2


def constrained(trial: Any) -> float:
    x = trial.suggest_float("x", -15, 30)
    trial.set_constraint("x is at least 1", 1 - x)
    trial.set_constraint("even", float(trial.suggest_int("n", 0, 9) % 2))
    return float(x**2)


def fails_now_and_then(trial: Any) -> Any:
    x = trial.suggest_float("x", 0, 1)
    outcome = trial.suggest_categorical(
        "outcome", ["fine", "nan", "none", "text", "two values", "numpy"]
    )
    returned = {
        "nan": float("nan"),
        "none": None,
        "text": "good",
        "two values": [x, x],
        "numpy": Zero(x),
    }
    return returned.get(outcome, x)


@dataclass
class Zero:
    """Acts like a scalar of numpy or torch, where neither is installed."""

    number: float
    shape: tuple[int, ...] = ()

    def item(self) -> float:
        return self.number

    def __float__(self) -> float:
        return self.number


@dataclass(frozen=True, kw_only=True)
class Case:
    """An objective, and the settings of its study."""

    objective: Callable[[Any], Any]
    directions: tuple[Direction, ...] = ("minimize",)
    pruner: str = "none"
    n_trials: int = 16  # TPE samples the first ten at random


CASES: Mapping[str, Case] = {
    "conditional": Case(objective=conditional),
    "layers": Case(objective=layers),
    "pruned": Case(objective=pruned, directions=("maximize",), pruner="median", n_trials=20),
    "several": Case(objective=several, directions=("minimize", "minimize")),
    "constrained": Case(objective=constrained),
    "fails-now-and-then": Case(objective=fails_now_and_then, n_trials=20),
}
