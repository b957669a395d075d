"""Past FastAPI: the plain form of what trainers send most often is recognised and answered before it.

FastAPI's way from a request to a function's arguments, and back through its middleware, takes longer than
an ask or a tell does. A request that matches goes straight to the function that it would have reached in
the end. All others, be they only unusual or wrong, take FastAPI's way and are told there what is wrong.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from optunapi.api.http.bodies import Model, body
from optunapi.api.http.problems import respond
from optunapi.engine.names import NAME
from optunapi.errors import OptunAPIError
from optunapi.security.cross_site import refuse_cross_site

Answer = Callable[[Request], Awaitable[Response]]

# As the routes of v1 take them, but for numbers near the largest.
_TRIAL = rf"/optunapi/v1/studies/(?P<name>{NAME.pattern})/trials/(?P<n>0|[1-9][0-9]{{0,14}})"


class DirectRoutes:
    """What is answered directly: methods, paths, and functions that FastAPI has routes to as well."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], bool, Answer]] = []

    def add(self, method: str, path: str, answer: Answer, *, has_query: bool = True) -> None:
        """Answer requests whose whole path matches the pattern, the named groups of which are the
        request's `path_params`; without `has_query` only those that have no query.
        """
        self._routes.append((method, re.compile(path), has_query, answer))

    def add_on_trial(
        self,
        verb: str,
        model: type[Model],
        endpoint: Callable[[str, int, Model], Awaitable[Response]],
        *,
        optional: bool = False,
    ) -> None:
        """Answer v1's POST of a body to a trial by `endpoint(study, number, body)`."""
        read = body(model, optional=optional)

        async def answer(request: Request) -> Response:
            refuse_cross_site(request)
            place = request.path_params
            return await endpoint(place["name"], int(place["n"]), await read(request))

        self.add("POST", f"{_TRIAL}/{verb}", answer, has_query=False)

    def find(self, scope: Scope) -> Answer | None:
        """What answers an HTTP request directly, if anything does; sets its `path_params`."""
        if scope.get("root_path"):
            return None
        method, path = scope["method"], scope["path"]
        for its_method, pattern, has_query, answer in self._routes:
            if method == its_method and (match := pattern.fullmatch(path)):
                if scope["query_string"] and not has_query:
                    return None
                scope["path_params"] = match.groupdict()
                return answer
        return None


class DirectAnswers:
    """ASGI middleware: answers by `routes` where they match. The innermost one, so that what is put
    round the application later is round these answers too.
    """

    def __init__(self, app: ASGIApp, routes: DirectRoutes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on. Whatever is no refusal of ours goes on up, as from the application."""
        answer = self._routes.find(scope) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await answer(Request(scope, receive, send))
        except OptunAPIError as error:
            response = respond(error)
        except ClientDisconnect:
            return  # nobody is there to read anything
        await response(scope, receive, send)


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
