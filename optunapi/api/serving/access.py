"""Access in a handler's signature: its first parameter says who may call it, and is the dispatch.

A handler reaches the engine through the dispatch alone, so no handler can forget to say who may call it.
"""

from typing import Annotated

from fastapi import Depends, Request

from optunapi.api.http.openapi import ALWAYS
from optunapi.api.serving.dispatch import Dispatch
from optunapi.security.access import Scope, check_access, refusals_of


class Access:
    """A dependency that returns the server's dispatch for requests that may use a scope's routes."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.errors = () if scope == "public" else (*refusals_of(scope), *ALWAYS)

    async def __call__(self, request: Request) -> Dispatch:
        """Return the dispatch, or raise what `check_access` raises."""
        return self.dispatch(request)

    def dispatch(self, request: Request) -> Dispatch:
        """The same without an await."""
        check_access(request, self.scope)
        dispatch: Dispatch = request.scope["app"].state.dispatch
        return dispatch


Public = Annotated[Dispatch, Depends(Access("public"))]
Read = Annotated[Dispatch, Depends(Access("read"))]
Work = Annotated[Dispatch, Depends(Access("work"))]
Manage = Annotated[Dispatch, Depends(Access("manage"))]
