"""Routes, each declared once: FastAPI's route, its OpenAPI entry and the fast path are made from that."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from fastapi import APIRouter, Depends, params
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from pydantic import BaseModel
from starlette.responses import Response

from optunapi.api.http.bodies import NO_FIELDS, JsonBody
from optunapi.api.http.openapi import Errors, Replies, refusals, request_body
from optunapi.api.http.queries import KnownQuery
from optunapi.errors import OptunAPIError

V1 = "/optunapi/v1"

Handler = Callable[..., Awaitable[Response]]
Declared = TypeVar("Declared", bound=Handler)


@dataclass(frozen=True, kw_only=True)
class PathPart:
    """What a parameter in a path looks like, and the errors of requests that give another value."""

    pattern: str
    errors: Errors = ()


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A handler's parameter: its type, and what its `Annotated` says beside the type."""

    name: str
    hint: Any
    type: Any
    notes: tuple[Any, ...]
    is_optional: bool

    @property
    def dependency(self) -> Any:
        """What FastAPI calls for its value, or None."""
        return next((n.dependency for n in self.notes if isinstance(n, params.Depends)), None)

    @property
    def query_name(self) -> str | None:
        """Its name in the query, or None if it is not read from there."""
        query = next((n for n in self.notes if isinstance(n, params.Query)), None)
        return None if query is None else query.alias or self.name

    @property
    def errors(self) -> Errors:
        """The errors of requests for which it has no value."""
        return tuple(
            error
            for each in (*self.notes, self.dependency)
            for error in getattr(each, "errors", ())
        )


def parameters_of(handler: Handler) -> list[Parameter]:
    """The parameters of a handler's signature, from which its route is made."""
    hints = get_type_hints(handler, include_extras=True)
    found = []
    for name, parameter in inspect.signature(handler).parameters.items():
        hint = hints[name]
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        found.append(
            Parameter(
                name=name,
                hint=hint,
                type=kind,
                notes=tuple(notes),
                is_optional=parameter.default is not parameter.empty,
            )
        )
    return found


def success_status(handler: Handler) -> int:
    """The HTTP status of a handler's return type, or of the first one in a union; 200 if it has none."""
    returned = get_type_hints(handler).get("return")
    first, *_ = get_args(returned) or (returned,)
    status: int = getattr(first, "status", 200)
    return status


@dataclass(frozen=True, kw_only=True)
class HotRoute:
    """A route that is answered before FastAPI where a request has its plain form."""

    method: str
    path: str
    handler: Handler


class Routes:
    """The routes of one resource, under a prefix and a tag.

    A route of v1 takes the query parameters that its handler declares, each once, and DELETE no field of a
    body that it does not declare. A route of GET answers HEAD as well.
    """

    def __init__(
        self,
        tag: str,
        *,
        prefix: str = "",
        name_of: Callable[[APIRoute], str] = generate_unique_id,
    ) -> None:
        self.router = APIRouter(prefix=prefix, tags=[tag], generate_unique_id_function=name_of)
        self.hot: list[HotRoute] = []
        self._prefix = prefix

    def add(
        self,
        method: str,
        path: str,
        model: type[BaseModel] | None,
        description: str,
        *errors: type[OptunAPIError],
        replies: Replies | None = None,
        hot: bool = False,
        also: tuple[str, ...] = (),
        head: Handler | None = None,
        **options: Any,
    ) -> Callable[[Declared], Declared]:
        """Declare the decorated handler as a route whose successful reply has the schema `model`.

        The status is that of the handler's return type: of the first one in `Created | Ok`. The first
        parameter has to be an access. The errors that parameters raise need not be listed. `also` are
        further paths, which the OpenAPI document does not have. `head` answers HEAD where the handler of GET
        changes something. Further `replies` are OpenAPI entries, and further `options` go to FastAPI.

        Raises:
            TypeError: the first parameter is no access, or GET may change something and there is no `head`.
        """
        options.setdefault("response_model", None)  # handlers return responses

        def declare(handler: Declared) -> Declared:
            found = parameters_of(handler)
            access = found[0].dependency
            if not hasattr(access, "checks"):
                raise TypeError(f"the first parameter of {handler.__name__} has to be an access")
            if method == "GET" and access.may_change and head is None:
                raise TypeError(f"{handler.__name__} may change something: give it a `head`")
            for parameter in found:
                # To OpenAPI a body of DELETE means nothing: there the document has the query alone.
                if isinstance(parameter.dependency, JsonBody) and method != "DELETE":
                    options["openapi_extra"] = request_body(parameter.dependency)
            known = [error for parameter in found for error in parameter.errors]
            if f"{self._prefix}{path}".startswith(f"{V1}/"):
                query = KnownQuery(p.query_name for p in found if p.query_name)
                # The access first, which the handler gets from there too: who may not call learns no more.
                options["dependencies"] = [Depends(access), Depends(query)]
                known += query.errors
                if method == "DELETE" and not any(
                    isinstance(p.dependency, JsonBody) for p in found
                ):
                    options["dependencies"].append(Depends(NO_FIELDS))
                    known += NO_FIELDS.errors
            status = success_status(handler)
            success: dict[str, Any] = {"description": description}
            if model is not None:
                success["model"] = model
            responses = {status: success, **refusals(*known, *errors), **(replies or {})}
            for place in (path, *also):
                self.router.add_api_route(
                    place,
                    handler,
                    methods=[method],
                    status_code=status,
                    responses=responses,
                    include_in_schema=place is path,
                    **options,
                )
                if method == "GET":
                    self.router.add_api_route(
                        place,
                        head or handler,
                        methods=["HEAD"],
                        status_code=status,
                        include_in_schema=False,
                        dependencies=options.get("dependencies"),
                        response_model=None,
                    )
                if hot:
                    self.hot.append(
                        HotRoute(method=method, path=self._prefix + place, handler=handler)
                    )
            return handler

        return declare
