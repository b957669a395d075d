"""A trainer of OptunAPI 0.1 with requests: `with_requests.py ASK_URL SCORE_URL ID_NAME`."""

import math
import sys

import requests


def main(ask_url: str, score_url: str, id_name: str) -> None:
    while True:
        asked = requests.get(ask_url, timeout=60)
        if asked.status_code == 409:
            print(asked.json()["code"])
            return
        asked.raise_for_status()
        trial = asked.json()
        lr, n, x = (trial["params"][name] for name in ("lr", "n", "x"))
        root = math.sqrt(x) if x >= 0 else math.nan
        score = lr if n == 0 else lr * n + root
        query = {id_name: trial["trial_id"], "score": score}
        requests.get(score_url, params=query, timeout=60).raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
