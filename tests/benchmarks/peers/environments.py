"""Environments with the peers' packages, created once inside ours; `make clean` removes them too."""

import subprocess
import sys
import venv
from pathlib import Path

from tests.benchmarks.findings import Missing

PEERS = Path(sys.prefix) / "peers"
PATIENCE = 300


def python_with(name: str, *packages: str) -> Path:
    """Return the interpreter of an environment with these packages; raises Missing if unavailable."""
    folder = PEERS / name
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists() and complete.read_text().split() == list(packages):
        return python
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        ended = subprocess.run(
            [*pip, *packages], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise Missing(f"not installed: pip took over {PATIENCE} s for {packages[0]}") from None
    if ended.returncode:
        raise Missing(f"not installed: {last_line(ended.stderr)}")
    complete.write_text(" ".join(packages))
    return python


def last_line(text: str) -> str:
    """Return the last line of an output, where a program usually says why it failed."""
    return (text.strip().splitlines() or ["it said nothing"])[-1]
