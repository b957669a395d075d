"""Each class of `optunapi.errors` with its HTTP status."""

from collections.abc import Mapping

from optunapi import errors
from optunapi.errors import OptunAPIError

STATUS: Mapping[type[OptunAPIError], int] = {
    errors.JsonInvalid: 400,
    errors.NotAuthenticated: 401,
    errors.AccessDenied: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.BadRequest: 422,
    errors.NoSlot: 429,
    errors.RateLimited: 429,
    errors.StorageUnavailable: 503,
    errors.Standby: 503,
    OptunAPIError: 500,
}


def status_of(error: type[OptunAPIError]) -> int:
    """The HTTP status of an error's class: its own, or that of the nearest one above."""
    return next(STATUS[base] for base in error.__mro__ if base in STATUS)
