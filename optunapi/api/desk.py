"""Asks that come close together are served together: in one thread, one look at the disk, one commit.

What an ask itself takes is less than handing it to a thread of its own, waking that, and committing for
it alone. So those of a study that come while others are being served are taken all at once.
"""

from __future__ import annotations  # those of inner functions are made at every call otherwise

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi.concurrency import run_in_threadpool

from optunapi.api.settled import Operation, Outcome, ShortCut, Value, outcome_of
from optunapi.engine.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class _Request:
    operation: Operation[Any]
    answer: asyncio.Future[Any]


class Desk:
    """Serves the asks of studies whose samplers are quick. To be used on one event loop alone."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._waiting: dict[str, list[_Request]] = {}  # of the studies that are being served
        self._serving: set[asyncio.Task[None]] = set()

    def of(self, name: str) -> ShortCut:
        """The short cut of an ask; none where the study is not open yet, or its sampler takes its time."""

        async def ask(operation: Operation[Value]) -> Outcome[Value] | None:
            study = self._catalog.served(name)
            if study is None or not study.asks_are_quick:
                return None
            answer = asyncio.get_running_loop().create_future()
            request = _Request(operation=operation, answer=answer)
            if name in self._waiting:
                self._waiting[name].append(request)
            else:
                self._waiting[name] = [request]
                task = asyncio.create_task(self._serve(name))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)
            found: Outcome[Value] | None = await answer
            return found

        return ask

    async def _serve(self, name: str) -> None:
        requests: list[_Request] = []
        try:
            while requests := self._waiting[name]:
                self._waiting[name] = []
                operations = [request.operation for request in requests]
                outcomes = await run_in_threadpool(self._served, name, operations)
                for request, found in zip(requests, outcomes, strict=True):
                    if request.answer.done():
                        continue  # the client has gone; its trial is as if the reply had been lost
                    if isinstance(found, Exception):
                        request.answer.set_exception(found)
                    else:
                        request.answer.set_result(found)
        finally:
            # Whatever ended it, a server told to stop or a fault: nobody may be left waiting.
            for request in (*requests, *self._waiting.pop(name)):
                request.answer.cancel()

    def _served(
        self, name: str, operations: list[Operation[Any]]
    ) -> list[Outcome[Any] | Exception | None]:
        """What becomes of each; None where it has to take the long way."""
        try:
            # Here it follows its configuration; who waits for a commit must not do so below.
            study = self._catalog.find(name)
        except Exception:
            study = None  # the long way says so, to each who asks
        if study is None:
            return [None] * len(operations)
        found: list[Outcome[Any] | Exception | None] = []
        with study.together():
            for operation in operations:
                try:
                    found.append(outcome_of(study, operation))
                except Exception as error:  # one request's, and raised where that one waits
                    found.append(error)
        return found
