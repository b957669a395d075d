"""An objective written for Optuna, run by the client: conditional parameters, layers, pruning, threads.

A trainer's machine needs neither Optuna nor a configuration file: the objective names its parameters as it
runs. Start it on as many machines as you like, each with a share of the trials.

    python examples/optimize_with_client.py [--url http://127.0.0.1:8000] [--trials 20] [--jobs 2]
"""

import argparse
import math

from optunapi import Client, TrialPruned

EPOCHS = 10


def objective(trial):
    """A made-up training: a formula gives the loss after each epoch."""
    n_layers = trial.suggest_int("n_layers", 1, 3)
    units = sum(trial.suggest_int(f"units_{n}", 8, 128, log=True) for n in range(n_layers))
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    slowness = abs(math.log10(lr) + 3)
    if optimizer == "sgd":
        slowness *= 1.5 - trial.suggest_float("momentum", 0.0, 0.99)
    loss = 1.0
    for epoch in range(EPOCHS):
        loss = abs(units - 96) / 200 + slowness / (epoch + 1)
        if trial.report(loss, epoch).should_prune():
            raise TrialPruned
    return loss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="the server's URL; by default OPTUNAPI_URL or a profile's")
    parser.add_argument("--study", default="layers")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    spec = {"parameters": {}, "pruner": "median"}
    study = Client(options.url).create_study(options.study, spec)
    study.optimize(objective, n_trials=options.trials, n_jobs=options.jobs)
    best = study.best_trial
    print(f"best: trial {best.number}, loss {best.value:.4g}, {best.params}")


if __name__ == "__main__":
    main()
