"""From start to stop of a server: ownership, the sweep of what falls due, an orderly end."""

import asyncio
import logging
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from optunapi.engine.catalog import Catalog
from optunapi.errors import OptunAPIError, StorageUnavailable
from optunapi.garbage import survivors_set_aside, take_back

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
IDLE_SECONDS = 600.0
STOP_SECONDS = 10


def lifespan(catalog: Catalog) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The application's lifespan: it owns the databases of `catalog` from start to stop."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        show_log()
        await run_in_threadpool(catalog.open)
        await run_in_threadpool(settle_uploads, catalog)
        sweeping = asyncio.create_task(_sweep(catalog))
        limit_stop()
        try:
            with at_stop_signal(catalog.wind_down), survivors_set_aside(), one_core_a_draw():
                yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await run_in_threadpool(catalog.close)

    return run


def one_core_a_draw() -> AbstractContextManager[object]:
    """Let NumPy use one core for one calculation: draws are small, and several go on at a time."""
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def show_log() -> None:
    """Let uvicorn show our log as it shows its own, unless somebody has said where it goes."""
    ours, theirs = logging.getLogger("optunapi"), logging.getLogger("uvicorn")
    if not ours.handlers and not logging.root.handlers:
        ours.handlers = list(theirs.handlers)
        ours.setLevel(theirs.getEffectiveLevel())


def settle_uploads(catalog: Catalog) -> None:
    """Remove the artifacts whose server was killed before a trial had them."""

    def is_listed(name: str, artifact_id: str) -> bool | None:
        try:
            study = catalog.find(name)
            if study is None:  # it may be of another server that shares the folder
                return None
            found, commit = study.artifacts.has(artifact_id)
            commit.result()
        except OptunAPIError as error:
            logger.warning("artifact %s is left for the next start: %s", artifact_id, error)
            return None
        return found

    catalog.artifacts.settle(is_listed)


@contextmanager
def at_stop_signal(call: Callable[[], None]) -> Iterator[None]:
    """Have the event loop call it when the process is told to stop, and go on as before.

    uvicorn lets open requests end before it ends the lifespan: one that waits, or streams, must hear
    of it before. Signals reach the main thread alone; elsewhere nobody sends any.
    """
    loop = asyncio.get_running_loop()
    previous: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)
        previous[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                previous[number] = handler
                signal.signal(number, stop)
    try:
        yield
    finally:
        for caught, handler in previous.items():
            signal.signal(caught, handler)


def limit_stop() -> None:
    """Have uvicorn, unless it was told how long to wait, cut off what is still being sent when it stops.

    It would wait for ever: a client that has stopped reading takes no reply, and keeps its connection.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = STOP_SECONDS


async def _sweep(catalog: Catalog) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            if await run_in_threadpool(catalog.sweep, IDLE_SECONDS):
                take_back()
        except Exception:
            # One sweep that fails, on a broken disk for example, must not be the last one.
            logger.exception("a sweep failed; the next one comes")


class PlainStartup:
    """ASGI middleware: a start that is refused says why in one line, without a stack trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; put the refusal's own words into a failed start."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold_back(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_back)
        except StorageUnavailable as error:
            await send({"type": "lifespan.startup.failed", "message": _refusal(error)})
        except BaseException:
            for message in failed:
                await send(message)
            raise


def _refusal(error: StorageUnavailable) -> Any:
    if multiprocessing.parent_process() is None:
        return f"OptunAPI cannot start: {error.detail}"
    # A sibling behind the same socket would get half of the requests, and could answer none.
    return (
        f"OptunAPI cannot start: {error.detail}. It serves from one process, which is enough for "
        "thousands of workers: run uvicorn without --workers"
    )
