"""Routes, each declared once: FastAPI's route, its OpenAPI entry and the fast path are made from that."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from fastapi import APIRouter, params
from fastapi.routing import APIRoute
from fastapi.utils import generate_unique_id
from pydantic import BaseModel
from starlette.responses import Response

from optunapi.api.http.bodies import JsonBody
from optunapi.api.http.openapi import Errors, Replies, refusals, request_body
from optunapi.errors import OptunAPIError

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
    """The routes of one resource, under a prefix and a tag."""

    def __init__(
        self,
        tag: str,
        *,
        prefix: str = "",
        dependencies: Sequence[params.Depends] = (),
        name_of: Callable[[APIRoute], str] = generate_unique_id,
    ) -> None:
        self.router = APIRouter(
            prefix=prefix,
            tags=[tag],
            dependencies=dependencies,
            generate_unique_id_function=name_of,
        )
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
        also: str | None = None,
        **options: Any,
    ) -> Callable[[Declared], Declared]:
        """Declare the decorated handler as a route whose successful reply has the schema `model`.

        The status is that of the handler's return type: of the first one in `Created | Ok`. The first
        parameter has to be an access. The errors that parameters raise need not be listed. `also` is a
        second path, which the OpenAPI document does not have. Further `replies` are OpenAPI entries, and
        further `options` go to FastAPI.
        """
        options.setdefault("response_model", None)  # handlers return responses

        def declare(handler: Declared) -> Declared:
            found = parameters_of(handler)
            if not hasattr(found[0].dependency, "checks"):
                raise TypeError(f"the first parameter of {handler.__name__} has to be an access")
            for parameter in found:
                if isinstance(parameter.dependency, JsonBody):
                    options["openapi_extra"] = request_body(parameter.dependency)
            known = [error for parameter in found for error in parameter.errors]
            status = success_status(handler)
            success: dict[str, Any] = {"description": description}
            if model is not None:
                success["model"] = model
            responses = {status: success, **refusals(*known, *errors), **(replies or {})}
            for place in (path, also):
                if place is None:
                    continue
                self.router.add_api_route(
                    place,
                    handler,
                    methods=[method],
                    status_code=status,
                    responses=responses,
                    include_in_schema=place is path,
                    **options,
                )
                if hot:
                    self.hot.append(
                        HotRoute(method=method, path=self._prefix + place, handler=handler)
                    )
            return handler

        return declare
