"""Whether the process runs, whether it can serve, and which versions it runs."""

import platform
from importlib.metadata import version

from optunapi.api.http.replies import Ok
from optunapi.api.http.routes import Routes
from optunapi.api.schemas.health import StatusReply, VersionReply
from optunapi.api.serving.access import Public, Read
from optunapi.api.serving.dispatch import CATALOG
from optunapi.errors import Standby, StorageUnavailable

routes = Routes("operating")

VERSIONS = {
    "optunapi": version("optunapi"),
    "optuna": version("optuna"),
    "python": platform.python_version(),
    "storage": "sqlite",
}


@routes.add("GET", "/optunapi/livez", StatusReply, "It does", summary="Whether the process runs")
async def livez(_: Public) -> Ok:
    """The server answers as long as its process runs."""
    return Ok({"status": "alive"})


@routes.add(
    "GET",
    "/optunapi/readyz",
    StatusReply,
    "It can",
    StorageUnavailable,
    Standby,
    summary="Whether the server owns its database and can commit",
)
async def readyz(dispatch: Public) -> Ok:
    """The reply of a server that cannot commit says why."""
    reason = await dispatch.read(CATALOG, lambda catalog: (catalog.unavailable(),))
    if reason:
        raise StorageUnavailable(reason)
    return Ok({"status": "ready"})


@routes.add(
    "GET",
    "/optunapi/v1/version",
    VersionReply,
    "The versions",
    summary="Versions of OptunAPI and what it runs on",
)
async def get_version(_: Read) -> Ok:
    """The versions of OptunAPI, Optuna and Python, and the kind of storage."""
    return Ok(VERSIONS)
