"""Access: what a request may do, by the scope of its route."""

from typing import Literal

from fastapi import Request

from optunapi.errors import CrossSite, OptunAPIError
from optunapi.security.cross_site import refuse_cross_site

# `public` needs no access. Each of the others includes the one before it.
Scope = Literal["public", "read", "work", "manage", "admin"]


def check_access(request: Request, scope: Scope) -> None:
    """Let a request through that may use routes of this scope.

    Raises:
        CrossSite: the scope changes state, and a page of another site caused the request.
    """
    if scope not in ("public", "read"):
        refuse_cross_site(request)


def refusals_of(scope: Scope) -> tuple[type[OptunAPIError], ...]:
    """The errors that `check_access` raises for this scope."""
    return () if scope in ("public", "read") else (CrossSite,)
