"""Where the server's processor time goes: by part, for one client's ask and for a pair of 32 clients.

The kernel reports the processor time of each thread. py-spy samples a hundred times a second what the
thread is doing, native code included. A sample counts for the innermost frame that belongs to a part.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.benchmarks.driver import Connection, closed_loop
from tests.benchmarks.findings import Found, Missing, Share
from tests.benchmarks.histories import History, home_with, spec
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours, put_study

CLIENTS = 32
# A frame, `function (file:line)`, counts for the first part that it matches, else for its caller.
PARTS = {
    "between threads": r"_write_to_self|call_soon_threadsafe|Condition\.notify"
    r"|/(anyio|concurrent/futures|queue)[/.]",
    "JSON": r"/json/|optunapi/api/(wire|replies)\.py",
    "sampling": r"optunapi/engine/(samplers/|trials/(sample|draft)\.py)|/(rustuna|numpy)/",
    "commit": r"optunapi/storage/(writer|pending|commits|foreign_writes|encoding|tables/\w+)\.py"
    r"|/(sqlalchemy|sqlite3)/",
    "memory": r"optunapi/(engine|storage)/|/optuna/|/sortedcontainers/",
    "validation and routes": r"optunapi/(api|security)/|/pydantic/",
    "HTTP": r"/(uvicorn|uvloop|httptools|starlette|fastapi|asyncio|click)/",
}
OTHER = "threads that are not Python's"
THREAD = re.compile(r"thread \((\d+)\)")
# py-spy counts a woken thread that waits for the interpreter as running.
WAITS = re.compile(r"\b(wait \(.*/threading|select \(.*/selectors)\.py")


def measure(run: Run) -> Found:
    """Measure the milliseconds of the server's processor time, by part."""
    history = History(trials=1_000)
    with ours(home_with(run, history)) as server:
        connection = Connection(server.port)
        stacks = run.new_folder("profile") / "stacks"
        connection.tell(history.study, connection.ask(history.study)[0])
        run.say("Profiling asks of one client")
        seconds = float(run.size(20, 3))
        ask = _during(lambda: _asks(connection, history.study, seconds), server.process.pid, stacks)
        run.say(f"Profiling pairs of {CLIENTS} clients")
        put_study(server, "pairs", spec("tpe"))
        pairs = run.size(5_000, 500)

        def load() -> int:
            return closed_loop(server.port, "pairs", clients=CLIENTS, pairs=pairs).pairs

        pair = _during(load, server.process.pid, stacks)
        connection.close()
    return Found(
        shares=tuple(Share(part=part, ask=ask[part], pair=pair[part]) for part in (*PARTS, OTHER))
    )


def _asks(connection: Connection, study: str, seconds: float) -> int:
    """Ask without telling for some seconds and return how often; open trials are cancelled at times."""
    done, ends_at = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        connection.ask(study)
        done += 1
        if done % 200 == 0:
            connection.request("DELETE", f"/optunapi/v1/studies/{study}/trials?state=running")
    return done


def _during(load: Callable[[], int], pid: int, stacks: Path) -> dict[str, float]:
    """Return a process's milliseconds by part while it serves a load, per item the load counts."""
    spy = Path(sys.executable).with_name("py-spy")
    if not spy.exists():
        raise Missing("py-spy is not installed: pip install -e '.[bench]'")
    words = [
        str(spy),
        "record",
        "--pid",
        str(pid),
        "--format",
        "raw",
        "--full-filenames",
        "--threads",
    ]
    watching = subprocess.Popen(
        [*words, "--duration", "unlimited", "--output", str(stacks)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    before = _processor_ms(pid)
    served = load()
    spent = {thread: ms - before.get(thread, 0.0) for thread, ms in _processor_ms(pid).items()}
    watching.send_signal(signal.SIGINT)
    _, faults = watching.communicate()
    if watching.returncode:
        raise Missing(f"py-spy cannot watch the server: {faults.strip()}")
    parts = by_part(stacks.read_text().splitlines(), spent)
    return {part: parts.get(part, 0.0) / served for part in (*PARTS, OTHER)}


def by_part(stacks: Iterable[str], spent: Mapping[int, float]) -> dict[str, float]:
    """Divide the threads' time among the parts by py-spy's samples: `thread (1);outer;inner count`."""
    seen: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        match = THREAD.match(thread)
        if match and frames and not WAITS.search(frames[-1]):
            seen[int(match[1])][_part(frames)] += int(count)
    parts: defaultdict[str, float] = defaultdict(float)
    for number, whole in spent.items():
        counts = seen.get(number) or Counter({OTHER: 1})
        for part, times in counts.items():
            parts[part] += whole * times / counts.total()
    return parts


def _part(frames: list[str]) -> str:
    for frame in reversed(frames):
        for part, pattern in PARTS.items():
            if re.search(pattern, frame):
                return part
    return OTHER


def _processor_ms(pid: int) -> dict[int, float]:
    """Return the processor time that each thread of the process has used so far."""
    ticks_ms = 1e3 / os.sysconf("SC_CLK_TCK")
    used = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        after_name = (thread / "stat").read_text().rpartition(")")[2].split()
        used[int(thread.name)] = (int(after_name[11]) + int(after_name[12])) * ticks_ms
    return used
