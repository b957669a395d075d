"""Optuna's own workers: eight processes that share a study through its storages."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from subprocess import PIPE

from tests.benchmarks.findings import Line
from tests.benchmarks.histories import PARAMETERS
from tests.benchmarks.peers.comparison import Peer, compared
from tests.benchmarks.peers.environments import python_with
from tests.benchmarks.peers.postgresql import running_postgresql
from tests.benchmarks.run import Run
from tests.support import free_port

WORKERS = 8
WORKER = Path(__file__).with_name("optuna_worker.py")
PROXY = Path(__file__).with_name("optuna_proxy.py")
STUDIES = (f"study-{number}" for number in count())


def on_postgresql(run: Run, peer: Peer) -> Line:
    interpreter = python()
    with running_postgresql() as url:
        return compared(run, peer, lambda: _rate(run, interpreter, url))


def through_proxy(run: Run, peer: Peer) -> Line:
    interpreter = python()
    with running_postgresql() as url, _proxy(interpreter, url) as address:
        return compared(run, peer, lambda: _rate(run, interpreter, address))


def on_sqlite(run: Run, peer: Peer) -> Line:
    interpreter = python()
    url = f"sqlite:///{run.new_folder('optuna')}/studies.db"
    return compared(run, peer, lambda: _rate(run, interpreter, url))


MEASURES: dict[Peer, Callable[[Run, Peer], Line]] = {
    Peer(
        name="optuna-postgresql",
        title=f"Optuna's own: {WORKERS} processes on PostgreSQL",
        sampler="tpe",
        goal=40,
    ): on_postgresql,
    Peer(
        name="optuna-grpc",
        title=f"Optuna's own: {WORKERS} processes on its gRPC proxy to PostgreSQL",
        sampler="tpe",
        goal=40,
    ): through_proxy,
    Peer(
        name="optuna-sqlite",
        title=f"Optuna's own: {WORKERS} processes on SQLite",
        sampler="tpe",
    ): on_sqlite,
}


def python() -> Path:
    """An interpreter with our version of Optuna and what its storages need."""
    return python_with(
        "optuna", f"optuna=={version('optuna')}", "grpcio", "protobuf", "psycopg[binary]"
    )


@contextmanager
def _proxy(interpreter: Path, database: str) -> Iterator[str]:
    """The address of a gRPC proxy; a worker waits until it answers."""
    port = free_port()
    with subprocess.Popen([interpreter, PROXY, database, str(port)]) as process:
        try:
            yield f"grpc://127.0.0.1:{port}"
        finally:
            process.kill()


def _rate(run: Run, interpreter: Path, storage: str) -> float:
    """Pairs a second of all workers together, in a new study."""
    seconds = run.size(15, 4)
    script = [str(interpreter), str(WORKER)]
    words = [*script, storage, next(STUDIES), str(seconds), json.dumps(PARAMETERS)]
    workers = []
    try:
        for _ in range(WORKERS):  # one after the other, so that the first one creates the tables
            worker = subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True)
            workers.append(worker)
            if worker.stdout is None or worker.stdout.readline() != "ready\n":
                raise RuntimeError(f"a worker of Optuna could not open {storage}")
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.write("go\n")
                worker.stdin.flush()
        ended = [worker.communicate() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    pairs = sum(int(output) for output, _ in ended)
    return pairs / seconds
