"""Errors as problem documents (RFC 9457), and the HTTP status of each class of `optunapi.errors`."""

import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from optunapi import errors
from optunapi.api.http.bodies import reason_of
from optunapi.api.http.replies import NO_STORE, strict_json
from optunapi.api.schemas.trials import trial_of
from optunapi.engine.values import TrialView
from optunapi.errors import OptunAPIError
from optunapi.telemetry.context import request_id
from optunapi.telemetry.emit import emit
from optunapi.telemetry.events import RequestFailed

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """The content as strict JSON."""
        return strict_json(content)


def problem_of(error: OptunAPIError) -> dict[str, Any]:
    """The problem document of an error."""
    status = status_of(type(error))
    extra = {
        key: trial_of(value) if isinstance(value, TrialView) else value
        for key, value in error.extra.items()
    }
    return {
        "type": f"urn:optunapi:error:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        **extra,
    }


def respond(error: OptunAPIError, headers: Mapping[str, str] | None = None) -> ProblemResponse:
    """The reply to a request that raised `error`."""
    headers = {**NO_STORE, **(headers or {})}
    if isinstance(error, errors.ServerFull):
        headers["Connection"] = "close"
    if isinstance(error, errors.TryLater):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, errors.EncodingUnsupported):
        headers["Accept-Encoding"] = "identity"
    return ProblemResponse(problem_of(error), status_of(type(error)), headers)


def client_has_gone() -> Response:
    """The reply to a request whose client disconnected before its body was complete; it is not read."""
    return Response(status_code=400)


def allowed_methods(request: Request) -> list[str]:
    """The methods that this request's path takes, each of which may be a route of its own."""
    place = {"type": "http", "path": request.scope["path"]}
    place["root_path"] = request.scope.get("root_path", "")
    return [
        method
        for method in METHODS
        if any(r.matches({**place, "method": method})[0] == Match.FULL for r in request.app.routes)
    ]


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    # A path with an extra slash is unknown: a redirect would be no problem document.
    app.router.redirect_slashes = False

    @app.exception_handler(OptunAPIError)
    async def refused(_: Request, error: OptunAPIError) -> ProblemResponse:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> ProblemResponse:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return respond(errors.JsonInvalid("the body is not JSON (RFC 8259)"))
        found = [
            {"location": list(item["loc"]), "reason": reason_of(item)} for item in error.errors()
        ]
        where = "; ".join(
            f"{'.'.join(map(str, item['location']))}: {item['reason']}" for item in found[:3]
        )
        return respond(errors.RequestInvalid(f"the request is invalid: {where}", errors=found))

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> ProblemResponse:
        if error.status_code == 405:
            allowed = ", ".join(allowed_methods(request))
            detail = f"{request.url.path} does not accept {request.method}; use {allowed}"
            return respond(errors.MethodNotAllowed(detail), {"Allow": allowed})
        return respond(errors.RouteNotFound(f"there is no route {request.url.path}"))

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return client_has_gone()

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> ProblemResponse:
        name = request_id.get() or secrets.token_hex(8)
        failure = RequestFailed(
            method=request.method,
            path=request.url.path,
            error=type(error).__name__,
            request_id=name,
        )
        emit(failure, error=error)
        return respond(
            errors.Internal(
                f"the server failed; its log has the details under request_id {name}",
                request_id=name,
            )
        )


STATUS: Mapping[type[OptunAPIError], int] = {
    errors.JsonInvalid: 400,
    errors.NotAuthenticated: 401,
    errors.AccessDenied: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.EncodingUnsupported: 415,
    errors.BadRequest: 422,
    errors.NoSlot: 429,
    errors.RateLimited: 429,
    errors.StorageUnavailable: 503,
    errors.Standby: 503,
    OptunAPIError: 500,
}


def status_of(error: type[OptunAPIError]) -> int:
    """The HTTP status of an error's class, or of the nearest class above that has one."""
    return next(STATUS[base] for base in error.__mro__ if base in STATUS)
