"""What a server does from start to stop: it owns its databases, sweeps them, and ends in order."""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from optunapi.engine.catalog import Catalog
from optunapi.errors import DatabaseUnusable, OptunAPIError, StorageUnavailable
from optunapi.garbage import frozen_survivors, unfreeze

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
IDLE_SECONDS = 600.0
STOP_SECONDS = 10
# Where a BLAS reads its number of threads when it is loaded.
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def lifespan(catalog: Catalog) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the application's lifespan, which owns the databases of `catalog` from start to stop."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        show_log()
        await run_in_threadpool(catalog.open)
        sweeping = asyncio.create_task(_sweep(catalog))
        limit_stop()
        try:
            with at_stop_signal(catalog.wind_down), frozen_survivors(), one_core_a_draw():
                yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            await run_in_threadpool(catalog.close)

    return run


@contextmanager
def one_core_a_draw() -> Iterator[None]:
    """Limit NumPy and SciPy to one core for each calculation: draws are small, and several run at once."""
    previous = {name: os.environ.get(name) for name in BLAS_VARIABLES}
    with threadpool_limits(1, user_api="blas"):
        # This limits what is loaded. SciPy brings a BLAS of its own, and is imported by the first draw
        # that needs it: that BLAS reads the environment.
        os.environ.update(dict.fromkeys(BLAS_VARIABLES, "1"))
        try:
            yield
        finally:
            for name, value in previous.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def show_log() -> None:
    """Send our log where uvicorn's goes, unless logging is configured already."""
    ours, theirs = logging.getLogger("optunapi"), logging.getLogger("uvicorn")
    if not ours.handlers and not logging.root.handlers:
        ours.handlers = list(theirs.handlers)
        ours.setLevel(theirs.getEffectiveLevel())


@contextmanager
def at_stop_signal(call: Callable[[], None]) -> Iterator[None]:
    """Call `call` on the event loop when the process receives a stop signal, then handle it as before.

    uvicorn waits for open requests before it ends the lifespan, so a request that waits or streams has
    to be told earlier. Only the main thread receives signals.
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
    """Make uvicorn close open connections `STOP_SECONDS` after it is told to stop, if no limit is set.

    Without a limit it waits for ever for a client that has stopped reading but keeps its connection.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = STOP_SECONDS


async def _sweep(catalog: Catalog) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            if await run_in_threadpool(catalog.sweep, IDLE_SECONDS):
                unfreeze()
        except Exception:
            # A failure, on a broken disk for example, must not end the sweeping.
            logger.exception("a sweep failed; it is tried again in %s s", SWEEP_SECONDS)


class PlainStartup:
    """ASGI middleware: a server that cannot start says why in one line, without a stack trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and replace the message of a start that failed."""
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
        except (StorageUnavailable, DatabaseUnusable) as error:
            await send({"type": "lifespan.startup.failed", "message": _refusal(error)})
        except BaseException:
            for message in failed:
                await send(message)
            raise


def _refusal(error: OptunAPIError) -> Any:
    if multiprocessing.parent_process() is None:
        return f"OptunAPI cannot start: {error.detail}"
    # A second process on the same socket would receive half of the requests and could answer none.
    return (
        f"OptunAPI cannot start: {error.detail}. It serves from one process, which is enough for "
        "thousands of workers: run uvicorn without --workers"
    )
