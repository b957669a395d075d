"""The fast path: what trainers send most often is answered before FastAPI.

FastAPI takes longer to find a handler's arguments, and to pass its own middleware, than an ask or a tell
takes. A request to a hot route that has its plain form goes straight to the handler. Every other request,
unusual or wrong, takes FastAPI's way, which says what is wrong with it.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import params
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from optunapi.api.http.bodies import JsonBody
from optunapi.api.http.problems import client_has_gone, respond
from optunapi.api.http.routes import HotRoute, Parameter, PathPart, parameters_of
from optunapi.api.serving.access import Access
from optunapi.errors import OptunAPIError

_PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")


class _Answer:
    """Answers the requests to one hot route: compiled from its path and the signature of its handler."""

    def __init__(self, route: HotRoute) -> None:
        parameters = {each.name: each for each in parameters_of(route.handler)}
        self._method = route.method
        self._handler = route.handler
        self._pattern = _pattern(route.path, parameters)
        self._access: dict[str, Access] = {}
        self._path: dict[str, Callable[[str], Any]] = {}
        self._headers: dict[str, tuple[str, TypeAdapter[Any]]] = {}
        self._bodies: dict[str, JsonBody[Any]] = {}
        self._request: str | None = None
        takes_query = False
        for name, parameter in parameters.items():
            dependency = parameter.dependency
            if isinstance(dependency, Access):
                self._access[name] = dependency
            elif isinstance(dependency, JsonBody):
                self._bodies[name] = dependency
            elif name in self._pattern.groupindex:
                self._path[name] = parameter.type
            elif parameter.type is Request:
                self._request = name
            elif header := next((n for n in parameter.notes if isinstance(n, params.Header)), None):
                assert header.alias is not None
                self._headers[name] = header.alias, TypeAdapter(parameter.hint)
            elif parameter.is_optional:
                takes_query = True
            else:
                raise TypeError(f"a hot route cannot have the parameter {name}")
        # A handler that reads its query itself has no parameter for it.
        self._reads_query = self._request is not None and not takes_query

    def takes(self, scope: Scope) -> bool:
        """Whether a request has this route's method and path, and no query that FastAPI has to read.

        Sets the request's `path_params`.
        """
        if scope["method"] != self._method:
            return False
        match = self._pattern.fullmatch(scope["path"])
        if match is None or (scope["query_string"] and not self._reads_query):
            return False
        scope["path_params"] = match.groupdict()
        return True

    async def __call__(self, request: Request) -> Response | None:
        """The reply; None if FastAPI has to say what is wrong with a header."""
        arguments: dict[str, Any] = {}
        for name, (alias, adapter) in self._headers.items():
            value = request.headers.get(alias)
            if value is not None:
                try:
                    arguments[name] = adapter.validate_python(value)
                except ValidationError:
                    return None
        for name, access in self._access.items():
            arguments[name] = access.dispatch(request)
        path_params = request.scope["path_params"]
        for name, kind in self._path.items():
            arguments[name] = kind(path_params[name])
        for name, body in self._bodies.items():
            arguments[name] = await body(request)
        if self._request is not None:
            arguments[self._request] = request
        return await self._handler(**arguments)


def _pattern(path: str, parameters: dict[str, Parameter]) -> re.Pattern[str]:
    """A regular expression for a route's path. The other parts of the path have no special characters."""

    def group(place: re.Match[str]) -> str:
        name = place[1]
        notes = parameters[name].notes if name in parameters else ()
        part = next((note for note in notes if isinstance(note, PathPart)), PathPart())
        return f"(?P<{name}>{part.pattern})"

    return re.compile(_PLACE.sub(group, path))


class FastPath:
    """ASGI middleware: answers requests to hot routes. It has to be the innermost, so that any other
    middleware is around these answers too.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[HotRoute]) -> None:
        self._app = app
        self._answers = [_Answer(route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on. An exception that is no refusal goes up, as from the application."""
        answer = self.find(scope) if scope["type"] == "http" else None
        response: Response | None = None
        if answer is not None:
            try:
                response = await answer(Request(scope, receive, send))
            except OptunAPIError as error:
                response = respond(error)
            except ClientDisconnect:
                response = client_has_gone()
        if response is None:
            await self._app(scope, receive, send)
        else:
            await response(scope, receive, send)

    def find(self, scope: Scope) -> _Answer | None:
        """What answers an HTTP request, if it is one to a hot route. Behind a path prefix nothing does."""
        if scope.get("root_path"):
            return None
        for answer in self._answers:
            if answer.takes(scope):
                return answer
        return None
