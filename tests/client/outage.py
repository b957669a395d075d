"""A check for any Python: a result arrives although the server was away when it was told."""

import subprocess
from pathlib import Path

import pytest

from optunapi import Client
from tests.client.conftest import XY
from tests.support import clean_environment, free_port, running_server

TRAINER = """
import sys, warnings
from optunapi import Client
trial = Client(sys.argv[1], timeout=5, retry_for=0.2).study("outage").ask()
print(trial.params["x"], flush=True)
sys.stdin.read()
warnings.simplefilter("always")
trial.set_user_attr("host", "gpu-03")
trial.tell(trial.params["x"])
"""
LATER = "import sys, optunapi; optunapi.Client(sys.argv[1])"


def tell_over_an_outage(python: str, home: Path, spool: Path, cwd: Path) -> None:
    """Check that a result is kept while the server is killed, and that a later process delivers it."""
    port = free_port()
    environment = clean_environment(OPTUNAPI_SPOOL=str(spool), PYTHONPATH="")
    with running_server(home, port=port) as server:
        Client(server.url).create_study("outage", {**XY, "lease": "1h"})
        trainer = subprocess.Popen(
            [python, "-W", "error", "-c", TRAINER, server.url],
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert trainer.stdout is not None
            x = float(trainer.stdout.readline())
            server.process.kill()
            server.process.wait()
            _, said = trainer.communicate(timeout=60)
        finally:
            trainer.kill()
            trainer.communicate()
    assert trainer.returncode == 0, said
    assert "is kept in" in said
    assert len(list(spool.glob("*/*.json"))) == 1

    with running_server(home, port=port) as server:
        later = [python, "-W", "error", "-c", LATER, server.url]
        subprocess.run(later, cwd=cwd, env=environment, check=True, timeout=60)
        assert not list(spool.glob("*/*.json"))
        told = Client(server.url).study("outage").trial(0)
    assert told.value == pytest.approx(x)
    assert (told.attempt, told.user_attrs) == (1, {"host": "gpu-03"})
