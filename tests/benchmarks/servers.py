"""The servers under test, each alone in a process: ours, and the ceiling."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.benchmarks.driver import Connection
from tests.support import Server, running_server

# An access log would cost both sides the same, and so bring every ratio nearer to 1.
QUIET = ("--log-level", "warning", "--no-access-log")


def ours(home: Path) -> AbstractContextManager[Server]:
    return running_server(home, options=QUIET)


def ceiling(home: Path) -> AbstractContextManager[Server]:
    return running_server(home, target="tests.benchmarks.ceiling:app", options=QUIET)


def put_study(server: Server, name: str, spec: dict[str, Any]) -> None:
    """Make the study."""
    connection = Connection(server.port)
    connection.request("PUT", f"/optunapi/v1/studies/{name}", spec)
    connection.close()


def resident_mb(pid: int) -> float:
    """The memory a process has now, in MB of 10⁶ bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6
