"""Request ids: every request has one, which its reply and its lines in the log carry."""

import re
import secrets
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from optunapi.telemetry.context import request_id

HEADER = b"x-request-id"
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

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with the request's id in the context and in the reply's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # It is not reset: what the server logs after this call belongs to the request too.
        request_id.set(name := _id_of(scope))
        header = (HEADER, name.encode("ascii"))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, send_with_id)
