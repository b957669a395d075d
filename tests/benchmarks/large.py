"""What a large study costs a server: memory, and the time from its start to the first ask."""

import statistics
import time

from tests.benchmarks.driver import Connection
from tests.benchmarks.findings import Found, Line, figure, spread
from tests.benchmarks.histories import PARAMETERS, History, home_with
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours, resident_mb

ASKS = 50


def measure(run: Run) -> Found:
    """Memory above the idle server's, and seconds to the first ask, over several starts."""
    history = History(trials=run.size(100_000, 5_000))
    home = home_with(run, history)
    memory, pings, starts = [], [], []
    for _ in range(run.size(3, 1)):
        run.say(f"Starting a server on a study of {history.trials:,} trials")
        began = time.perf_counter()
        with ours(home) as server:
            pings.append(time.perf_counter() - began)
            connection = Connection(server.port)
            idle = resident_mb(server.process.pid)
            trial, _ = connection.ask(history.study)
            starts.append(time.perf_counter() - began)
            connection.tell(history.study, trial)
            for _ in range(ASKS):
                connection.tell(history.study, connection.ask(history.study)[0])
            memory.append(resident_mb(server.process.pid) - idle)
            connection.close()
    size = f"{history.trials:,} trials x {len(PARAMETERS)} parameters"
    lines = (
        Line(
            name="memory",
            work=f"memory for a study of {size}, over the idle server",
            value=statistics.median(memory),
            unit="MB",
            floor=600,
            goal=300,
            detail=f"after {ASKS} asks; the idle server {figure(idle)} MB; {spread(memory)}",
        ),
        Line(
            name="start",
            work="start with that study in the database to first ask",
            value=statistics.median(starts),
            unit="s",
            floor=12,
            goal=5,
            detail=f"a ping after {figure(statistics.median(pings))} s; {spread(starts)}",
        ),
    )
    return Found(lines=lines)
