"""Whether a slow sampler delays others: pings and another study's asks while GP samples."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.benchmarks.driver import Connection, command, p50, p99
from tests.benchmarks.findings import Found, Line, figure
from tests.benchmarks.histories import History, home_with, spec
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours

CLIENTS = 32
BETWEEN_SECONDS = 0.01


@dataclass(kw_only=True)
class Latencies:
    """Milliseconds of the other requests."""

    pings: list[float] = field(default_factory=list)
    asks: list[float] = field(default_factory=list)

    def take(self, connection: Connection, study: str, going_on: Callable[[], bool]) -> None:
        """Ping while `going_on()`, and ask and tell after every tenth ping."""
        while going_on():
            self.pings.append(connection.ping())
            if len(self.pings) % 10 == 0:
                trial, took = connection.ask(study)
                self.asks.append(took)
                connection.tell(study, trial)
            time.sleep(BETWEEN_SECONDS)


def measure(run: Run) -> Found:
    """Ping p99, and p50 of another study's asks, compared with a quiet server."""
    slow = History(trials=200, spec=spec("gp"))
    other = History(trials=1_000)
    seconds = float(run.size(30, 5))
    home = home_with(run, slow, other)
    quiet, busy = Latencies(), Latencies()
    with ours(home) as server:
        connection = Connection(server.port)
        for study in (slow.study, other.study):  # open them, and load what samples
            connection.tell(study, connection.ask(study)[0])
        run.say(f"Pinging a quiet server for {seconds:g} s")
        ends_at = time.perf_counter() + seconds
        quiet.take(connection, other.study, lambda: time.perf_counter() < ends_at)
        run.say(f"Pinging it for {seconds:g} s while {CLIENTS} clients ask from a GP study")
        ends_at = time.perf_counter() + seconds
        with _load(server.port, slow.study):
            busy.take(connection, other.study, lambda: time.perf_counter() < ends_at)
        path = f"/optunapi/v1/studies/{slow.study}"
        served = connection.get(path)[0]["trials"]["complete"] - slow.trials
        connection.close()
    lines = (
        Line(
            name="ping-beside-gp",
            work=f"ping p99 while {CLIENTS} clients ask from a GP study",
            value=p99(busy.pings),
            unit="ms",
            floor=100,
            goal=30,
            detail=(
                f"{len(busy.pings)} pings, p50 {figure(p50(busy.pings))} ms; quiet p99 "
                f"{figure(p99(quiet.pings))} ms; GP served {figure(served / seconds)} pairs/s"
            ),
        ),
        Line(
            name="asks-beside-gp",
            work="ask p99 of another study (`tpe`, 1,000 trials) meanwhile",
            value=p99(busy.asks),
            unit="ms",
            detail=(
                f"p50 {figure(p50(busy.asks))} ms; quiet p99 {figure(p99(quiet.asks))} ms, "
                f"p50 {figure(p50(quiet.asks))} ms"
            ),
        ),
    )
    return Found(lines=lines)


@contextmanager
def _load(port: int, study: str) -> Iterator[None]:
    """Clients that ask and tell until the block ends; then they are cut off, since asks may be slow."""
    with subprocess.Popen(command(port, study, CLIENTS, "--seconds", "3600")) as process:
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError(f"the load on {study} failed")
        finally:
            process.kill()
