"""OSS Vizier: its server in one process, 32 clients in another; random search, its fastest algorithm."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import PIPE

from tests.benchmarks.findings import Line, Missing
from tests.benchmarks.histories import PARAMETERS
from tests.benchmarks.peers.comparison import Peer, compared
from tests.benchmarks.peers.environments import python_with
from tests.benchmarks.run import Run
from tests.benchmarks.throughput import CLIENTS

SERVER = Path(__file__).with_name("vizier_server.py")
CLIENT = Path(__file__).with_name("vizier_clients.py")
# Its server imports what only its other algorithms use; the `jax` extra asks for an equinox that
# today's jax has broken.
PACKAGES = ("google-vizier", "jax", "equinox", "flax", "chex", "optax", "jaxopt", "tfp-nightly")
STUDIES = (f"study-{number}" for number in count())


def in_memory(run: Run, peer: Peer) -> Line:
    return _beside(run, peer, "sqlite:///:memory:")


def on_sqlite(run: Run, peer: Peer) -> Line:
    return _beside(run, peer, f"sqlite:///{run.new_folder('vizier')}/vizier.db")


MEASURES: dict[Peer, Callable[[Run, Peer], Line]] = {
    Peer(name="vizier-memory", title="OSS Vizier in memory", sampler="random"): in_memory,
    Peer(name="vizier-sqlite", title="OSS Vizier on SQLite", sampler="random"): on_sqlite,
}


def _beside(run: Run, peer: Peer, database: str) -> Line:
    interpreter = python_with("vizier", *PACKAGES)
    with _serving(interpreter, database) as address:
        return compared(run, peer, lambda: _rate(run, interpreter, address))


@contextmanager
def _serving(interpreter: Path, database: str) -> Iterator[str]:
    """Run the server until the block ends and yield its address."""
    words = [str(interpreter), str(SERVER), database]
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            if process.stdout is None or not (address := process.stdout.readline().strip()):
                raise Missing(f"OSS Vizier does not start: {process.communicate()[1][-200:]}")
            yield address
        finally:
            process.kill()


def _rate(run: Run, interpreter: Path, address: str) -> float:
    """Pairs a second in a new study."""
    seconds, parameters = run.size(15, 4), json.dumps(PARAMETERS)
    ended = subprocess.run(
        [interpreter, CLIENT, address, next(STUDIES), str(CLIENTS), str(seconds), parameters],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"the load on OSS Vizier failed: {ended.stderr}")
    return float(ended.stdout)
