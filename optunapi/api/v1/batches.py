"""Many trials in one request: asked for, told."""

from typing import Annotated, Any

from fastapi import Depends, Request

from optunapi.api.http.bodies import JsonBody
from optunapi.api.http.problems import problem_of, status_of
from optunapi.api.http.replies import Created, Ok
from optunapi.api.schemas.batches import BatchAskBody, BatchTellBody, BatchTellReply
from optunapi.api.schemas.trials import TrialList, told_of, trials_of
from optunapi.api.serving.access import Work
from optunapi.api.serving.operations import no_trials
from optunapi.api.v1.parameters import Key, Name, Wait, v1_routes
from optunapi.api.v1.requests import request_of, result_of
from optunapi.api.v1.trials import REFUSES_ASK, patience
from optunapi.engine.values import Told
from optunapi.errors import OptunAPIError

routes = v1_routes("trials")


@routes.add(
    "POST",
    "/studies/{name}/trials/batch",
    TrialList,
    "The trials, held by the caller",
    *REFUSES_ASK,
)
async def ask_many(
    dispatch: Work,
    request: Request,
    name: Name,
    asked: Annotated[BatchAskBody, Depends(JsonBody(BatchAskBody))],
    key: Key = None,
    wait: Wait = 0,
) -> Created:
    """Hand out `count` trials, or as many as there are, in the order of `ask`: all in one commit."""
    wanted = request_of("batch", asked, key)
    views = await dispatch.ask(
        name,
        lambda study: study.ask_many(wanted, asked.count),
        count=asked.count,
        params=asked.params,
        patience=patience(request, wanted, wait),
    )
    return Created(trials_of(views))


@routes.add("POST", "/studies/{name}/tell", BatchTellReply, "What each tell came to")
async def tell_many(
    dispatch: Work, name: Name, told: Annotated[BatchTellBody, Depends(JsonBody(BatchTellBody))]
) -> Ok:
    """Close trials in one commit, each as `tell` would, whatever becomes of the others."""
    results = [(item.number, result_of(item)) for item in told.items]
    outcomes = await dispatch.change(
        name, lambda study: study.tell_many(results), absent=[no_trials(name) for _ in results]
    )
    items = [
        {"number": number, **_shown(outcome)}
        for (number, _), outcome in zip(results, outcomes, strict=True)
    ]
    return Ok({"items": items})


def _shown(outcome: Told | OptunAPIError) -> dict[str, Any]:
    if isinstance(outcome, OptunAPIError):
        return {"status": status_of(type(outcome)), "error": problem_of(outcome)}
    return {"status": 200, "trial": told_of(outcome)}
