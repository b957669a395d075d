"""Simulated parallel workers: the seed decides which trial finishes when, the same on every side."""

import heapq
import random
from typing import Protocol

from tests.benchmarks.quality.problems import Params, Problem


class Side(Protocol):
    """One optimiser at work on one problem."""

    def ask(self) -> tuple[int, Params]:
        """The next trial's number and parameters."""

    def tell(self, number: int, loss: float) -> None:
        """A trial's result."""


def best_losses(
    side: Side, problem: Problem, *, workers: int, trials: int, seed: int
) -> list[float]:
    """Return the best loss so far after each of `trials` results of `workers` parallel workers.

    The duration of each trial is log-normal, like that of trainings.
    """
    durations = random.Random(f"{problem.name} {workers} {seed}")
    running: list[tuple[float, int, Params]] = []
    now, asked = 0.0, 0
    best: list[float] = []
    while len(best) < trials:
        while len(running) < workers and asked < trials:
            number, params = side.ask()
            heapq.heappush(running, (now + durations.lognormvariate(0, 0.5), number, params))
            asked += 1
        now, number, params = heapq.heappop(running)
        loss = problem.loss(params)
        side.tell(number, loss)
        best.append(min(loss, best[-1]) if best else loss)
    return best
