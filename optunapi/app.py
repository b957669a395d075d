"""The composition root: it joins settings, storage, engine and routes into one application."""

import secrets
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from optunapi.api import health, legacy, v1
from optunapi.api.http import docs, openapi, problems
from optunapi.api.http.head import HeadersAlone
from optunapi.api.serving.connections import BoundedConnections, Connections
from optunapi.api.serving.dispatch import Dispatch
from optunapi.api.serving.fast_path import FastPath
from optunapi.api.serving.request_ids import RequestIds
from optunapi.engine.catalog import Catalog
from optunapi.engine.clock import Clock
from optunapi.engine.room import raise_limit
from optunapi.engine.store import Stores
from optunapi.lifespan import PlainStartup, lifespan
from optunapi.settings import Settings
from optunapi.storage.artifacts import ArtifactFolder
from optunapi.storage.stores import OneDatabase, StudyFiles

DESCRIPTION = """Distributes hyperparameter optimisation over HTTP.

A trainer gets a trial's hyperparameters, trains, and sends the score back. Errors are problem
documents (RFC 9457) whose `code` says what happened."""


def new_catalog(settings: Settings, clock: Clock | None = None) -> Catalog:
    """The studies that a server with these settings has, not opened yet."""
    stores: Stores = (
        OneDatabase(settings.storage) if settings.storage else StudyFiles(settings.databases)
    )
    return Catalog(
        configs=settings.configs,
        stores=stores,
        artifacts=ArtifactFolder(
            settings.artifact_folder,
            max_file=settings.max_artifact,
            max_study=settings.max_study_artifacts,
        ),
        clock=clock or Clock(),
        new_id=lambda: secrets.token_hex(8),
    )


class Application(FastAPI):
    """FastAPI's application, with two layers around all of it, its error handling too."""

    def build_middleware_stack(self) -> ASGIApp:
        """The application as it is called for each request."""
        catalog: Catalog = self.state.catalog
        bounded = BoundedConnections(super().build_middleware_stack(), self.state.connections)
        return RequestIds(bounded, lambda: catalog.server_id)


def create_app(settings: Settings | None = None, clock: Clock | None = None) -> FastAPI:
    """The server's application, by default with the settings of the environment and the machine's clock."""
    settings = settings or Settings()
    raise_limit()
    catalog, connections = new_catalog(settings, clock), Connections()
    app = Application(
        title="OptunAPI",
        version=version("optunapi"),
        description=DESCRIPTION,
        lifespan=lifespan(catalog, settings, connections),
        docs_url=None,
        redoc_url=None,
        # By default FastAPI exports where OTEL_* is set, which costs time for every request, and does
        # not start where the exporter is not installed.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    resources = (legacy.routes, *v1.ROUTES, health.routes)
    app.add_middleware(FastPath, routes=[route for each in resources for route in each.hot])
    app.add_middleware(HeadersAlone)
    app.add_middleware(PlainStartup)
    app.state.catalog = catalog
    app.state.connections = connections
    app.state.dispatch = Dispatch(catalog)
    app.state.max_body = settings.max_body
    problems.install(app)
    openapi.install(app)
    docs.install(app)
    for each in resources:
        app.include_router(each.router)
    return app
