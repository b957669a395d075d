"""Trials: ask, tell, report, renew, release, stop, look at."""

import json
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from optuna.trial import TrialState

from optunapi.api.http.bodies import body
from optunapi.api.http.openapi import READS_BODY, gives, takes
from optunapi.api.http.pages import cursor_of, page
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.trials import (
    AskBody,
    CancelReply,
    EmptyBody,
    ReleaseBody,
    RenewBody,
    RenewReply,
    ReportBody,
    ReportReply,
    ResultBody,
    TellBody,
    TrialPage,
    TrialPatch,
    TrialReply,
    lease_of,
    trial_of,
)
from optunapi.api.serving.ask_groups import Desk
from optunapi.api.serving.dispatch import at_once, settled
from optunapi.api.serving.fast_path import DirectRoutes
from optunapi.api.serving.long_poll import Ask, Waiting
from optunapi.api.v1.parameters import (
    CHANGES,
    CHANGES_STATE,
    ON_STUDY,
    ON_TRIAL,
    Key,
    Limit,
    Name,
    Number,
    Page,
    Wait,
    digest,
)
from optunapi.engine.catalog import Catalog
from optunapi.engine.lifecycle import Result
from optunapi.engine.reports.pages import Cursor, Order, Selection
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import (
    KeyReused,
    LeaseLost,
    NoSlot,
    SpecConflict,
    StudyFinished,
    StudyPaused,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
    ValueInvalid,
)

TRIAL = "/studies/{name}/trials/{n}"
TRIAL_ITSELF = "/studies/{name}/trials/{n:trial}"
States = Literal["waiting", "running", "complete", "pruned", "fail"]
REFUSES_ASK = (
    *READS_BODY,
    *ON_STUDY,
    ValueInvalid,
    KeyReused,
    LeaseLost,
    StudyPaused,
    StudyFinished,
    SpecConflict,
    NoSlot,
    *CHANGES,
)
HOLDER = (*READS_BODY, *ON_TRIAL, TrialFinished, TrialWaiting, LeaseLost, *CHANGES)


def router(catalog: Catalog, waiting: Waiting, desk: Desk, direct: DirectRoutes) -> APIRouter:
    """The routes over the trials of `catalog`'s studies."""
    routes = APIRouter(tags=["trials"])

    def existing(name: str) -> Study:
        study = catalog.find(name)
        if study is None:
            raise TrialNotFound(f"study {name!r} has no trials yet: ask first")
        return study

    async def changed(
        name: str, operation: Callable[[Study], tuple[TrialView, Commit]]
    ) -> JsonReply:
        short_cut = at_once(catalog, name)
        view = await settled(lambda: existing(name), operation, short_cut=short_cut)
        return JsonReply(trial_of(view))

    @routes.post(
        "/studies/{name}/trials",
        status_code=201,
        responses=gives(
            201,
            TrialReply,
            "The trial, held by the caller",
            *REFUSES_ASK,
        ),
        openapi_extra=takes(AskBody, required=False),
        dependencies=CHANGES_STATE,
    )
    async def ask(
        http: Request,
        name: Name,
        asked: Annotated[AskBody, Depends(body(AskBody, optional=True))],
        key: Key = None,
        wait: Wait = 0,
    ) -> JsonReply:
        """Hand out a trial: the worker's own with `resume`, one whose worker is lost, the oldest that
        waits, or a new sample, in this order.
        """
        request = request_of("ask", asked, key)

        def hand_out(study: Study) -> tuple[list[TrialView], Commit]:
            view, commit = study.ask(request)
            return [view], commit

        ask = Ask(
            name=name,
            request=request,
            find=lambda: catalog.for_ask(name, asked.params),
            hand_out=hand_out,
            short_cut=desk.of(name),
        )
        (view,) = await waiting.served(http, ask, wait)
        return JsonReply(trial_of(view), 201)

    @routes.get("/studies/{name}/trials", responses=gives(200, TrialPage, "Trials", *ON_STUDY))
    async def list_trials(
        name: Name,
        state: Annotated[States | None, Query(description="Only those in this state.")] = None,
        worker: Annotated[
            str | None, Query(max_length=255, description="Only those of this worker.")
        ] = None,
        order: Annotated[
            Order, Query(description="By number or value, `-` for descending.")
        ] = "number",
        limit: Limit = 100,
        page_token: Page = None,
    ) -> JsonReply:
        """A study's trials. In the order of values the complete ones come first."""
        scope = json.dumps(["trials", name, state, worker, order])
        # A cursor is a trial's number, or its complement where it was shown by number alone.
        after = cursor_of(page_token, scope, int)
        place = None
        if after is not None:
            place = Cursor(number=after if after >= 0 else ~after, by_number=after < 0)
        selection = Selection(
            state=None if state is None else TrialState[state.upper()], worker=worker, order=order
        )

        def operation(study: Study) -> tuple[list[TrialView], Commit]:
            return study.trials(selection, after=place, limit=limit + 1)

        none: list[TrialView] = []
        views = await settled(lambda: catalog.find(name), operation, absent=none)
        items = [trial_of(view) for view in views[:limit]]
        if len(views) <= limit:
            return JsonReply(page(items, scope, None))
        last = Cursor.of(views[limit - 1].trial)
        return JsonReply(page(items, scope, ~last.number if last.by_number else last.number))

    @routes.get(TRIAL_ITSELF, responses=gives(200, TrialReply, "The trial", *ON_TRIAL))
    async def get_trial(name: Name, n: Number) -> JsonReply:
        """One trial."""
        return await changed(name, lambda study: study.trial(n))

    @routes.post(
        f"{TRIAL}/tell",
        responses=gives(200, TrialReply, "The closed trial", ValueInvalid, *HOLDER),
        openapi_extra=takes(TellBody, required=False),
        dependencies=CHANGES_STATE,
    )
    async def tell(
        name: Name, n: Number, told: Annotated[TellBody, Depends(body(TellBody, optional=True))]
    ) -> JsonReply:
        """Close a trial. The first result wins; repeating it is harmless."""
        result = result_of(told)
        reply = await changed(name, lambda study: study.tell(n, result))
        desk.prepare(name)
        return reply

    @routes.post(
        f"{TRIAL}/report",
        responses=gives(200, ReportReply, "Whether to go on", *HOLDER),
        openapi_extra=takes(ReportBody),
        dependencies=CHANGES_STATE,
    )
    async def report(
        name: Name, n: Number, reported: Annotated[ReportBody, Depends(body(ReportBody))]
    ) -> JsonReply:
        """Keep an intermediate value and renew the lease; the same step twice keeps the first."""
        answer = await settled(
            lambda: existing(name),
            lambda study: study.report(n, reported.step, reported.value, reported.lease),
            short_cut=at_once(catalog, name),
        )
        return JsonReply(
            {
                "should_prune": answer.should_prune,
                "stop_requested": answer.stop_requested,
                "lease": lease_of(answer.lease),
            }
        )

    @routes.post(
        f"{TRIAL}/renew",
        responses=gives(200, RenewReply, "The lease's new term", *HOLDER),
        openapi_extra=takes(RenewBody),
        dependencies=CHANGES_STATE,
    )
    async def renew(
        name: Name, n: Number, renewed: Annotated[RenewBody, Depends(body(RenewBody))]
    ) -> JsonReply:
        """Hold a trial for another term."""
        answer = await settled(
            lambda: existing(name),
            lambda study: study.renew(n, renewed.lease, renewed.lease_seconds),
            short_cut=at_once(catalog, name),
        )
        return JsonReply({"stop_requested": answer.stop_requested, "lease": lease_of(answer.lease)})

    @routes.post(
        f"{TRIAL}/release",
        responses=gives(200, TrialReply, "The trial, waiting again", *HOLDER),
        openapi_extra=takes(ReleaseBody, required=False),
        dependencies=CHANGES_STATE,
    )
    async def release(
        name: Name,
        n: Number,
        released: Annotated[ReleaseBody, Depends(body(ReleaseBody, optional=True))],
    ) -> JsonReply:
        """Give a trial back: a worker that is shutting down."""
        return await changed(name, lambda study: study.release(n, released.lease))

    @routes.post(
        f"{TRIAL}/stop",
        responses=gives(
            200,
            TrialReply,
            "The trial, asked to stop",
            *READS_BODY,
            *ON_TRIAL,
            TrialFinished,
            TrialWaiting,
            *CHANGES,
        ),
        openapi_extra=takes(EmptyBody, required=False),
        dependencies=[*CHANGES_STATE, Depends(body(EmptyBody, optional=True))],
    )
    async def stop(name: Name, n: Number) -> JsonReply:
        """Ask a trial's worker to end it; it learns so at its next report or renewal."""
        return await changed(name, lambda study: study.stop(n))

    @routes.patch(
        TRIAL_ITSELF,
        responses=gives(
            200, TrialReply, "The trial", *READS_BODY, *ON_TRIAL, TrialFinished, *CHANGES
        ),
        openapi_extra=takes(TrialPatch),
        dependencies=CHANGES_STATE,
    )
    async def change_trial(
        name: Name, n: Number, patch: Annotated[TrialPatch, Depends(body(TrialPatch))]
    ) -> JsonReply:
        """Set attributes of an open trial."""
        return await changed(name, lambda study: study.set_user_attrs(n, patch.user_attrs))

    @routes.delete(
        "/studies/{name}/trials",
        responses=gives(200, CancelReply, "How many were cancelled", *ON_STUDY, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def cancel_trials(
        name: Name,
        state: Annotated[Literal["running", "waiting"], Query(description="Which open trials.")],
    ) -> JsonReply:
        """Fail every open trial in this state, reason `cancelled`."""
        states = (TrialState[state.upper()],)

        def operation(study: Study) -> tuple[int, Commit]:
            return study.cancel(states)

        return JsonReply(
            {"cancelled": await settled(lambda: catalog.find(name), operation, absent=0)}
        )

    direct.add_on_trial("report", ReportBody, report)
    direct.add_on_trial("renew", RenewBody, renew)
    direct.add_on_trial("tell", TellBody, tell, optional=True)
    return routes


def request_of(kind: str, asked: AskBody, key: str | None) -> AskRequest:
    """What an ask's body says."""
    return AskRequest(
        worker=asked.worker,
        resume=asked.resume,
        lease_seconds=asked.lease_seconds,
        params=asked.params,
        user_attrs=asked.user_attrs,
        key=key,
        digest="" if key is None else digest(kind, asked),
    )


def result_of(told: ResultBody) -> Result:
    """What a tell's body says."""
    values = told.values
    if told.value is not None:
        values = [told.value]
    return Result(
        state=TrialState[told.state.upper()],
        values=None if values is None else tuple(values),
        reason=told.reason,
        lease=told.lease if isinstance(told, TellBody) else None,
        constraints=told.constraints,
        user_attrs=told.user_attrs,
    )
