"""A trainer that can reach the server only through a tunnel, in its own process.

`trainer.py GATEWAY REMOTE KEY KNOWN_HOSTS STUDY TRIALS` prints a JSON line for each trial it told.
The client repeats lost requests by itself.
"""

import json
import logging
import sys

from optunapi import Client, Study, Trial, open_tunnel
from optunapi.client.optuna_types.frozen import FrozenTrial

PATIENCE = 60.0
STEPS = 2


def main(*words: str) -> None:
    gateway, remote, key, known_hosts, study, trials = words
    logging.basicConfig(level=logging.WARNING)
    tunnel = open_tunnel(
        gateway, remote, key=key, known_hosts=known_hosts, keepalive=0.5, timeout=2
    )

    def objective(trial: Trial) -> float:
        score = float(sum(value**2 for value in trial.params.values()))
        for step in range(STEPS):
            trial.report(score, step)
        return score

    def told(_: Study, trial: FrozenTrial) -> None:
        print(json.dumps({"number": trial.number, "port": tunnel.port}), flush=True)

    with tunnel as url:
        client = Client(url, timeout=10, retry_for=PATIENCE)
        client.study(study).optimize(objective, n_trials=int(trials), callbacks=[told])


if __name__ == "__main__":
    main(*sys.argv[1:])
