"""Routes that read their requests themselves: what is asked for most often pays for nothing else.

FastAPI's way from a request to a function's arguments, and through two exit stacks, takes longer than an
ask or a tell does. These routes are in its OpenAPI document like all others, and do without it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from optunapi.engine.names import NAME

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response, or raises one of our errors."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that this route matches; errors go to the application's handlers."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # which says what is allowed
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def direct_router(**arguments: Any) -> APIRouter:
    """A router of such routes, to be installed with `install`."""
    return APIRouter(route_class=DirectRoute, **arguments)


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Put the routes before all others: a path is compared with one route after another."""
    app.router.routes[:0] = [route for router in routers for route in router.routes]


def name_parameter(name: str) -> dict[str, Any]:
    """The OpenAPI entry of a study's name in a path, which the route reads itself."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "The study's name.",
        "example": "cifar",
        "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    }
