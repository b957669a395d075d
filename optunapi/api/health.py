"""Whether the process runs, whether it can serve, and what it is."""

import platform
from importlib.metadata import version

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from optunapi.api.http.openapi import refusals
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.health import StatusReply, VersionReply
from optunapi.engine.catalog import Catalog
from optunapi.errors import Standby, StorageUnavailable


def router(catalog: Catalog, storage_kind: str) -> APIRouter:
    """The routes; `storage_kind` is what `version` says of the storage."""
    routes = APIRouter(tags=["operating"])
    versions = {
        "optunapi": version("optunapi"),
        "optuna": version("optuna"),
        "python": platform.python_version(),
        "storage": storage_kind,
    }

    @routes.get(
        "/optunapi/livez",
        summary="Whether the process runs",
        responses={200: {"model": StatusReply, "description": "It does"}},
    )
    async def livez() -> JsonReply:
        return JsonReply({"status": "alive"})

    @routes.get(
        "/optunapi/readyz",
        summary="Whether the server owns its database and can commit",
        responses={
            200: {"model": StatusReply, "description": "It can"},
            **refusals(StorageUnavailable, Standby),
        },
    )
    async def readyz() -> JsonReply:
        if reason := await run_in_threadpool(catalog.unavailable):
            raise StorageUnavailable(reason)
        return JsonReply({"status": "ready"})

    @routes.get(
        "/optunapi/v1/version",
        summary="Versions of OptunAPI and what it runs on",
        responses={200: {"model": VersionReply, "description": "The versions"}},
    )
    async def get_version() -> JsonReply:
        return JsonReply(versions)

    return routes
