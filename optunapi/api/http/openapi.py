"""The OpenAPI document: what routes take, give and refuse, and the shapes they share."""

from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from optunapi.api.http.problems import status_of
from optunapi.api.schemas.fields import Body, Reply
from optunapi.api.schemas.problem import Problem
from optunapi.errors import (
    Internal,
    JsonInvalid,
    MethodNotAllowed,
    OptunAPIError,
    RequestInvalid,
    Standby,
    StorageUnavailable,
    TooLarge,
    TryLater,
)

Errors = tuple[type[OptunAPIError], ...]

ALWAYS: Errors = (Internal, StorageUnavailable, Standby)
READS_BODY: Errors = (JsonInvalid, TooLarge, RequestInvalid)

_READ: Literal["validation"] = "validation"
_WRITTEN: Literal["serialization"] = "serialization"
_COMPONENT = "#/components/schemas/{model}"


def problem_example(error: type[OptunAPIError]) -> dict[str, Any]:
    """A problem document such as `error` makes, its detail in general words."""
    status = status_of(error)
    return {
        "type": f"urn:optunapi:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": (error.__doc__ or "").splitlines()[0],
        "code": error.code,
    }


def refusals(*errors: type[OptunAPIError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the errors that a route can answer with, an example of each."""
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


def gives(
    status: int, model: type[BaseModel] | None, description: str, *errors: type[OptunAPIError]
) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of a route's replies: the good one, and the errors it can answer with."""
    good: dict[str, Any] = {"description": description}
    if model is not None:
        good["model"] = model
    return {status: good, **refusals(*errors, *ALWAYS)}


def takes(model: type[Body], *, required: bool = True) -> dict[str, Any]:
    """The OpenAPI entry of a body that the route reads itself."""
    schema = {"$ref": _COMPONENT.format(model=model.__name__)}
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}
    }


def query(
    name: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    """A query parameter that the route reads itself."""
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema,
    }


def install(app: FastAPI) -> None:
    """Add to the OpenAPI document of `app` the shapes that routes refer to by name alone."""
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

    FastAPI knows nothing of the bodies, which routes read themselves, and drops every null from the
    examples of replies.
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
