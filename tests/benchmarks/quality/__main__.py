"""Optimisation quality through the server against Optuna's default sampler in a local study.

    python -m tests.benchmarks.quality [--seeds 20] [--trials 100] [--workers 1 8 32] [--group judged]
        [--json FILE] [--theirs FILE]

For every problem and number of parallel workers both sides have the same seeds and the same simulated
times. Prints a table and writes everything as JSON. `--theirs` takes the local studies and random
search from such a file, for what of it is there. Ends with 1 if a comparison does not hold.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import requests

from tests.benchmarks.quality import problems
from tests.benchmarks.quality.judging import Verdict, judge, summary
from tests.benchmarks.quality.problems import Problem
from tests.benchmarks.quality.sides import ServedStudy, optuna_random, optuna_tpe
from tests.benchmarks.quality.simulation import Side, best_losses
from tests.benchmarks.quality.tables import tabulated
from tests.support import running_server

GROUPS = {"judged": problems.JUDGED, "tuning": problems.TUNING}
HEADINGS = ("problem", "workers", "Optuna", "OptunAPI", "difference", "90 % interval", "holds")

Make = Callable[[Problem, int], Side]


class Regrets:
    """Every side's regrets: those known from an earlier run, and those that are measured now."""

    def __init__(self, known: dict[str, list[list[float]]], trials: int, seeds: int) -> None:
        self._known, self._trials, self._seeds = known, trials, seeds
        self.found: dict[str, list[list[float]]] = {}

    def of(self, side: str, make: Make, problem: Problem, workers: int) -> list[list[float]]:
        """A curve for each seed."""
        key = f"{side} {problem.name} {workers}"
        curves = [c for c in self._known.get(key, ()) if len(c) == self._trials][: self._seeds]
        for seed in range(len(curves), self._seeds):
            best = best_losses(
                make(problem, seed), problem, workers=workers, trials=self._trials, seed=seed
            )
            curves.append([max(0.0, loss - problem.optimum) for loss in best])
        self.found[key] = curves
        return curves


def main() -> int:
    """Compare, print, write; 1 if a comparison does not hold."""
    options = _options()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = json.loads(options.theirs.read_text())["regrets"] if options.theirs else {}
    known = {key: curves for key, curves in known.items() if not key.startswith("ours ")}
    regrets = Regrets(known, options.trials, options.seeds)
    verdicts, curves = [], []
    studies = 0
    print(" ".join(f"{heading:>17}" for heading in HEADINGS))
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        server = stack.enter_context(running_server(Path(home)))
        session = stack.enter_context(requests.Session())

        def ours(problem: Problem, seed: int) -> Side:
            nonlocal studies
            studies += 1
            name = f"{problem.name}-{studies}"
            spec = {"parameters": problem.parameters, "sampler": {"name": "tpe", "seed": seed}}
            return ServedStudy(session, server.url, name, spec)

        for problem in [*GROUPS[options.group], *tabulated(options.group)]:
            unit = _median([c[-1] for c in regrets.of("random", optuna_random, problem, 1)])
            for workers in options.workers:
                theirs = regrets.of("theirs", optuna_tpe, problem, workers)
                mine = regrets.of("ours", ours, problem, workers)
                verdict = judge(problem.name, workers, mine, theirs, unit)
                print(_row(verdict), flush=True)
                verdicts.append(verdict)
                curves.append({"ours": summary(mine, unit), "theirs": summary(theirs, unit)})
    held = sum(verdict.holds for verdict in verdicts)
    print(f"{held} of {len(verdicts)} comparisons hold")
    if options.json:
        cells = [asdict(v) | {"holds": v.holds} | c for v, c in zip(verdicts, curves, strict=True)]
        options.json.write_text(json.dumps({"cells": cells, "regrets": regrets.found}) + "\n")
    return 0 if held == len(verdicts) else 1


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return (ordered[middle] + ordered[-1 - middle]) / 2


def _row(verdict: Verdict) -> str:
    cells = (
        verdict.problem,
        verdict.workers,
        f"{verdict.theirs:.3f}",
        f"{verdict.ours:.3f}",
        f"{verdict.difference:+.3f}",
        f"{verdict.low:+.3f} {verdict.high:+.3f}",
        "yes" if verdict.holds else "NO",
    )
    return " ".join(f"{cell:>17}" for cell in cells)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--group", choices=GROUPS, default="judged")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", type=Path, default=Path("quality.json"))
    parser.add_argument("--theirs", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
