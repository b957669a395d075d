"""Many trials in one request: asked for, told."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from optunapi.api.http.bodies import body
from optunapi.api.http.openapi import READS_BODY, gives, takes
from optunapi.api.http.problems import problem_of, status_of
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.batches import BatchAskBody, BatchTellBody, BatchTellReply
from optunapi.api.schemas.trials import TrialList, trial_of
from optunapi.api.serving.dispatch import settled
from optunapi.api.serving.long_poll import Ask, Waiting
from optunapi.api.v1.parameters import CHANGES, CHANGES_STATE, ON_STUDY, Key, Name, Wait
from optunapi.api.v1.trials import REFUSES_ASK, request_of, result_of
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import TrialView
from optunapi.errors import OptunAPIError, TrialNotFound

Outcome = TrialView | OptunAPIError


def router(catalog: Catalog, waiting: Waiting) -> APIRouter:
    """The routes over many trials of one of `catalog`'s studies."""
    routes = APIRouter(tags=["trials"])

    @routes.post(
        "/studies/{name}/trials/batch",
        status_code=201,
        responses=gives(201, TrialList, "The trials, held by the caller", *REFUSES_ASK),
        openapi_extra=takes(BatchAskBody),
        dependencies=CHANGES_STATE,
    )
    async def ask_many(
        http: Request,
        name: Name,
        asked: Annotated[BatchAskBody, Depends(body(BatchAskBody))],
        key: Key = None,
        wait: Wait = 0,
    ) -> JsonReply:
        """Hand out `count` trials, or as many as there are, in the order of `ask`: all in one commit."""
        request = request_of("batch", asked, key)
        ask = Ask(
            name=name,
            request=request,
            find=lambda: catalog.for_ask(name, asked.params),
            hand_out=lambda study: study.ask_many(request, asked.count),
        )
        views = await waiting.served(http, ask, wait)
        return JsonReply({"items": [trial_of(view) for view in views]}, 201)

    @routes.post(
        "/studies/{name}/tell",
        responses=gives(
            200, BatchTellReply, "What each tell came to", *READS_BODY, *ON_STUDY, *CHANGES
        ),
        openapi_extra=takes(BatchTellBody),
        dependencies=CHANGES_STATE,
    )
    async def tell_many(
        name: Name, told: Annotated[BatchTellBody, Depends(body(BatchTellBody))]
    ) -> JsonReply:
        """Close trials, each judged by itself as `tell` would, in one commit."""
        results = [(item.number, result_of(item)) for item in told.items]

        def operation(study: Study) -> tuple[list[Outcome], Commit]:
            return study.tell_many(results)

        absent: list[Outcome] = [
            TrialNotFound(f"study {name!r} has no trials yet: ask first") for _ in results
        ]
        outcomes = await settled(lambda: catalog.find(name), operation, absent=absent)
        items = [
            {"number": number, **_shown(outcome)}
            for (number, _), outcome in zip(results, outcomes, strict=True)
        ]
        return JsonReply({"items": items})

    return routes


def _shown(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, OptunAPIError):
        return {"status": status_of(type(outcome)), "error": problem_of(outcome)}
    return {"status": 200, "trial": trial_of(outcome)}
