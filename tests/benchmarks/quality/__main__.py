"""Optimisation quality of the server's `tpe` against Optuna's default sampler in a local study.

    python -m tests.benchmarks.quality [--group judged|tuning] [--seeds 20] [--trials 200]
        [--workers 1 8 32] [--json FILE] [--figure FILE] [--document FILE] [--curves FILE] [--only …]

For each problem and number of parallel workers, both sides use the same seeds, the same simulated times
and the same random points at the start. Ours runs on the engine, with a SQLite file; one problem is
repeated over HTTP to check that the result is the same. `--curves` stores all regrets in a file, and
reuses Optuna's from there. Prints a table; the exit code is 1 if a comparison does not hold.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import requests

from optunapi.lifespan import one_core_a_draw
from tests.benchmarks.quality import problems
from tests.benchmarks.quality.figure import figure
from tests.benchmarks.quality.judging import Curves, Verdict, judge, median, summary
from tests.benchmarks.quality.problems import Problem
from tests.benchmarks.quality.report import described, row, write_between_marks
from tests.benchmarks.quality.sides import (
    EngineStudy,
    ServedStudy,
    engine,
    optuna_random,
    optuna_tpe,
    spec_of,
)
from tests.benchmarks.quality.simulation import Side, best_losses
from tests.benchmarks.quality.tables import tabulated
from tests.support import running_server

GROUPS = {"judged": problems.JUDGED, "tuning": problems.TUNING}
OVER_HTTP, WORKERS_OVER_HTTP, SEEDS_OVER_HTTP = "training-7", 8, 2

Make = Callable[[Problem, int], Side]


class Regrets:
    """Every side's regrets: those of Optuna's known from an earlier run, and those measured now."""

    def __init__(self, file: Path | None, trials: int, seeds: int) -> None:
        self._file, self._trials, self._seeds = file, trials, seeds
        self._known: dict[str, Any] = (
            json.loads(file.read_text()) if file is not None and file.exists() else {}
        )

    def of(self, side: str, make: Make, problem: Problem, workers: int) -> Curves:
        """A curve for each seed."""
        key = f"{side} {problem.name} {workers} {self._trials}"
        known = [] if side == "ours" else self._known.get(key, [])
        curves = known[: self._seeds]
        for seed in range(len(curves), self._seeds):
            curves.append(regrets(make(problem, seed), problem, workers, self._trials, seed))
        if len(curves) > len(known) or side == "ours":
            self._known[key] = curves
            if self._file is not None:
                self._file.write_text(json.dumps(self._known))
        return curves


def regrets(side: Side, problem: Problem, workers: int, trials: int, seed: int) -> list[float]:
    """Return the regret after each result: the best loss so far minus the optimum."""
    best = best_losses(side, problem, workers=workers, trials=trials, seed=seed)
    return [max(0.0, loss - problem.optimum) for loss in best]


def main() -> int:
    """Compare, print and write; return 1 if a comparison does not hold."""
    options = _options()
    started = time.monotonic()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = Regrets(options.curves, options.trials, options.seeds)
    chosen = [*GROUPS[options.group], *tabulated(options.group)]
    chosen = [each for each in chosen if not options.only or each.name in options.only]
    verdicts, cells = [], []
    print(row(None), flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(
            one_core_a_draw()
        )  # as in a server: more cores would sum in other order
        storage = stack.enter_context(engine(Path(folder)))
        studies = iter(range(10**9))

        def ours(problem: Problem, seed: int) -> Side:
            return EngineStudy(storage, f"{problem.name}-{next(studies)}", problem, seed)

        for problem in chosen:
            unit = median([c[-1] for c in found.of("random", optuna_random, problem, 1)])
            for workers in options.workers:
                theirs = found.of("optuna", optuna_tpe, problem, workers)
                mine = found.of("ours", ours, problem, workers)
                verdict = judge(problem.name, workers, mine, theirs, unit)
                print(row(verdict), flush=True)
                verdicts.append(verdict)
                cells.append(described(verdict, summary(mine, unit), summary(theirs, unit)))
        same = _same_over_http(ours, options.trials) if options.group == "judged" else None
    _print_outcome(verdicts, same)
    minutes = (time.monotonic() - started) / 60
    print(f"{minutes:.0f} minutes", file=sys.stderr)
    if options.json:
        result = {
            "seeds": options.seeds,
            "trials": options.trials,
            "same_over_http": same,
            "cells": cells,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.figure:
        options.figure.write_text(figure(cells))
    if options.document:
        write_between_marks(options.document, verdicts)
    return 0 if all(verdict.holds for verdict in verdicts) and same is not False else 1


def _same_over_http(ours: Make, trials: int) -> bool:
    """Return whether a study over HTTP runs exactly as on the engine, for each seed."""
    problem = next(each for each in problems.JUDGED if each.name == OVER_HTTP)
    workers = WORKERS_OVER_HTTP
    same = True
    with (
        tempfile.TemporaryDirectory() as home,
        running_server(Path(home)) as server,
        requests.Session() as session,
    ):
        for seed in range(SEEDS_OVER_HTTP):
            served = ServedStudy(session, server.url, f"http-{seed}", spec_of(problem, seed))
            sides = (served, ours(problem, seed))
            curves = [regrets(side, problem, workers, trials, seed) for side in sides]
            same = same and curves[0] == curves[1]
    return same


def _print_outcome(verdicts: Sequence[Verdict], same: bool | None) -> None:
    held = sum(verdict.holds for verdict in verdicts)
    by_interval = sum(verdict.within for verdict in verdicts)
    print(f"{held} of {len(verdicts)} comparisons hold, {by_interval} of them by their interval")
    if same is not None:
        print(f"over HTTP, {OVER_HTTP} gives {'the same' if same else 'OTHER'} trials")


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--group", choices=GROUPS, default="judged")
    parser.add_argument("--only", nargs="+", metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    for name in ("json", "figure", "document", "curves"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
