"""Access: the scope of a route says what its requests may do, and which checks they have to pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from optunapi.errors import CrossSite, OptunAPIError
from optunapi.security.cross_site import refuse_cross_site

# `public` needs no access. Each of the others includes the one before it.
Scope = Literal["public", "read", "work", "manage"]


@dataclass(frozen=True)
class Check:
    """A function that raises one of these errors for a request that may not go on."""

    check: Callable[[Request], None]
    errors: tuple[type[OptunAPIError], ...]


CHANGING: frozenset[Scope] = frozenset(("work", "manage"))

_CHANGES = (Check(refuse_cross_site, (CrossSite,)),)
CHECKS: Mapping[Scope, tuple[Check, ...]] = {
    "public": (),
    "read": (),
    "work": _CHANGES,
    "manage": _CHANGES,
}
