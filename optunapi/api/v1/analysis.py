"""What a study's trials say: its figures, and which parameters matter."""

from typing import Annotated

from fastapi import APIRouter, Query

from optunapi.api.http.openapi import gives
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.analysis import ImportancesReply, SummaryReply, summary_of
from optunapi.api.serving.dispatch import in_thread, settled
from optunapi.api.v1.parameters import ON_STUDY, Name
from optunapi.engine.catalog import Catalog
from optunapi.engine.reports.summary import Summary, summarise
from optunapi.engine.store import Commit
from optunapi.engine.study import Study


def router(catalog: Catalog) -> APIRouter:
    """The routes over what `catalog`'s studies have shown."""
    routes = APIRouter(tags=["studies"])

    @routes.get(
        "/studies/{name}/summary", responses=gives(200, SummaryReply, "The figures", *ON_STUDY)
    )
    async def summary(name: Name) -> JsonReply:
        """How a study has gone: rates, durations, the way of the best value, its workers."""

        def figures() -> tuple[Summary, *tuple[Commit, ...]]:
            snapshot, *commits = catalog.snapshot(name)
            return summarise(snapshot), *commits

        return JsonReply(summary_of(await in_thread(figures)))

    @routes.get(
        "/studies/{name}/importances",
        responses=gives(200, ImportancesReply, "A number for each parameter", *ON_STUDY),
    )
    async def importances(
        name: Name,
        objective: Annotated[
            str | None, Query(description="Of which objective; the first unless named.")
        ] = None,
    ) -> JsonReply:
        """How much of an objective each parameter explains; empty while that cannot be told."""

        def operation(study: Study) -> tuple[dict[str, float], Commit]:
            return study.importances(objective)

        none: dict[str, float] = {}
        found = await settled(lambda: catalog.find(name), operation, absent=none)
        return JsonReply({"importances": found})

    return routes
