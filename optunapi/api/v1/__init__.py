"""The routes under `/optunapi/v1`."""

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute

from optunapi.api.serving.ask_groups import Desk
from optunapi.api.serving.fast_path import DirectRoutes
from optunapi.api.serving.long_poll import Waiting
from optunapi.api.v1 import (
    analysis,
    artifacts,
    batches,
    events,
    export,
    queue,
    studies,
    suggest,
    trials,
)
from optunapi.api.v1 import imports as importing
from optunapi.api.v1.parameters import refuse_repeats
from optunapi.engine.catalog import Catalog


def router(catalog: Catalog, desk: Desk, direct: DirectRoutes) -> APIRouter:
    """The routes over the studies of `catalog`."""
    routes = APIRouter(
        prefix="/optunapi/v1",
        dependencies=[Depends(refuse_repeats)],
        generate_unique_id_function=_name_of,
    )
    routes.include_router(studies.router(catalog))
    waiting = Waiting(catalog)
    routes.include_router(trials.router(catalog, waiting, desk, direct))
    routes.include_router(suggest.router(catalog, waiting.turns))
    routes.include_router(events.router(catalog))
    routes.include_router(analysis.router(catalog))
    routes.include_router(export.router(catalog))
    routes.include_router(artifacts.router(catalog))
    routes.include_router(batches.router(catalog, waiting))
    routes.include_router(queue.router(catalog))
    routes.include_router(importing.router(catalog))
    return routes


def _name_of(route: APIRoute) -> str:
    """A route's operation id: generated clients name their functions after it."""
    return route.name
