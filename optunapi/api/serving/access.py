"""Access in a handler's signature: its first parameter says who may call it, and is the dispatch.

A handler reaches the engine through the dispatch alone, so no handler can forget to say who may call it.
"""

from typing import Annotated

from fastapi import Depends, Request

from optunapi.api.http.openapi import ALWAYS
from optunapi.api.serving.dispatch import Dispatch
from optunapi.security.access import CHANGING, CHECKS, Scope


class Access:
    """A dependency: the server's dispatch, for requests that pass the checks of a scope."""

    def __init__(self, scope: Scope) -> None:
        self.checks = [each.check for each in CHECKS[scope]]
        self.may_change = scope in CHANGING
        refusals = [error for each in CHECKS[scope] for error in each.errors]
        self.errors = () if scope == "public" else (*refusals, *ALWAYS)

    async def __call__(self, request: Request) -> Dispatch:
        """Return the dispatch, or raise the error of a check."""
        for check in self.checks:
            check(request)
        return dispatch_of(request)


def dispatch_of(request: Request) -> Dispatch:
    """The dispatch of the server that got this request."""
    dispatch: Dispatch = request.scope["app"].state.dispatch
    return dispatch


Public = Annotated[Dispatch, Depends(Access("public"))]
Read = Annotated[Dispatch, Depends(Access("read"))]
Work = Annotated[Dispatch, Depends(Access("work"))]
Manage = Annotated[Dispatch, Depends(Access("manage"))]
