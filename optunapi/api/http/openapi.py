"""The OpenAPI document: the bodies, replies and errors of routes, and the schemas they share."""

from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from optunapi.api.http.bodies import JsonBody
from optunapi.api.http.problems import status_of
from optunapi.api.schemas.fields import Body, Reply
from optunapi.api.schemas.problem import Problem
from optunapi.engine.names import NAME
from optunapi.errors import (
    Internal,
    MethodNotAllowed,
    OptunAPIError,
    Standby,
    StorageUnavailable,
    TryLater,
)

Errors = tuple[type[OptunAPIError], ...]
Replies = dict[int | str, dict[str, Any]]

ALWAYS: Errors = (Internal, StorageUnavailable, Standby)

_READ: Literal["validation"] = "validation"
_WRITTEN: Literal["serialization"] = "serialization"
_COMPONENT = "#/components/schemas/{model}"


def problem_example(error: type[OptunAPIError]) -> dict[str, Any]:
    """An example of an error's problem document."""
    status = status_of(error)
    return {
        "type": f"urn:optunapi:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        # Python has no docstrings with -OO.
        "detail": (error.__doc__ or error.code).splitlines()[0],
        "code": error.code,
    }


def refusals(*errors: type[OptunAPIError]) -> Replies:
    """The OpenAPI entries of a route's errors, with an example of each."""
    by_status: defaultdict[int, dict[str, type[OptunAPIError]]] = defaultdict(dict)
    for error in errors:
        by_status[status_of(error)][error.code] = error
    return {status: _refusal(found) for status, found in sorted(by_status.items())}


def _refusal(errors: dict[str, type[OptunAPIError]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": ", ".join(f"`{code}`" for code in errors),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": _COMPONENT.format(model=Problem.__name__)},
                "examples": {
                    code: {"value": problem_example(error)} for code, error in errors.items()
                },
            }
        },
    }
    if any(issubclass(error, TryLater) for error in errors.values()):
        found["headers"] = {
            "Retry-After": {
                "description": "Seconds after which the same request may succeed.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return found


def request_body(body: JsonBody[Any]) -> dict[str, Any]:
    """The OpenAPI entry of a body that `body` reads."""
    return {
        "requestBody": {
            "required": not body.is_optional,
            "content": {
                "application/json": {
                    "schema": {"$ref": _COMPONENT.format(model=body.model.__name__)}
                },
                **body.also,
            },
        }
    }


def query(
    name: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    """The OpenAPI entry of a query parameter that the handler reads itself."""
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema,
    }


def study_name(name: str) -> dict[str, Any]:
    """The OpenAPI entry of a study's name in a path, which the handler reads itself."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "The study's name.",
        "example": "cifar",
        "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    }


def install(app: FastAPI) -> None:
    """Add to the OpenAPI document of `app` the schemas that its routes refer to."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            components = generate().setdefault("components", {})
            components["schemas"] = dict(
                sorted((components.get("schemas", {}) | _shared()).items())
            )
            components["responses"] = {"MethodNotAllowed": _method_not_allowed()}
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend its document


def _shared() -> dict[str, Any]:
    """The schemas of all bodies and replies.

    FastAPI does not know the bodies, which `JsonBody` reads, and removes every null from the examples of
    replies.
    """
    bodies = [(model, _READ) for model in _below(Body)]
    replies = [(model, _WRITTEN) for model in _below(Reply)]
    _, found = models_json_schema([*bodies, *replies], ref_template=_COMPONENT)
    shared: dict[str, Any] = found["$defs"]
    return shared


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _below(model)


def _method_not_allowed() -> dict[str, Any]:
    found = _refusal({MethodNotAllowed.code: MethodNotAllowed})
    found["headers"] = {
        "Allow": {
            "description": "The methods that the path takes.",
            "required": True,
            "schema": {"type": "string"},
        }
    }
    return found
