"""A trainer's process: runs trials until the study is finished, and notes each in a file.

    python -m tests.client.trainer URL STUDY FILE [--jobs N] [--lease S] [--hang]

With --hang the objective prints a line for each job, and never ends.
"""

import argparse
import logging
import signal
import threading
from typing import Any

import optunapi

STEPS = 3


def value_of(params: dict[str, Any]) -> float:
    return float(params["x"] ** 2 + params["n"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("study")
    parser.add_argument("file")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--lease", type=float, default=60)
    parser.add_argument("--hang", action="store_true")
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it by default
    logging.basicConfig(level=logging.INFO)

    def objective(trial: optunapi.Trial) -> float:
        if options.hang:
            print(
                f"hangs {trial.number}\n", end="", flush=True
            )  # in one write: several threads print
            # Not one long wait: a signal just before it begins would not end it.
            while True:
                threading.Event().wait(0.05)
        value = value_of(trial.params)
        for step in range(STEPS):
            trial.report(value + step, step)
        with open(options.file, "a", encoding="utf-8") as file:
            file.write(f"{trial.number} {value!r}\n")
        return value

    study = optunapi.Client(options.url, timeout=10, retry_for=120).study(options.study)
    study.optimize(objective, n_jobs=options.jobs, lease_seconds=options.lease)


if __name__ == "__main__":
    main()
