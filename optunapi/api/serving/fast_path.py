"""The fast path: what trainers send most often is answered before FastAPI.

FastAPI takes longer to find a handler's arguments, and to pass its own middleware, than an ask or a tell
takes. A request to a hot route that has its plain form goes straight to the handler. Every other request,
unusual or wrong, takes FastAPI's way, which says what is wrong with it.
"""

import re
from collections import defaultdict
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
from optunapi.api.serving.access import Access, dispatch_of
from optunapi.errors import OptunAPIError

_PLACE = re.compile(r"\{(\w+)(?::\w+)?\}")


class _Answer:
    """Answers the requests to one hot route: compiled from its path and the signature of its handler."""

    def __init__(self, route: HotRoute) -> None:
        parameters = parameters_of(route.handler)
        self.pattern = _pattern(route.path, parameters)
        self._handler = route.handler
        self._checks: list[Callable[[Request], None]] = []
        self._dispatch: str | None = None
        self._request: str | None = None
        self._path: list[tuple[str, Callable[[str], Any]]] = []
        self._headers: list[tuple[str, str, TypeAdapter[Any]]] = []
        self._bodies: list[tuple[str, JsonBody[Any]]] = []
        takes_query = False
        for parameter in parameters:
            name, dependency = parameter.name, parameter.dependency
            header = next(
                (note for note in parameter.notes if isinstance(note, params.Header)), None
            )
            if isinstance(dependency, Access):
                self._checks = dependency.checks
                self._dispatch = name
            elif isinstance(dependency, JsonBody):
                self._bodies.append((name, dependency))
            elif name in self.pattern.groupindex:
                self._path.append((name, parameter.type))
            elif parameter.type is Request:
                self._request = name
            elif header is not None and header.alias is not None:
                self._headers.append((name, header.alias, TypeAdapter(parameter.hint)))
            elif parameter.is_optional:
                takes_query = True
            else:
                raise TypeError(f"a hot route cannot have the parameter {name}")
        # A handler that reads its query itself has no parameters for it.
        self.reads_query = self._request is not None and not takes_query

    async def __call__(self, request: Request) -> Response | None:
        """The reply; None if FastAPI has to say what is wrong with a header."""
        arguments: dict[str, Any] = {}
        for name, alias, adapter in self._headers:
            value = request.headers.get(alias)
            if value is not None:
                try:
                    arguments[name] = adapter.validate_python(value)
                except ValidationError:
                    return None
        for check in self._checks:
            check(request)
        if self._dispatch is not None:
            arguments[self._dispatch] = dispatch_of(request)
        for name, kind in self._path:
            arguments[name] = kind(request.scope["path_params"][name])
        for name, body in self._bodies:
            arguments[name] = await body(request)
        if self._request is not None:
            arguments[self._request] = request
        return await self._handler(**arguments)


def _pattern(path: str, parameters: list[Parameter]) -> re.Pattern[str]:
    """A regular expression for a route's path, the text of which has no special characters."""
    parts = {
        parameter.name: note.pattern
        for parameter in parameters
        for note in parameter.notes
        if isinstance(note, PathPart)
    }
    return re.compile(
        _PLACE.sub(lambda place: f"(?P<{place[1]}>{parts.get(place[1], '[^/]+')})", path)
    )


class FastPath:
    """ASGI middleware: answers requests to hot routes. It has to be the innermost, so that any other
    middleware is around these answers too.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[HotRoute]) -> None:
        self._app = app
        self._answers: defaultdict[str, list[_Answer]] = defaultdict(list)
        for route in routes:
            self._answers[route.method].append(_Answer(route))

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
        """What answers an HTTP request, if it is one to a hot route; sets its `path_params`.

        Nothing does behind a path prefix, or where FastAPI has to read the query.
        """
        if scope.get("root_path"):
            return None
        path = scope["path"]
        for answer in self._answers.get(scope["method"], ()):
            if match := answer.pattern.fullmatch(path):
                if scope["query_string"] and not answer.reads_query:
                    return None
                scope["path_params"] = match.groupdict()
                return answer
        return None
