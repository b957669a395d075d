"""Connections and event streams are bounded: each holds a file descriptor, and studies need some too.

Without a bound a process runs out of descriptors. Then nothing can be accepted or opened, and a server is as
busy with that as with all its work.
"""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from optunapi.api.http.problems import respond
from optunapi.engine.room import room_for_connections
from optunapi.errors import ServerFull
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import DescriptorsScarce

RETRY_SECONDS = 5.0
LIVENESS = "/optunapi/livez"  # a server that is busy lives
UNUSED_SECONDS = 5.0
UNREAD = 16  # connections beyond the bound, whose requests are refused when they have been read


class Connections:
    """The connections of one server. To be used on its event loop alone.

    `opened` are all that the server has, as far as it shows them.
    """

    def __init__(self) -> None:
        self.opened: Collection[Any] = ()
        self.n_streams = 0
        self.set_room(0)

    def set_room(self, n_studies: int) -> None:
        """Leave descriptors for this number of open studies. Call it about once a second."""
        self.most = room_for_connections(n_studies)

    @property
    def are_full(self) -> bool:
        """Whether there are more connections than may have a request."""
        return len(self.opened) > self.most

    @property
    def are_beyond(self) -> bool:
        """Whether no descriptor is left even for a refusal."""
        return len(self.opened) > self.most + UNREAD

    def end_unused(self) -> None:
        """End connections that never had a request, if requests are refused for want of them."""
        if self.are_full:
            now = asyncio.get_running_loop().time()
            for each in list(self.opened):
                if each.cycle is None and now - each.made_at > UNUSED_SECONDS:
                    each.transport.abort()

    @property
    def backlog(self) -> int:
        """How many connections may be accepted before one of them is looked at."""
        return max(8, self.most // 8)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """A block that sends events until its client goes. Half of all connections may do so.

        Raises:
            ServerFull: there are too many.
        """
        if self.n_streams >= self.most // 2:
            raise self.refusal("event streams")
        self.n_streams += 1
        try:
            yield
        finally:
            self.n_streams -= 1

    def refusal(self, what: str) -> ServerFull:
        """The error of one more than there may be; it is logged."""
        emit(DescriptorsScarce(refused=what, request_id=None))
        return ServerFull(
            f"the server has as many {what} as its limit of file descriptors allows: try again, or have "
            "the limit raised",
            retry_after=RETRY_SECONDS,
        )


class BoundedConnections:
    """ASGI middleware: while there are too many connections, a request is refused and its connection ends."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if self._connections.are_full and scope["type"] == "http" and scope["path"] != LIVENESS:
            refusal = respond(self._connections.refusal("connections"))
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def bounded(protocol: Any, connections: Connections) -> Any:
    """A subclass of uvicorn's class for a connection, which ends those that are far too many at once."""

    class Bounded(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.made_at = asyncio.get_running_loop().time()
            if connections.are_beyond:
                connections.refusal("connections")
                transport.abort()

    return Bounded
