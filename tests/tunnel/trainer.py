"""A trainer on a machine that reaches the server only by a tunnel: one process of its own.

`trainer.py GATEWAY REMOTE KEY KNOWN_HOSTS STUDY TRIALS` prints a JSON line for each trial it told.
Whatever request gets lost is made again: an ask by its key, a tell by its trial.
"""

import json
import sys
import time
import uuid
from typing import Any

import requests

from optunapi.tunnel import open_tunnel

PATIENCE = 60.0


def get(url: str, **query: Any) -> Any:
    """The answer, however often it takes to get one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            response = requests.get(url, params=query, timeout=10)
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            response.raise_for_status()
            return response.json()


def main(*words: str) -> None:
    gateway, remote, key, known_hosts, study, trials = words
    tunnel = open_tunnel(
        gateway, remote, key=key, known_hosts=known_hosts, keepalive=0.5, timeout=2
    )
    with tunnel as url:
        for _ in range(int(trials)):
            trial = get(f"{url}/optunapi/hparams/{study}", key=uuid.uuid4().hex)
            number, params = trial["trial_id"], trial["params"]
            score = sum(value**2 for value in params.values())
            get(f"{url}/optunapi/score/{study}", trial_id=number, score=score)
            print(json.dumps({"number": number, "port": tunnel.port}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
