"""OptunAPI 0.1.4 under the same driver. Its package on PyPI is empty, so its repository is cloned."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import yaml

from tests.benchmarks.driver import closed_loop
from tests.benchmarks.findings import Line, Missing
from tests.benchmarks.histories import PARAMETERS
from tests.benchmarks.peers.comparison import Peer, compared
from tests.benchmarks.peers.environments import PEERS, last_line, python_with
from tests.benchmarks.run import Run
from tests.benchmarks.servers import QUIET
from tests.benchmarks.throughput import CLIENTS
from tests.support import free_port, wait_until_serving

REPOSITORY, TAG = "https://github.com/mbarbetti/optunapi", "v0.1.4"
CHECKOUT = PEERS / "optunapi-0.1.4"
KEYS = ("type", "choices", "low", "high", "step", "log")
PATIENCE = 60


def beside_original(run: Run, peer: Peer) -> Line:
    checkout = _checkout()
    interpreter = python_with(
        "optunapi",
        *(f"{name}=={version(name)}" for name in ("optuna", "fastapi", "uvicorn", "pyyaml")),
        "pandas",
    )
    folder = run.new_folder("original")
    shutil.copytree(checkout / "optunapi", folder, dirs_exist_ok=True)
    pairs = run.size(64, 32)

    def rate() -> float:
        study = f"study-{len(list((folder / 'config').iterdir()))}"
        config = folder / "config" / f"{study}.yaml"
        config.write_text(yaml.safe_dump(_entries(), sort_keys=False))
        with _serving(interpreter, folder) as port:
            return closed_loop(port, study, clients=CLIENTS, pairs=pairs).pairs_per_second

    return compared(run, peer, rate)


MEASURES: dict[Peer, Callable[[Run, Peer], Line]] = {
    Peer(name="optunapi-0.1.4", title="OptunAPI 0.1.4", sampler="tpe", goal=200): beside_original,
}


def _checkout() -> Path:
    """Return the folder of its code, cloned if missing; raises Missing if it is not available."""
    if not CHECKOUT.exists():
        PEERS.mkdir(exist_ok=True)
        words = ["git", "clone", "--quiet", "--depth", "1", "--branch", TAG, REPOSITORY]
        try:
            ended = subprocess.run(
                [*words, str(CHECKOUT)],
                env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            shutil.rmtree(CHECKOUT, ignore_errors=True)  # remove an incomplete clone
            raise Missing(f"not installed: no code on PyPI, and {error}") from None
        if ended.returncode:
            raise Missing(f"not installed: no code on PyPI, and {last_line(ended.stderr)}")
    return CHECKOUT


def _entries() -> dict[str, dict[str, object]]:
    """Return the seven parameters in its form, with every key present."""
    return {
        name: {"name": name}
        | {key: wire.get(key) for key in KEYS}
        | {"log": wire.get("log", False)}
        for name, wire in PARAMETERS.items()
    }


@contextmanager
def _serving(interpreter: Path, folder: Path) -> Iterator[int]:
    """Run it until the block ends and yield its port."""
    port, log = free_port(), folder / "server.log"
    words = [str(interpreter), "-m", "uvicorn", "server:optunapi", "--port", str(port), *QUIET]
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_serving(f"http://127.0.0.1:{port}", process, log)
        yield port
    finally:
        process.kill()
        process.wait()
