"""The queue: points to be tried before anything new is sampled."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.concurrency import run_in_threadpool

from optunapi.api.http.bodies import body
from optunapi.api.http.openapi import READS_BODY, gives, takes
from optunapi.api.http.replies import NO_STORE, JsonReply
from optunapi.api.schemas.queue import PointBody, QueueBody, QueueReply
from optunapi.api.schemas.trials import trial_of
from optunapi.api.serving.dispatch import settled
from optunapi.api.v1.parameters import (
    CHANGES,
    CHANGES_STATE,
    ON_STUDY,
    ON_TRIAL,
    Key,
    Name,
    Number,
    digest,
)
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.trials.queue import QueuedPoint, check_first, grid_points
from optunapi.engine.values import TrialView
from optunapi.errors import KeyReused, StudyFinished, TrialFinished, TrialNotFound, ValueInvalid


def router(catalog: Catalog) -> APIRouter:
    """The routes over the queues of `catalog`'s studies."""
    routes = APIRouter(tags=["queue"])

    @routes.post(
        "/studies/{name}/queue",
        status_code=201,
        responses=gives(
            201,
            QueueReply,
            "The waiting trial, or `items` with one for each point",
            *READS_BODY,
            *ON_STUDY,
            ValueInvalid,
            KeyReused,
            StudyFinished,
            *CHANGES,
        ),
        openapi_extra=takes(QueueBody),
        dependencies=CHANGES_STATE,
    )
    async def enqueue(
        name: Name, queued: Annotated[QueueBody, Depends(body(QueueBody))], key: Key = None
    ) -> JsonReply:
        """Queue points to be tried before anything new is sampled: all of them, or none."""
        points = _points(queued)

        def operation(study: Study) -> tuple[list[TrialView], Commit]:
            return study.queue.add(points, key=key, digest=digest("queue", queued))

        views = await settled(
            lambda: catalog.for_ask(name, check=lambda spec: check_first(spec, points)), operation
        )
        if queued.params is not None:
            return JsonReply(trial_of(views[0]), 201)
        return await run_in_threadpool(_reply, views)  # there may be thousands

    @routes.delete(
        "/studies/{name}/queue",
        status_code=204,
        responses=gives(204, None, "The queue is empty", *ON_STUDY, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def clear_queue(name: Name) -> Response:
        """Take every trial out of the queue: they fail, reason `cancelled`."""
        await settled(
            lambda: catalog.find(name), lambda study: (None, study.queue.clear()), absent=None
        )
        return Response(status_code=204, headers=NO_STORE)

    @routes.delete(
        "/studies/{name}/queue/{n}",
        status_code=204,
        responses=gives(204, None, "Dequeued", *ON_TRIAL, TrialFinished, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def dequeue(name: Name, n: Number) -> Response:
        """Take a trial out of the queue: it fails, reason `cancelled`."""

        def existing() -> Study:
            study = catalog.find(name)
            if study is None:
                raise TrialNotFound(f"study {name!r} has no trials yet: its queue is empty")
            return study

        await settled(existing, lambda study: (None, study.queue.remove(n)))
        return Response(status_code=204, headers=NO_STORE)

    return routes


def _reply(views: list[TrialView]) -> JsonReply:
    return JsonReply({"items": [trial_of(view) for view in views]}, 201)


def _points(queued: QueueBody) -> list[QueuedPoint]:
    if queued.grid is not None:
        return grid_points(queued.grid)
    points: Sequence[PointBody | QueueBody] = queued.items or [queued]
    return [
        QueuedPoint(
            params=point.params or {},
            user_attrs=point.user_attrs,
            skip_if_exists=point.skip_if_exists,
        )
        for point in points
    ]
