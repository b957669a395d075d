"""HEAD: the status and headers that GET would have, and no body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadersAlone:
    """ASGI middleware: a reply to HEAD ends with its headers, also where a stream would have no end.

    A server tells an application whose reply has ended that the client has gone, which ends a stream.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the bodies of replies to HEAD."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        has_ended = False

        async def end_at_body(message: Message) -> None:
            nonlocal has_ended
            if message["type"] != "http.response.body":
                await send(message)
            elif not has_ended:
                has_ended = True
                await send({"type": "http.response.body"})

        await self._app(scope, receive, end_at_body)
