"""Asks that come close together are served together: in one thread, one look at the disk, one commit.

What an ask itself takes is less than handing it to a thread of its own, waking that, and committing for
it alone. So those of a study that come while others are being served are taken all at once. The event
loop is woken once for all of them, when they are committed: before that it could tell nobody, and would
take the interpreter from the writer meanwhile.
"""

from __future__ import annotations  # those of inner functions are made at every call otherwise

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from optunapi.api.serving.dispatch import Operation, Outcome, ShortCut, Value, outcome_of
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study

THREADS = 8  # as many studies are served at once

Outcomes = list[Outcome[Any] | Exception | None]  # None is for who has to take the long way


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
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="desk")

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

    def prepare(self, name: str) -> None:
        """After a tell: have the next ask's point drawn now, where nobody else is about to ask."""
        study = self._catalog.served(name)
        if study is not None and study.is_awaiting_ask and name not in self._waiting:
            # Once the tell is answered. What fails fails again at the ask, which says so.
            asyncio.get_running_loop().call_soon(self._threads.submit, study.prepare)

    async def _serve(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        requests: list[_Request] = []
        try:
            while requests := self._waiting[name]:
                self._waiting[name] = []
                operations = [request.operation for request in requests]
                served: asyncio.Future[Outcomes] = loop.create_future()
                self._threads.submit(self._work, name, operations, loop, partial(_resolve, served))
                for request, found in zip(requests, await served, strict=True):
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

    def _work(
        self,
        name: str,
        operations: list[Operation[Any]],
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[Outcomes], None],
    ) -> None:
        """Serve them, and have the loop told of it, once what they changed is committed or refused."""
        try:
            # Here it follows its configuration; who waits for a commit must not do so below.
            study = self._catalog.find(name)
        except Exception:
            study = None  # the long way says so, to each who asks
        if study is None:
            loop.call_soon_threadsafe(tell, cast(Outcomes, [None] * len(operations)))
            return
        try:
            outcomes, commit = _outcomes(study, operations)
        except (
            Exception
        ) as error:  # not the long way: trials may have been handed out, and would be again
            loop.call_soon_threadsafe(tell, cast(Outcomes, [error] * len(operations)))
            return
        commit.notify(loop, partial(tell, outcomes))


def _outcomes(study: Study, operations: list[Operation[Any]]) -> tuple[Outcomes, Commit]:
    outcomes: Outcomes = []
    with study.one_commit():
        for operation in operations:
            try:
                outcomes.append(outcome_of(study, operation))
            except Exception as error:  # one request's, and raised where that one waits
                outcomes.append(error)
        return outcomes, study.committed()


def _resolve(future: asyncio.Future[Outcomes], outcomes: Outcomes) -> None:
    if not future.done():  # the server may have been told to stop
        future.set_result(outcomes)
