"""Request ids: every request has one, which its reply and its lines in the log carry.

Replies also carry the id of the server, so that a client knows it at another address.
"""

import re
import secrets
from collections.abc import Callable
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from optunapi.telemetry.context import request_id

HEADER = b"x-request-id"
SERVER = b"x-optunapi-server"
_PROCESS = secrets.token_hex(6)  # ids of another server, or of this one before a restart, differ
_numbers = count()
_SANE = re.compile(rb"[ -~]{1,128}")


def _id_of(scope: Scope) -> str:
    """The id that the request brings, if it is printable and not too long; else a new one."""
    given = [value for name, value in scope["headers"] if name == HEADER]
    if len(given) == 1 and _SANE.fullmatch(value := given[0].strip()):
        return bytes(value).decode("ascii")
    return f"{_PROCESS}{next(_numbers):06x}"  # random bytes for each take longer


class RequestIds:
    """ASGI middleware, to be the outermost: it sees every reply, those of errors too."""

    def __init__(self, app: ASGIApp, server_id: Callable[[], str | None]) -> None:
        self._app = app
        self._server_id = server_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with the request's id in the context, and the ids in the reply's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # It is not reset: what the server logs after this call belongs to the request too.
        request_id.set(name := _id_of(scope))
        added = [(HEADER, name.encode("ascii"))]
        if (server := self._server_id()) is not None:
            added.append((SERVER, server.encode("ascii")))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, send_with_id)
