"""Groups of asks: those that come close together share one thread and one commit.

An ask itself takes less time than starting it in a thread and committing it alone. While the asks of a
study are being served, further ones are collected, and are served together next. The event loop is
woken once for each group, when it is committed: it could answer nothing before, and would take the
interpreter from the writer meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from optunapi.api.serving.operations import Call, Outcome, Value, outcome_of
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.telemetry.context import request_id

THREADS = 8  # how many studies are served at once

# None is for an ask that cannot be served in a group.
Outcomes = list[Outcome[Any] | Exception | None]
Request = tuple[Call[Any], "asyncio.Future[Any]"]


class AskGroups:
    """Serves the asks of studies whose samplers are quick. To be used on one event loop alone."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # Has a list for each study that is being served.
        self._waiting: dict[str, list[Request]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ask-group")

    def outcome_of(self, call: Call[Value]) -> "asyncio.Future[Outcome[Value] | None]":
        """The outcome of an ask, already committed; None if it has to be asked on its own."""
        answer: asyncio.Future[Outcome[Value] | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.get(call.name)
        if waiting is not None:
            waiting.append((call, answer))
        else:
            self._waiting[call.name] = [(call, answer)]
            task = asyncio.create_task(self._serve(call.name))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        return answer

    def draw_ahead(self, name: str) -> None:
        """Draw the next ask's point in a thread, if the study can do that and no ask is waiting."""
        study = self._catalog.served(name)
        if study is not None and study.is_awaiting_ask and name not in self._waiting:
            # After the tell is answered. An error is raised again by the ask itself.
            asyncio.get_running_loop().call_soon(self._threads.submit, _prepare, study)

    async def _serve(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        requests: list[Request] = []
        try:
            while requests := self._waiting[name]:
                self._waiting[name] = []
                calls = [call for call, _ in requests]
                served: asyncio.Future[Outcomes] = loop.create_future()
                self._threads.submit(self._work, name, calls, loop, partial(_resolve, served))
                for (_, answer), outcome in zip(requests, await served, strict=True):
                    if answer.done():
                        continue  # the client has gone; its trial is as if the reply had been lost
                    if isinstance(outcome, Exception):
                        answer.set_exception(outcome)
                    else:
                        answer.set_result(outcome)
        finally:
            # Whether the server stops or this failed, no request may go on waiting.
            for _, answer in (*requests, *self._waiting.pop(name)):
                answer.cancel()

    def _work(
        self,
        name: str,
        calls: list[Call[Any]],
        loop: asyncio.AbstractEventLoop,
        resolve: Callable[[Outcomes], None],
    ) -> None:
        """Serve a group, and call `resolve` on the loop once its commit is done or refused."""
        request_id.set(calls[0].request_id)  # the thread has that of a group before
        try:
            # This follows the configuration file, which must not happen inside `one_commit`: it
            # waits for a commit.
            study = self._catalog.find(name)
        except Exception:
            study = None  # each ask raises it again on its own
        if study is None:
            loop.call_soon_threadsafe(resolve, cast(Outcomes, [None] * len(calls)))
            return
        try:
            outcomes, commit = _outcomes(study, calls)
        except Exception as error:
            # Not None: trials may have been handed out, and would be again.
            loop.call_soon_threadsafe(resolve, cast(Outcomes, [error] * len(calls)))
            return
        commit.notify(loop, partial(resolve, outcomes))


def _prepare(study: Study) -> None:
    request_id.set(None)  # it is for an ask that is not there yet
    study.prepare()


def _outcomes(study: Study, calls: list[Call[Any]]) -> tuple[Outcomes, Commit]:
    outcomes: Outcomes = []
    with study.one_commit():
        for call in calls:
            request_id.set(call.request_id)  # the thread is of all these requests
            try:
                outcomes.append(outcome_of(study, call.operation))
            except Exception as error:  # of this request alone, which raises it
                outcomes.append(error)
        return outcomes, study.committed()


def _resolve(future: asyncio.Future[Outcomes], outcomes: Outcomes) -> None:
    if not future.done():  # the server may have been told to stop
        future.set_result(outcomes)
