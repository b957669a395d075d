"""Many clients hold trials and renew their leases: no error, no trial lost or handed out twice.

`make soak` runs it with a thousand clients for a minute. It prints how long requests took and how much
memory the server needed; `pytest -s` shows that.
"""

import asyncio
import json
import random
import resource
import statistics
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import optuna
import pytest
from optuna.trial import TrialState

from tests.acceptance.commands import serving
from tests.crash.support import STUDY, database, make_home
from tests.support import SOAK, Server, missing, scaled, write_config

CLIENTS = scaled(30, 1000)
SECONDS = float(scaled(3, 60))
LEASE_SECONDS = 30
RENEW_SECONDS = 10.0 if SOAK else 0.5
PATIENCE = 60.0
CONFIG = """
sampler: {sampler}
parameters:
  optimizer: {{type: categorical, choices: [sgd, adam, rmsprop]}}
  layers: {{type: int, low: 1, high: 8}}
  units: {{type: int, low: 16, high: 1024, log: true}}
  batch: {{type: int, low: 16, high: 256, step: 16}}
  lr: {{type: float, low: 1e-5, high: 0.1, log: true}}
  momentum: {{type: float, low: 0, high: 1}}
  dropout: {{type: float, low: 0, high: 0.5}}
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What all clients share: who holds which trial, what was told, how long requests took."""

    server: Server
    ends_at: float
    arrival: float
    held: dict[int, str] = field(default_factory=dict)
    told: dict[int, float] = field(default_factory=dict)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def post(self, kind: str, path: str, status: int, **body: Any) -> Any:
        """The content of a reply, which must have this status; over a connection of its own."""
        content = json.dumps(body).encode()
        head = (
            f"POST /optunapi/v1/studies/{STUDY}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
            try:
                writer.write(head.encode() + content)
                reply = await reader.read()
            finally:
                writer.close()
                await writer.wait_closed()
        self.seconds[kind].append(time.perf_counter() - began)
        start, _, answer = reply.partition(b"\r\n\r\n")
        assert start.split(b" ")[1] == str(status).encode(), reply.decode()
        return json.loads(answer)

    async def client(self, name: str, chance: random.Random) -> None:
        """Train one trial after the other for the time of the test, which begins later for a later client."""
        delay = self.arrival * chance.random()
        await asyncio.sleep(delay)
        leaves_at = self.ends_at + delay
        while time.monotonic() < leaves_at:
            asked = await self.post("ask", "/trials", 201, worker=name, lease_seconds=LEASE_SECONDS)
            number, lease = asked["number"], asked["lease"]["id"]
            assert asked["attempt"] == 1, "handed on, though its lease was renewed"
            assert number not in self.held, f"{self.held[number]} holds it too"
            self.held[number] = name
            await self._train(number, lease, leaves_at, chance)
            value = chance.random()
            here = f"/trials/{number}/tell"
            told = await self.post("tell", here, 200, value=value, lease=lease)
            assert (told["state"], told["worker"], told["values"]) == ("complete", name, [value])
            self.told[number] = value

    async def _train(
        self, number: int, lease: str, leaves_at: float, chance: random.Random
    ) -> None:
        ready_at = min(leaves_at, time.monotonic() + RENEW_SECONDS * chance.uniform(1.5, 4))
        step = 0
        while (left := ready_at - time.monotonic()) > 0:
            await asyncio.sleep(min(left, RENEW_SECONDS))
            here = f"/trials/{number}"
            if chance.random() < 0.25:
                step += 1
                answer = await self.post(
                    "report", f"{here}/report", 200, step=step, value=0.5, lease=lease
                )
            else:
                answer = await self.post("renew", f"{here}/renew", 200, lease=lease)
            assert answer["lease"]["id"] == lease

    async def run(self) -> None:
        """Run all clients until each has told its last trial."""
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(self.client(f"c{number}", random.Random(number)))


def require_connections(number: int) -> None:
    """Raise this process's limit of open files, which the server inherits; `missing` if that is refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        missing(f"{number} connections need {needed} open files, and `ulimit -Hn` is {hard}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def peak_memory(pid: int) -> int:
    """The process's peak memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def figures(load: Load) -> str:
    lines = [f"{CLIENTS} clients, {SECONDS:g} s, {len(load.told)} trials"]
    for kind, seconds in sorted(load.seconds.items()):
        cuts = statistics.quantiles(seconds, n=100)
        p50, p99, most = (f"{1000 * s:.1f} ms" for s in (cuts[49], cuts[98], max(seconds)))
        lines.append(f"{kind}: {len(seconds)} requests, p50 {p50}, p99 {p99}, at most {most}")
    lines.append(f"server: {peak_memory(load.server.process.pid)} MB at most")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("sampler", "arrival"),
    [("random", 0.0), ("tpe", 0.0), ("tpe", RENEW_SECONDS)],
    ids=["random, all at once", "tpe, all at once", "tpe, one by one"],
)
def test_clients_that_renew_their_leases_keep_their_trials(
    tmp_path: Path, sampler: str, arrival: float
) -> None:
    require_connections(CLIENTS)
    home = make_home(tmp_path / "home")
    write_config(home / "config" / f"{STUDY}.yaml", CONFIG.format(sampler=sampler))
    with serving(home) as server:
        load = Load(server=server, ends_at=time.monotonic() + SECONDS, arrival=arrival)
        asyncio.run(load.run())
        print(f"\n{sampler}, all within {arrival:g} s: {figures(load)}")
        study = httpx.get(f"{server.url}/optunapi/v1/studies/{STUDY}", timeout=PATIENCE).json()
        assert study["trials"].pop("complete") == len(load.told) >= CLIENTS
        assert set(study["trials"].values()) == {0}
    assert "Traceback" not in server.log.read_text()
    stored = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{database(home)}").trials
    assert Counter(trial.state for trial in stored) == {TrialState.COMPLETE: len(load.told)}
    assert {trial.number: trial.value for trial in stored} == load.told
