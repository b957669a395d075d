"""A server in a thread of this process, over real sockets; and what a database holds."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from optunapi.app import create_app
from optunapi.settings import Settings
from tests.support import free_port


def dump(path: Path) -> list[str]:
    """A database as SQL statements."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


@contextmanager
def serving(home: Path) -> Iterator[httpx.Client]:
    """A client of a server at this home, until the block ends."""
    with serving_app(create_app(Settings(home=home))) as client:
        yield client


@contextmanager
def serving_app(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of a server of this application, until the block ends."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    port = free_port()
    # Neither side closes idle connections: a request sent at that moment would be lost.
    server = Server(uvicorn.Config(app, port=port, log_config=None, timeout_keep_alive=3600))
    kept = httpx.Limits(keepalive_expiry=None)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(30)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=kept) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
