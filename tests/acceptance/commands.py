"""The `optunapi` command as a user runs it, in its own process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import Server, clean_environment, free_port, wait_until_serving

OPTUNAPI = str(Path(sys.executable).with_name("optunapi"))


def optunapi(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed."""
    return subprocess.run(
        [OPTUNAPI, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(**environment),
        timeout=120,
    )


@contextmanager
def serving(home: Path, *options: str | Path, scheme: str = "http") -> Iterator[Server]:
    """Run `optunapi serve` until the block ends."""
    port = free_port()
    log = home / f"serve-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [OPTUNAPI, "serve", "--port", str(port), *map(str, options)],
            env=clean_environment(OPTUNAPI_HOME=str(home)),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"{scheme}://127.0.0.1:{port}"
        wait_until_serving(url, process, log)
        yield Server(url=url, process=process, log=log)
    finally:
        process.terminate()
        process.wait(timeout=30)
