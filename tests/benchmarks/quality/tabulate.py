"""Make `tables.json`: the losses of scikit-learn models on its data sets, at every point of a grid.

    python -m tests.benchmarks.quality.tabulate [NAME …]

A loss is the mean over three folds: the log loss for classes, or the squared error relative to the
variance for numbers. It takes some minutes; the result is committed, so that benchmarks train nothing.
With names, only those tables are made, and the others are kept.
"""

import argparse
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets, ensemble, linear_model, neighbors, neural_network, svm  # type: ignore[import-untyped]
from sklearn.decomposition import PCA  # type: ignore[import-untyped]
from sklearn.kernel_ridge import KernelRidge  # type: ignore[import-untyped]
from sklearn.metrics import log_loss  # type: ignore[import-untyped]
from sklearn.model_selection import KFold, StratifiedKFold  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

TABLES = Path(__file__).with_name("tables.json")
FOLDS = 3
SAMPLES = 600


@dataclass(frozen=True, kw_only=True)
class Task:
    """A model on a data set, and the values of each of its parameters to try.

    `stages`, where a model has them, is the parameter whose values come from one training.
    """

    name: str
    load: Callable[..., Any]
    model: Callable[..., Any]
    grid: Mapping[str, Sequence[Any]]
    log: frozenset[str] = frozenset()
    stages: str | None = None


def decades(low: float, high: float, count: int) -> list[float]:
    """`count` values from 10**low to 10**high, evenly laid out on a logarithmic axis."""
    return [round(10**power, 12) for power in np.linspace(low, high, count)]


def _support(**found: Any) -> Any:
    return make_pipeline(StandardScaler(), svm.SVC(probability=True, random_state=0, **found))


def _support_regression(**found: Any) -> Any:
    return make_pipeline(StandardScaler(), svm.SVR(**found))


def _network(hidden: int, **found: Any) -> Any:
    network = neural_network.MLPClassifier((hidden,), max_iter=60, random_state=0, **found)
    return make_pipeline(StandardScaler(), network)


def _descent(**found: Any) -> Any:
    descent = linear_model.SGDClassifier(loss="log_loss", max_iter=50, random_state=0, **found)
    return make_pipeline(StandardScaler(), descent)


def _descent_regression(**found: Any) -> Any:
    descent = linear_model.SGDRegressor(max_iter=50, random_state=0, **found)
    return make_pipeline(StandardScaler(), descent)


def _forest(**found: Any) -> Any:
    return ensemble.RandomForestClassifier(n_estimators=40, random_state=0, **found)


def _extra_trees(**found: Any) -> Any:
    return ensemble.ExtraTreesRegressor(n_estimators=40, random_state=0, **found)


def _boosting(n_estimators: int, **found: Any) -> Any:
    return ensemble.GradientBoostingRegressor(n_estimators=n_estimators, random_state=0, **found)


def _boosted_classes(n_estimators: int, **found: Any) -> Any:
    return ensemble.GradientBoostingClassifier(n_estimators=n_estimators, random_state=0, **found)


def _neighbours(components: int, **found: Any) -> Any:
    reduced = PCA(components, random_state=0)
    return make_pipeline(StandardScaler(), reduced, neighbors.KNeighborsClassifier(**found))


def _ridge(**found: Any) -> Any:
    return make_pipeline(StandardScaler(), KernelRidge(**found))


def _network_regression(hidden: int, **found: Any) -> Any:
    sizes = {"hidden_layer_sizes": (hidden,), "max_iter": 60, "random_state": 0}
    network = neural_network.MLPRegressor(**sizes, **found)
    return make_pipeline(StandardScaler(), network)


def _friedman(return_X_y: bool) -> Any:  # noqa: ARG001, N803
    return datasets.make_friedman1(300, noise=1.0, random_state=0)


def _circuit(return_X_y: bool) -> Any:  # noqa: ARG001, N803
    inputs, targets = datasets.make_friedman2(300, noise=50.0, random_state=0)
    return inputs, targets / np.std(targets)


JUDGED = (
    Task(
        name="svm-digits",
        load=datasets.load_digits,
        model=_support,
        grid={
            "kernel": ["rbf", "poly", "sigmoid"],
            "C": decades(-2, 3, 9),
            "gamma": decades(-5, 0, 9),
        },
        log=frozenset({"C", "gamma"}),
    ),
    Task(
        name="forest-digits",
        load=datasets.load_digits,
        model=_forest,
        grid={
            "max_features": [1, 2, 4, 8, 16, 32, 64],
            "max_depth": [2, 4, 6, 9, 12, 20],
            "min_samples_leaf": [1, 2, 4, 8, 16],
            "criterion": ["gini", "entropy"],
        },
        log=frozenset({"max_features", "min_samples_leaf"}),
    ),
    Task(
        name="boosting-diabetes",
        load=datasets.load_diabetes,
        model=_boosting,
        grid={
            "learning_rate": decades(-3, 0, 8),
            "max_depth": [1, 2, 3, 4, 6, 8],
            "subsample": [0.25, 0.5, 0.75, 1.0],
            "max_features": [1, 3, 5, 10],
            "n_estimators": [5, 10, 20, 40, 80, 160, 320],
        },
        log=frozenset({"learning_rate", "n_estimators"}),
        stages="n_estimators",
    ),
    Task(
        name="network-cancer",
        load=datasets.load_breast_cancer,
        model=_network,
        grid={
            "hidden": [2, 4, 8, 16, 32, 64],
            "learning_rate_init": decades(-4, 0, 9),
            "alpha": decades(-5, 1, 7),
            "activation": ["relu", "tanh", "logistic"],
        },
        log=frozenset({"hidden", "learning_rate_init", "alpha"}),
    ),
    Task(
        name="descent-cancer",
        load=datasets.load_breast_cancer,
        model=_descent,
        grid={
            "alpha": decades(-6, 0, 13),
            "eta0": decades(-4, 1, 11),
            "penalty": ["l2", "l1", "elasticnet"],
            "learning_rate": ["constant", "invscaling", "adaptive"],
        },
        log=frozenset({"alpha", "eta0"}),
    ),
)
TUNING = (
    Task(
        name="svr-diabetes",
        load=datasets.load_diabetes,
        model=_support_regression,
        grid={
            "C": decades(-1, 4, 11),
            "gamma": decades(-5, 0, 11),
            "epsilon": decades(-1, 2, 7),
        },
        log=frozenset({"C", "gamma", "epsilon"}),
    ),
    Task(
        name="neighbours-digits",
        load=datasets.load_digits,
        model=_neighbours,
        grid={
            "components": [2, 4, 8, 12, 20, 30, 45, 60],
            "n_neighbors": [1, 2, 3, 5, 8, 13, 20, 40],
            "weights": ["uniform", "distance"],
            "p": [1, 2, 3],
        },
        log=frozenset({"n_neighbors"}),
    ),
    Task(
        name="trees-diabetes",
        load=datasets.load_diabetes,
        model=_extra_trees,
        grid={
            "max_features": [1, 2, 4, 6, 8, 10],
            "max_depth": [1, 2, 4, 6, 9, 14],
            "min_samples_leaf": [1, 2, 4, 8, 16, 32],
            "bootstrap": [True, False],
        },
        log=frozenset({"min_samples_leaf"}),
    ),
    Task(
        name="boosting-wine",
        load=datasets.load_wine,
        model=_boosted_classes,
        grid={
            "learning_rate": decades(-3, 0, 8),
            "max_depth": [1, 2, 3, 5],
            "subsample": [0.25, 0.5, 0.75, 1.0],
            "n_estimators": [5, 10, 20, 40, 80, 160],
        },
        log=frozenset({"learning_rate", "n_estimators"}),
        stages="n_estimators",
    ),
    Task(
        name="boosting-friedman",
        load=_friedman,
        model=_boosting,
        grid={
            "learning_rate": decades(-3, 0, 7),
            "max_depth": [1, 2, 4, 8],
            "min_samples_leaf": [1, 5, 25],
            "max_features": [1, 4, 10],
            "n_estimators": [5, 20, 40, 80, 160, 320],
        },
        log=frozenset({"learning_rate", "min_samples_leaf", "n_estimators"}),
        stages="n_estimators",
    ),
    Task(
        name="ridge-circuit",
        load=_circuit,
        model=_ridge,
        grid={
            "kernel": ["rbf", "laplacian", "polynomial", "sigmoid"],
            "alpha": decades(-5, 2, 11),
            "gamma": decades(-4, 1, 11),
        },
        log=frozenset({"alpha", "gamma"}),
    ),
    Task(
        name="network-friedman",
        load=_friedman,
        model=_network_regression,
        grid={
            "hidden": [2, 5, 12, 30, 75],
            "learning_rate_init": decades(-4, 0, 7),
            "alpha": decades(-4, 2, 5),
            "activation": ["relu", "tanh", "logistic"],
        },
        log=frozenset({"hidden", "learning_rate_init", "alpha"}),
    ),
    Task(
        name="svm-cancer",
        load=datasets.load_breast_cancer,
        model=_support,
        grid={
            "kernel": ["linear", "rbf", "poly", "sigmoid"],
            "C": decades(-3, 3, 10),
            "gamma": decades(-5, 1, 10),
        },
        log=frozenset({"C", "gamma"}),
    ),
    Task(
        name="svm-wine",
        load=datasets.load_wine,
        model=_support,
        grid={
            "kernel": ["rbf", "poly", "sigmoid"],
            "C": decades(-2, 3, 8),
            "gamma": decades(-4, 1, 8),
            "degree": [2, 3, 4],
        },
        log=frozenset({"C", "gamma"}),
    ),
    Task(
        name="descent-wine",
        load=datasets.load_wine,
        model=_descent,
        grid={
            "alpha": decades(-6, 0, 9),
            "eta0": decades(-4, 1, 9),
            "penalty": ["l2", "l1", "elasticnet"],
            "learning_rate": ["constant", "invscaling", "adaptive", "optimal"],
        },
        log=frozenset({"alpha", "eta0"}),
    ),
    Task(
        name="descent-diabetes",
        load=datasets.load_diabetes,
        model=_descent_regression,
        grid={
            "alpha": decades(-5, 1, 9),
            "eta0": decades(-4, 0, 9),
            "loss": ["squared_error", "huber", "epsilon_insensitive"],
            "penalty": ["l2", "l1"],
            "power_t": [0.1, 0.25, 0.5, 0.75],
        },
        log=frozenset({"alpha", "eta0"}),
    ),
    Task(
        name="network-wine",
        load=datasets.load_wine,
        model=_network,
        grid={
            "hidden": [2, 5, 12, 30, 75],
            "solver": ["adam", "sgd", "lbfgs"],
            "learning_rate_init": decades(-4, 0, 7),
            "alpha": decades(-4, 2, 5),
            "activation": ["relu", "tanh"],
        },
        log=frozenset({"hidden", "learning_rate_init", "alpha"}),
    ),
    Task(
        name="forest-cancer",
        load=datasets.load_breast_cancer,
        model=_forest,
        grid={
            "max_features": [1, 2, 4, 8, 16, 30],
            "max_depth": [2, 4, 6, 9, 14],
            "min_samples_leaf": [1, 2, 4, 8, 16],
            "criterion": ["gini", "entropy"],
        },
        log=frozenset({"max_features", "min_samples_leaf"}),
    ),
)


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")  # a network that did not converge has a loss, too
    names = {task.name for task in (*JUDGED, *TUNING)}
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    wanted = frozenset(parser.parse_args().names) or names
    if not wanted <= names:
        parser.error(f"no such table: {', '.join(sorted(wanted - names))}")
    known = json.loads(TABLES.read_text()) if TABLES.exists() else {}
    tables = {
        group: {
            task.name: _table(task) if task.name in wanted else known[group][task.name]
            for task in tasks
        }
        for group, tasks in (("judged", JUDGED), ("tuning", TUNING))
    }
    TABLES.write_text(json.dumps(tables, separators=(",", ":")) + "\n")


def _table(task: Task) -> dict[str, Any]:
    losses = [round(loss, 5) for loss in _losses(task)]
    print(f"{task.name}: {len(losses)} points, {min(losses)} to {max(losses)}", flush=True)
    return {"grid": task.grid, "log": sorted(task.log), "losses": losses}


def _losses(task: Task) -> Iterator[float]:
    """The loss at every point of the grid, the last parameter changing first."""
    names = [name for name in task.grid if name != task.stages]
    for values in itertools.product(*(task.grid[name] for name in names)):
        arguments = dict(zip(names, values, strict=True))
        yield from np.mean([list(fold) for fold in _folds(task, arguments)], axis=0)


def _folds(task: Task, arguments: Mapping[str, Any]) -> Iterator[Iterator[float]]:
    inputs, targets = task.load(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(inputs))[:SAMPLES]
    inputs, targets = inputs[order], targets[order]
    classes = np.unique(targets) if targets.dtype.kind == "i" else None
    split = (KFold if classes is None else StratifiedKFold)(FOLDS)
    for train, test in split.split(inputs, targets):
        seen, unseen = ((inputs[part], targets[part]) for part in (train, test))
        yield _stages(task, arguments, seen, unseen, classes)


def _stages(
    task: Task,
    arguments: Mapping[str, Any],
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    classes: Any,
) -> Iterator[float]:
    """The loss of one training, or one for each of its stages."""
    inputs, targets = test
    if task.stages is None:
        model = task.model(**arguments).fit(*train)
        predicted = model.predict(inputs) if classes is None else model.predict_proba(inputs)
        yield _loss(targets, predicted, classes)
        return
    wanted = task.grid[task.stages]
    model = task.model(**arguments, **{task.stages: max(wanted)}).fit(*train)
    staged = model.staged_predict if classes is None else model.staged_predict_proba
    for count, predicted in enumerate(staged(inputs), 1):
        if count in wanted:
            yield _loss(targets, predicted, classes)


def _loss(targets: Any, predicted: Any, classes: Any) -> float:
    if classes is None:
        found = float(np.mean((targets - predicted) ** 2) / np.var(targets))
    else:
        found = float(log_loss(targets, np.clip(predicted, 1e-3, None), labels=classes))
    return min(found, 10.0) if math.isfinite(found) else 10.0


if __name__ == "__main__":
    main()
