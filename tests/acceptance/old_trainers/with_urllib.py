"""A trainer of OptunAPI 0.1 with the standard library: `with_urllib.py ASK_URL SCORE_URL ID_NAME`."""

import json
import math
import sys
from urllib.error import HTTPError
from urllib.request import urlopen


def main(ask_url: str, score_url: str, id_name: str) -> None:
    while True:
        try:
            trial = json.load(urlopen(ask_url, timeout=60))
        except HTTPError as error:
            if error.code != 409:
                raise
            print(json.load(error)["code"])
            return
        lr, n, x = (trial["params"][name] for name in ("lr", "n", "x"))
        root = math.sqrt(x) if x >= 0 else math.nan
        score = lr if n == 0 else lr * n + root
        urlopen(f"{score_url}?{id_name}={trial['trial_id']}&score={score}", timeout=60).read()


if __name__ == "__main__":
    main(*sys.argv[1:])
