"""Closed-loop load: each client asks, scores, tells and asks again, over its own connection.

    python -m tests.benchmarks.driver PORT STUDY CLIENTS (--pairs N | --seconds S)

Runs in its own process, with the standard library only, so that it costs every server the same.
The last line it prints is its `Load` as JSON.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

PATIENCE = 300.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """The result of a closed loop; latencies in milliseconds."""

    pairs: int
    distinct: int  # trials; fewer than pairs if one was handed out twice
    seconds: float
    ask_p50: float
    ask_p99: float
    tell_p50: float
    tell_p99: float

    @property
    def pairs_per_second(self) -> float:
        return self.pairs / self.seconds


class Connection:
    """A client's connection; each call returns the reply and its latency."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def request(self, method: str, path: str, body: Any = None) -> tuple[Any, float]:
        """Return a successful reply's content and its milliseconds; RuntimeError otherwise."""
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        began = time.perf_counter()
        self._http.request(method, path, content, headers)
        with self._http.getresponse() as response:
            reply = response.read()
        took = (time.perf_counter() - began) * 1e3
        if response.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {response.status}: {reply.decode()}")
        return json.loads(reply) if reply else None, took

    def get(self, path: str) -> tuple[Any, float]:
        return self.request("GET", path)

    def ping(self) -> float:
        """Milliseconds."""
        return self.get("/optunapi/ping")[1]

    def ask(self, study: str) -> tuple[Any, float]:
        """The trial and the milliseconds."""
        return self.get(f"/optunapi/hparams/{study}")

    def tell(self, study: str, trial: Any) -> float:
        """Score an asked trial; milliseconds."""
        score = sum(x * x for x in trial["params"].values() if isinstance(x, int | float))
        query = f"trial_id={trial['trial_id']}&score={score}"
        return self.get(f"/optunapi/score/{study}?{query}")[1]

    def close(self) -> None:
        self._http.close()


@dataclass(kw_only=True)
class _Clients:
    """The clients of one run: what they share, and their results."""

    port: int
    study: str
    pairs: int | None
    ends_at: float | None
    begun: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    asks: list[float] = field(default_factory=list)
    tells: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def _another(self) -> bool:
        """Return whether a client may start another pair, and count it."""
        with self.lock:
            if self.faults or (self.ends_at is not None and time.perf_counter() >= self.ends_at):
                return False
            if self.pairs is not None and self.begun >= self.pairs:
                return False
            self.begun += 1
            return True

    def client(self) -> None:
        connection = Connection(self.port)
        try:
            while self._another():
                trial, took = connection.ask(self.study)
                self.asks.append(took)
                self.numbers.append(trial["trial_id"])
                self.tells.append(connection.tell(self.study, trial))
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()


def p50(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def main() -> None:
    """Load a server and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("port", type=int)
    parser.add_argument("study")
    parser.add_argument("clients", type=int)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--pairs", type=int)
    length.add_argument("--seconds", type=float)
    options = parser.parse_args()
    began = time.perf_counter()
    ends_at = None if options.seconds is None else began + options.seconds
    clients = _Clients(port=options.port, study=options.study, pairs=options.pairs, ends_at=ends_at)
    threads = [threading.Thread(target=clients.client) for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if clients.faults:
        sys.exit(clients.faults[0])
    load = Load(
        pairs=len(clients.tells),
        distinct=len(set(clients.numbers)),
        seconds=seconds,
        ask_p50=p50(clients.asks),
        ask_p99=p99(clients.asks),
        tell_p50=p50(clients.tells),
        tell_p99=p99(clients.tells),
    )
    print(json.dumps(asdict(load)))


def command(port: int, study: str, clients: int, *length: str) -> list[str]:
    """The command line of a run."""
    module = [sys.executable, "-m", "tests.benchmarks.driver"]
    return [*module, str(port), study, str(clients), *length]


def closed_loop(port: int, study: str, *, clients: int, pairs: int) -> Load:
    """Run the load to its end; raises RuntimeError if a request failed."""
    words = command(port, study, clients, "--pairs", str(pairs))
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"the load on {study} failed: {ended.stderr.strip()}")
    return Load(**json.loads(ended.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
