"""The queue: points to be tried before anything new is sampled."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from fastapi.concurrency import run_in_threadpool

from optunapi.api.http.bodies import JsonBody, digest
from optunapi.api.http.replies import Created, NoContent
from optunapi.api.schemas.queue import PointBody, QueueBody, QueueReply
from optunapi.api.schemas.trials import trial_of, trials_of
from optunapi.api.serving.access import Manage
from optunapi.api.serving.operations import in_study
from optunapi.api.v1.parameters import Key, Name, Number, OfStudy, Uid, v1_routes
from optunapi.engine.trials.queue import QueuedPoint, check_first, grid_points
from optunapi.errors import KeyReused, StudyFinished, StudyReplaced, TrialFinished, ValueInvalid

routes = v1_routes("queue")


@routes.add(
    "POST",
    "/studies/{name}/queue",
    QueueReply,
    "The waiting trial, or `items` with one for each point",
    ValueInvalid,
    KeyReused,
    StudyFinished,
)
async def enqueue(
    dispatch: Manage,
    name: Name,
    queued: Annotated[QueueBody, Depends(JsonBody(QueueBody))],
    key: Key = None,
) -> Created:
    """Queue points to be tried before anything new is sampled: all of them, or none."""
    points = _points(queued)
    views = await dispatch.change(
        name,
        lambda study: study.queue.add(
            points, key=key, digest=digest("queue", queued.model_dump(mode="json"))
        ),
        check=lambda spec: check_first(spec, points),
    )
    if queued.params is not None:
        return Created(trial_of(views[0]))
    # In a thread: there may be thousands.
    return await run_in_threadpool(lambda: Created(trials_of(views)))


@routes.add("DELETE", "/studies/{name}/queue", None, "The queue is empty")
async def clear_queue(dispatch: Manage, name: Name) -> NoContent:
    """Take every trial out of the queue: they fail, reason `cancelled`."""
    await dispatch.change(name, lambda study: (None, study.queue.clear()), absent=None)
    return NoContent()


@routes.add("DELETE", "/studies/{name}/queue/{n}", None, "Dequeued", StudyReplaced, TrialFinished)
async def dequeue(
    dispatch: Manage, name: Name, n: Number, body: OfStudy, study_uid: Uid = None
) -> NoContent:
    """Take a trial out of the queue: it fails, reason `cancelled`."""
    operation = in_study(study_uid, lambda study: (None, study.queue.remove(n)))
    await dispatch.change(name, in_study(body.study_uid, operation))
    return NoContent()


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
