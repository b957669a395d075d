"""A trainer on a machine that reaches the server only by a tunnel: one process of its own.

`trainer.py GATEWAY REMOTE KEY KNOWN_HOSTS STUDY TRIALS` prints a JSON line for each trial it told.
Whatever request gets lost is the client's to make again.
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
