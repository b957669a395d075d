"""Pairs per second of 32 closed-loop clients, in short rounds that alternate with the ceiling."""

import statistics
from dataclasses import dataclass

from tests.benchmarks.driver import Load, closed_loop
from tests.benchmarks.findings import Found, Line, figure, spread
from tests.benchmarks.histories import spec
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ceiling, ours, put_study
from tests.support import Server

CLIENTS = 32
FLOORS = {"tpe": (0.25, 0.4), "random": (0.5, 0.65)}


@dataclass(frozen=True, kw_only=True)
class Round:
    """The seconds that the same number of pairs took each side."""

    pairs: int
    seconds: float
    ceiling_seconds: float

    @property
    def ratio(self) -> float:
        return self.ceiling_seconds / self.seconds


def measure(run: Run) -> Found:
    """The share of the ceiling that `tpe` and `random` reach in studies that grow to 2,000 trials."""
    history, parts = run.size(2000, 400), run.size(8, 2)
    rounds: dict[str, list[Round]] = {sampler: [] for sampler in FLOORS}
    with ours(run.new_folder("home")) as server, ceiling(run.new_folder("ceiling")) as top:
        closed_loop(top.port, "warm", clients=CLIENTS, pairs=CLIENTS)
        for repetition in range(run.size(5, 2)):
            run.say(f"Pairs a second beside the ceiling's, round {repetition + 1}")
            for sampler in FLOORS:
                study = f"{sampler}-{repetition}"
                put_study(server, study, spec(sampler))
                rounds[sampler].append(_round(server, top, study, history, parts))
    return Found(lines=tuple(_line(sampler, history, rounds[sampler]) for sampler in FLOORS))


def _round(server: Server, top: Server, study: str, history: int, parts: int) -> Round:
    """Fill a study with trials, part by part, each followed by the same load on the ceiling."""
    seconds = ceiling_seconds = 0.0
    for _ in range(parts):
        seconds += sound(closed_loop(server.port, study, clients=CLIENTS, pairs=history // parts))
        ceiling_seconds += closed_loop(
            top.port, study, clients=CLIENTS, pairs=history // parts
        ).seconds
    return Round(pairs=history, seconds=seconds, ceiling_seconds=ceiling_seconds)


def sound(load: Load) -> float:
    """Its seconds; raises if a trial was handed out twice."""
    if load.distinct != load.pairs:
        raise RuntimeError(f"{load.pairs} asks were answered with {load.distinct} trials")
    return load.seconds


def _line(sampler: str, history: int, rounds: list[Round]) -> Line:
    floor, goal = FLOORS[sampler]
    mine = statistics.median(r.pairs / r.seconds for r in rounds)
    top = statistics.median(r.pairs / r.ceiling_seconds for r in rounds)
    ratios = [r.ratio for r in rounds]
    return Line(
        name=f"{sampler}-pairs",
        work=(
            f"ask+tell pairs/s, {CLIENTS} closed-loop clients, `{sampler}`, history up to "
            f"{history:,}, ÷ the ceiling's"
        ),
        value=statistics.median(ratios),
        floor=floor,
        goal=goal,
        at_least=True,
        detail=f"{figure(mine)} of {figure(top)} pairs/s; {spread(ratios)}",
    )
