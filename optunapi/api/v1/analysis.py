"""What a study's trials show: its figures, and which parameters matter."""

from typing import Annotated

from fastapi import Query

from optunapi.api.http.replies import Ok
from optunapi.api.schemas.analysis import ImportancesReply, SummaryReply, summary_of
from optunapi.api.serving.access import Read
from optunapi.api.serving.dispatch import CATALOG
from optunapi.api.v1.parameters import Name, v1_routes
from optunapi.engine.catalog import Catalog
from optunapi.engine.reports.importances import place_of
from optunapi.engine.reports.summary import Summary, summarise
from optunapi.engine.store import Commit

routes = v1_routes("studies")


@routes.add("GET", "/studies/{name}/summary", SummaryReply, "The figures")
async def summary(dispatch: Read, name: Name) -> Ok:
    """How a study has gone: rates, durations, the course of the best value, its workers."""

    def figures(catalog: Catalog) -> tuple[Summary, *tuple[Commit, ...]]:
        snapshot, *commits = catalog.snapshot(name)
        return summarise(snapshot), *commits

    return Ok(summary_of(await dispatch.read(CATALOG, figures, about=name)))


@routes.add("GET", "/studies/{name}/importances", ImportancesReply, "A number for each parameter")
async def importances(
    dispatch: Read,
    name: Name,
    objective: Annotated[
        str | None, Query(description="The objective; by default the first one.")
    ] = None,
) -> Ok:
    """How much of an objective each parameter explains; empty while there are too few trials."""
    found = await dispatch.read(
        name,
        lambda study: study.importances(objective),
        absent={},
        check=lambda spec: place_of(objective, spec),
    )
    return Ok({"importances": found})
