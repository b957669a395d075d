"""Our pairs a second over a peer's, in rounds that alternate."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.driver import closed_loop
from tests.benchmarks.findings import Line, figure, spread
from tests.benchmarks.histories import spec
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours, put_study
from tests.benchmarks.throughput import CLIENTS, sound


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What we are compared with, and in what."""

    name: str
    title: str
    sampler: str  # ours, of the same kind as theirs
    goal: float | None = None

    def line(self, *, value: float | None, detail: str) -> Line:
        """Its line: how often our rate is theirs."""
        return Line(
            name=self.name,
            work=f"pairs/s with `{self.sampler}` ÷ {self.title}",
            value=value,
            goal=self.goal,
            at_least=True,
            detail=detail,
        )


def compared(run: Run, peer: Peer, their_rate: Callable[[], float]) -> Line:
    """The line of a peer, whose pairs a second in a new study `their_rate` measures."""
    history = run.size(2_000, 400)
    mine, theirs = [], []
    with ours(run.new_folder("home")) as server:
        for number in range(run.size(3, 1)):
            run.say(f"Beside {peer.title}, round {number + 1}")
            theirs.append(their_rate())
            study = f"{peer.sampler}-{number}"
            put_study(server, study, spec(peer.sampler))
            load = closed_loop(server.port, study, clients=CLIENTS, pairs=history)
            mine.append(load.pairs / sound(load))
    ratios = [our_rate / rate for our_rate, rate in zip(mine, theirs, strict=True)]
    rates = f"{figure(statistics.median(mine))} against {figure(statistics.median(theirs))}"
    return peer.line(value=statistics.median(ratios), detail=f"{rates} pairs/s; {spread(ratios)}")
