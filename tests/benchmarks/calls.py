"""How far a request goes through the package: calls and modules of one warm ask, and of one tell.

The requests reach the application through ASGI, without a socket. Every call of a function of the
package counts, in whichever thread. The figures hardly depend on the machine.
"""

import asyncio
import random
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

import optunapi
from optunapi.app import create_app
from optunapi.settings import Settings
from tests.benchmarks.findings import Found, Line
from tests.benchmarks.histories import spec
from tests.benchmarks.run import Run

PACKAGE = str(Path(optunapi.__file__).parent)
WARM = 60  # pairs before the counting begins: the sampler's random start is over
COUNTED = 15


@dataclass(kw_only=True)
class Trace:
    """The modules that were entered, one entry a call, in the order of each thread."""

    threads: dict[int, list[str]] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        return sum(map(len, self.threads.values()))

    @property
    def modules(self) -> int:
        return len({module for entered in self.threads.values() for module in entered})

    @property
    def changes(self) -> int:
        """How often a call was of another module than the call before it in its thread."""
        return sum(
            one != other for entered in self.threads.values() for one, other in pairwise(entered)
        )


class Tracer:
    """Traces the package's calls in every thread that starts after it was installed."""

    def __init__(self) -> None:
        self._trace: Trace | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        threading.setprofile(self._seen)
        sys.setprofile(self._seen)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    @contextmanager
    def trace(self) -> Iterator[Trace]:
        """The calls made during the block."""
        self._trace = trace = Trace()
        try:
            yield trace
        finally:
            self._trace = None

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        trace = self._trace
        if trace is not None and event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered = trace.threads.setdefault(threading.get_ident(), [])
            entered.append(frame.f_code.co_filename)


def measure(run: Run) -> Found:
    """Calls and modules of an ask and a tell over the old GET routes, with `tpe`."""
    run.say("Counting the calls of an ask and a tell")
    home = run.new_folder("calls")
    for folder in ("config", "db"):
        (home / folder).mkdir()
    tracer = Tracer()
    with tracer.installed():
        traces = asyncio.run(_traced(create_app(Settings(home=home)), tracer))
    return Found(lines=tuple(_line(verb, found) for verb, found in traces.items()))


def _line(verb: str, traces: list[Trace]) -> Line:
    """The median: now and then a request does what a later one need not."""
    calls, modules, changes = (
        round(statistics.median(getattr(trace, what) for trace in traces))
        for what in ("calls", "modules", "changes")
    )
    return Line(
        name=f"calls-{verb}",
        work=f"calls of the package's functions in one warm {verb}, `tpe`",
        value=calls,
        detail=f"in {modules} modules, with {changes} changes of module",
    )


async def _traced(app: FastAPI, tracer: Tracer) -> dict[str, list[Trace]]:
    chance = random.Random(0)
    asks, tells = [], []
    transport = ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        (await client.put("/optunapi/v1/studies/calls", json=spec("tpe"))).raise_for_status()
        for pair in range(WARM + COUNTED):
            with tracer.trace() as ask:
                asked = (await client.get("/optunapi/hparams/calls")).raise_for_status()
            query = {"trial_id": asked.json()["trial_id"], "score": chance.random()}
            with tracer.trace() as tell:
                told = await client.get("/optunapi/score/calls", params=query)
            told.raise_for_status()
            if pair >= WARM:
                asks.append(ask)
                tells.append(tell)
    return {"ask": asks, "tell": tells}
