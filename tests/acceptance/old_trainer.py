"""The loop of OptunAPI 0.1's documentation, as a process: `old_trainer.py URL STUDY TRIALS`.

Prints each pair of answers as a line of JSON.
"""

import json
import sys

import requests


def main(url: str, study: str, trials: int) -> None:
    for _ in range(trials):
        hparams = requests.get(f"{url}/optunapi/hparams/{study}", timeout=120).json()
        x, y = hparams["params"]["x"], hparams["params"]["y"]
        query = {"trial_id": hparams["trial_id"], "score": x**2 + y**2}
        score = requests.get(f"{url}/optunapi/score/{study}", params=query, timeout=120).json()
        print(json.dumps({"hparams": hparams, "score": score}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
