"""What a server does from start to stop: it owns its databases, sweeps them, and ends in order."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from importlib.metadata import version
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from optunapi.api.serving.connections import Connections, bounded
from optunapi.engine.catalog import Catalog
from optunapi.engine.clock import TICK_SECONDS, Clock
from optunapi.errors import DatabaseUnusable, OptunAPIError, StorageUnavailable
from optunapi.garbage import frozen_survivors, unfreeze
from optunapi.settings import Settings, unknown_variables
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import (
    ServerStarted,
    ServerStarting,
    ServerStopped,
    SweepFailed,
    VariableUnknown,
)
from optunapi.telemetry.secrets import masked

SWEEP_SECONDS = 1.0
STARTED_SECONDS = 0.02  # between looks whether uvicorn listens
IDLE_SECONDS = 600.0
STOP_SECONDS = 10
# Where a BLAS reads its number of threads when it is loaded.
BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def lifespan(
    catalog: Catalog, settings: Settings, connections: Connections
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the application's lifespan, which owns the databases of `catalog` from start to stop."""

    @asynccontextmanager
    async def run(_: FastAPI) -> AsyncIterator[None]:
        began, server = time.monotonic(), _uvicorn_server()
        emit(ServerStarting(**_places(settings)))
        for variable, near in unknown_variables().items():
            emit(VariableUnknown(variable=variable, near=near))
        await run_in_threadpool(catalog.open)
        tasks = [
            asyncio.create_task(each)
            for each in (_sweep(catalog, connections), _say_started(catalog, settings, server))
        ]
        limit_stop(server)
        limit_connections(server, connections)
        try:
            with (
                at_stop_signal(catalog.wind_down),
                frozen_survivors(),
                one_core_a_draw(),
                ticking(catalog.clock),
            ):
                yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await run_in_threadpool(catalog.close)
            emit(ServerStopped(seconds=round(time.monotonic() - began, 1)))

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


@contextmanager
def ticking(clock: Clock) -> Iterator[None]:
    """Notice when the process stood still. A thread ticks, since an event loop under load may be late."""
    has_ended = threading.Event()

    def tick() -> None:
        clock.tick()
        while not has_ended.wait(TICK_SECONDS):
            clock.tick()

    thread = threading.Thread(target=tick, name="optunapi-clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


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


def limit_stop(server: uvicorn.Server | None) -> None:
    """Make uvicorn close open connections `STOP_SECONDS` after it is told to stop, if no limit is set.

    Without a limit it waits for ever for a client that has stopped reading but keeps its connection.
    """
    if server is not None and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = STOP_SECONDS


def limit_connections(server: uvicorn.Server | None, connections: Connections) -> None:
    """Make uvicorn keep connections below the limit of descriptors. It does not listen yet."""
    if server is not None:
        config = server.config
        config.http_protocol_class = bounded(config.http_protocol_class, connections)
        config.backlog = min(config.backlog, connections.backlog)
        connections.opened = server.server_state.connections


def _uvicorn_server() -> uvicorn.Server | None:
    """The server that runs this application, if it is uvicorn in its usual place."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server if isinstance(server, uvicorn.Server) else None


async def _say_started(catalog: Catalog, settings: Settings, server: uvicorn.Server | None) -> None:
    """Log where the server listens, which is known once uvicorn has started, and what it serves."""
    while server is not None and not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(STARTED_SECONDS)
    names = await run_in_threadpool(catalog.names)
    address = None if server is None else _address(server)
    emit(ServerStarted(**_places(settings), address=address, studies=len(names)))


def _places(settings: Settings) -> dict[str, str]:
    return {
        "version": version("optunapi"),
        "home": str(settings.home.expanduser().absolute()),
        "configs": str(settings.configs),
        "studies_in": masked(settings.storage or str(settings.databases)),
    }


def _address(server: uvicorn.Server) -> str | None:
    """The URL that the server listens on, or its Unix socket."""
    for listening in server.servers:
        for each in listening.sockets:
            name = each.getsockname()
            if isinstance(name, str):
                return f"unix:{name}"
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            scheme = "https" if server.config.is_ssl else "http"
            return f"{scheme}://{host}:{name[1]}{server.config.root_path}"
    return None


async def _sweep(catalog: Catalog, connections: Connections) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        connections.set_room(catalog.n_open)
        connections.end_unused()
        try:
            if await run_in_threadpool(catalog.sweep, IDLE_SECONDS):
                unfreeze()
        except Exception as error:
            # A failure, on a broken disk for example, must not end the sweeping.
            emit(SweepFailed(reason=f"{type(error).__name__}: {error}"), error=error)


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
