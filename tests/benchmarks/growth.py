"""How the time of an ask grows with the study, compared with a ping and with Optuna alone."""

import time
from collections import defaultdict
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

from tests.benchmarks.driver import Connection, p50
from tests.benchmarks.findings import Curve, Found, Line, figure
from tests.benchmarks.histories import History, database, home_with
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours

SIZES = (10, 100, 1_000, 10_000, 100_000)
QUICK_SIZES = (10, 100, 1_000, 5_000)
USUAL = 1_000


def measure(run: Run) -> Found:
    """Ask p50 at 1,000 trials over ping p50, and at 100,000 over 1,000; both curves."""
    histories = [History(trials=trials) for trials in (QUICK_SIZES if run.quick else SIZES)]
    home = home_with(run, *histories)
    run.say(f"Asking one by one from studies of {histories[0].trials} to {histories[-1].trials:,}")
    pings, asks = _latencies(home, histories, run.size(200, 20))
    ping, ask = p50(pings), {trials: p50(times) for trials, times in asks.items()}
    curves = [
        Curve(name="OptunAPI's over HTTP", points=ask),
        Curve(name="Optuna's TPE on SQLite", points=_of_optuna(run, home, histories)),
        Curve(name="a ping of OptunAPI", points=dict.fromkeys(ask, ping)),
    ]
    most = histories[-1].trials
    lines = (
        Line(
            name="ask-at-1000",
            work=f"ask p50, one client, {USUAL:,} trials in the study, ÷ ping p50",
            value=ask[USUAL] / ping,
            floor=6,
            goal=4,
            detail=f"{figure(ask[USUAL])} ms; a ping {figure(ping)} ms",
        ),
        Line(
            name="ask-at-100000",
            work=f"ask p50 at {most:,} trials ÷ at {USUAL:,}",
            value=ask[most] / ask[USUAL],
            floor=3,
            goal=1.5,
            detail=f"{figure(ask[most])} ms; at {USUAL:,} {figure(ask[USUAL])} ms",
        ),
    )
    return Found(lines=lines, curves=tuple(curves))


def _latencies(
    home: Path, histories: list[History], rounds: int
) -> tuple[list[float], dict[int, list[float]]]:
    """Milliseconds of pings and of asks; each round goes through all studies."""
    pings: list[float] = []
    asks: defaultdict[int, list[float]] = defaultdict(list)
    with ours(home) as server:
        connection = Connection(server.port)
        for history in histories:  # the first ask opens a study
            connection.tell(history.study, connection.ask(history.study)[0])
        for _ in range(rounds):
            for history in histories:
                pings.append(connection.ping())
                trial, took = connection.ask(history.study)
                asks[history.trials].append(took)
                connection.tell(history.study, trial)
        connection.close()
    return pings, asks


def _of_optuna(run: Run, home: Path, histories: list[History]) -> dict[int, float]:
    """Milliseconds of Optuna's own ask on the same databases, with no server running."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = {}
    for history in histories:
        run.say(f"The same with Optuna alone, {history.trials:,} trials")
        url = f"sqlite:///{database(home, history)}"
        storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
        study = optuna.load_study(study_name=history.study, storage=storage)
        distributions = study.get_trials(deepcopy=False)[0].distributions
        times = []
        for _ in range(1 + run.size(5, 2)):
            began = time.perf_counter()
            study.ask(distributions)
            times.append((time.perf_counter() - began) * 1e3)
        found[history.trials] = p50(times[1:])  # the first reads the whole study
        storage.remove_session()
        storage.engine.dispose()
    return found
