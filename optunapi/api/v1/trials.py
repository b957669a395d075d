"""Trials: ask, tell, report, renew, release, suggest, stop, cancel, retry, look at."""

import json
from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request
from optuna.trial import TrialState

from optunapi import errors
from optunapi.api.http.bodies import JsonBody, digest
from optunapi.api.http.pages import cursor_of, page
from optunapi.api.http.replies import Created, Ok
from optunapi.api.schemas.suggest import SuggestBody, SuggestReply
from optunapi.api.schemas.trials import (
    AskBody,
    CancelReply,
    ReleaseBody,
    RenewBody,
    RenewReply,
    ReportBody,
    ReportReply,
    TellBody,
    TellReply,
    TrialPage,
    TrialPatch,
    TrialReply,
    lease_of,
    told_of,
    trial_of,
)
from optunapi.api.serving.access import Manage, Read, Work
from optunapi.api.serving.dispatch import CATALOG
from optunapi.api.serving.long_poll import Patience
from optunapi.api.serving.operations import in_study
from optunapi.api.v1.parameters import (
    TRIAL,
    TRIAL_ITSELF,
    Key,
    Limit,
    Name,
    Number,
    OfStudy,
    OfWorker,
    Page,
    Uid,
    Wait,
    v1_routes,
)
from optunapi.api.v1.requests import distribution_of, request_of, result_of
from optunapi.engine.catalog import Catalog, Place
from optunapi.engine.reports.pages import OPEN, Cursor, Order, Selection, check_page
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, TrialView

routes = v1_routes("trials")

InState = Annotated[
    Literal["waiting", "running", "complete", "pruned", "fail"] | None,
    Query(description="Only those in this state."),
]
REFUSES_ASK = (
    *(errors.ValueInvalid, errors.KeyReused, errors.LeaseLost, errors.SpecConflict),
    *(errors.StudyPaused, errors.StudyFinished, errors.NoSlot),
)
NOT_RUNNING = (errors.StudyReplaced, errors.TrialFinished, errors.TrialWaiting)
NOT_HELD = (*NOT_RUNNING, errors.LeaseLost)


@routes.add(
    "POST",
    "/studies/{name}/trials",
    TrialReply,
    "The trial, held by the caller",
    *REFUSES_ASK,
    hot=True,
)
async def ask(
    dispatch: Work,
    request: Request,
    name: Name,
    asked: Annotated[AskBody, Depends(JsonBody(AskBody, optional=True))],
    key: Key = None,
    wait: Wait = 0,
) -> Created:
    """Hand out a trial, in this order: the worker's own with `resume`, one whose worker is lost, the
    oldest one in the queue, a new sample.
    """
    wanted = request_of("ask", asked, key)

    def hand_out(study: Study) -> tuple[list[TrialView], Commit]:
        view, commit = study.ask(wanted)
        return [view], commit

    (view,) = await dispatch.ask(
        name, hand_out, params=asked.params, patience=patience(request, wanted, wait)
    )
    return Created(trial_of(view))


@routes.add("GET", "/studies/{name}/trials", TrialPage, "Trials")
async def list_trials(
    dispatch: Read,
    name: Name,
    state: InState = None,
    worker: OfWorker = None,
    order: Annotated[
        Order, Query(description="By number or value, `-` for descending.")
    ] = "number",
    limit: Limit = 100,
    page_token: Page = None,
) -> Ok:
    """A study's trials. In the order of values the complete ones come first."""
    scope = json.dumps(["trials", name, state, worker, order])
    # The cursor is a trial's number, or its complement where the order is that of numbers alone.
    after = cursor_of(page_token, scope, int)
    place = None
    if after is not None:
        place = Cursor(number=after if after >= 0 else ~after, by_number=after < 0)
    selection = Selection(
        states=states_of(state, frozenset(TrialState)), worker=worker, order=order
    )
    views = await dispatch.read(
        name,
        lambda study: study.trials(selection, after=place, limit=limit + 1),
        absent=[],
        check=lambda spec: check_page(selection, place, spec, 0),
    )
    items = [trial_of(view) for view in views[:limit]]
    if len(views) <= limit:
        return Ok(page(items, scope, None))
    last = Cursor.of(views[limit - 1].trial)
    return Ok(page(items, scope, ~last.number if last.by_number else last.number))


@routes.add("GET", "/trials", TrialPage, "Trials", errors.RequestInvalid)
async def list_trials_of_all_studies(
    dispatch: Read,
    state: InState = None,
    worker: OfWorker = None,
    limit: Limit = 100,
    page_token: Page = None,
) -> Ok:
    """Trials of all studies, by study and number: without `state` the open ones, running and waiting.

    A study that cannot be served now is left out: the list of studies has the reason.
    """
    scope = json.dumps(["trials of all studies", state, worker])
    place = cursor_of(page_token, scope, str, str, int)
    selection = Selection(states=states_of(state, OPEN), worker=worker)

    def listed(catalog: Catalog) -> tuple[dict[str, Any]]:
        after = None if place is None else Place(*place)
        found = catalog.trials(selection, after=after, limit=limit + 1)
        items = [trial_of(view) for _, view in found[:limit]]
        last = None
        if len(found) > limit:
            slug, view = found[limit - 1]
            last = [slug, view.study_uid, view.trial.number]
        return (page(items, scope, last),)

    return Ok(await dispatch.read(CATALOG, listed))


@routes.add("GET", TRIAL_ITSELF, TrialReply, "The trial", errors.StudyReplaced)
async def get_trial(dispatch: Read, name: Name, n: Number, study_uid: Uid = None) -> Ok:
    """One trial."""
    operation = in_study(study_uid, lambda study: study.trial(n))
    return Ok(trial_of(await dispatch.read(name, operation)))


@routes.add(
    "POST",
    f"{TRIAL}/tell",
    TellReply,
    "The closed trial",
    errors.ValueInvalid,
    *NOT_HELD,
    hot=True,
)
async def tell(
    dispatch: Work,
    name: Name,
    n: Number,
    told: Annotated[TellBody, Depends(JsonBody(TellBody, optional=True))],
) -> Ok:
    """Close a trial. The first result wins; repeating it is harmless.

    A repeated tell adds the user attributes that the trial does not have. What else differs is not stored:
    the reply names it in `ignored`.
    """
    result = result_of(told)
    closed = await dispatch.change(name, lambda study: study.tell(n, result), draw_ahead=True)
    return Ok(told_of(closed))


@routes.add("POST", f"{TRIAL}/report", ReportReply, "Whether to go on", *NOT_HELD, hot=True)
async def report(
    dispatch: Work,
    name: Name,
    n: Number,
    reported: Annotated[ReportBody, Depends(JsonBody(ReportBody))],
) -> Ok:
    """Keep an intermediate value and renew the lease; the same step twice keeps the first."""
    answer = await dispatch.change(
        name,
        in_study(
            reported.study_uid,
            lambda study: study.report(n, reported.step, reported.number, reported.lease),
        ),
    )
    return Ok(
        {
            "should_prune": answer.should_prune,
            "stop_requested": answer.stop_requested,
            "lease": lease_of(answer.lease),
        }
    )


@routes.add("POST", f"{TRIAL}/renew", RenewReply, "The lease's new term", *NOT_HELD, hot=True)
async def renew(
    dispatch: Work,
    name: Name,
    n: Number,
    renewed: Annotated[RenewBody, Depends(JsonBody(RenewBody))],
) -> Ok:
    """Hold a trial for another term."""
    answer = await dispatch.change(
        name,
        in_study(
            renewed.study_uid,
            lambda study: study.renew(n, renewed.lease, renewed.lease_seconds),
        ),
    )
    return Ok({"stop_requested": answer.stop_requested, "lease": lease_of(answer.lease)})


@routes.add("POST", f"{TRIAL}/release", TrialReply, "The trial, waiting again", *NOT_HELD)
async def release(
    dispatch: Work,
    name: Name,
    n: Number,
    released: Annotated[ReleaseBody, Depends(JsonBody(ReleaseBody, optional=True))],
) -> Ok:
    """Give a trial back: a worker that is shutting down."""
    view = await dispatch.change(
        name, in_study(released.study_uid, lambda study: study.release(n, released.lease))
    )
    return Ok(trial_of(view))


@routes.add(
    "POST",
    f"{TRIAL}/suggest",
    SuggestReply,
    "The parameter's value",
    errors.ValueInvalid,
    *NOT_HELD,
)
async def suggest(
    dispatch: Work,
    name: Name,
    n: Number,
    asked: Annotated[SuggestBody, Depends(JsonBody(SuggestBody))],
) -> Ok:
    """A value for a parameter; the same name again gives the same value. Renews the lease."""
    distribution = distribution_of(
        asked.name,
        asked.distribution.model_dump(),
        lambda key: ["body", "distribution", key.partition(".")[0]],
    )
    value = await dispatch.sample(
        name,
        in_study(
            asked.study_uid,
            lambda study: study.suggest(n, asked.name, distribution, asked.lease),
        ),
    )
    return Ok({"value": value})


@routes.add("POST", f"{TRIAL}/stop", TrialReply, "The trial, asked to stop", *NOT_RUNNING)
async def stop(dispatch: Manage, name: Name, n: Number, body: OfStudy) -> Ok:
    """Ask a trial's worker to end it; the worker learns of it at its next report or renewal."""
    operation = in_study(body.study_uid, lambda study: study.stop(n))
    return Ok(trial_of(await dispatch.change(name, operation)))


@routes.add(
    "DELETE",
    TRIAL_ITSELF,
    TrialReply,
    "The trial, cancelled",
    errors.StudyReplaced,
    errors.TrialFinished,
)
async def cancel_trial(
    dispatch: Manage, name: Name, n: Number, body: OfStudy, study_uid: Uid = None
) -> Ok:
    """Fail an open trial, reason `cancelled`. Its worker learns of it at its next report or renewal."""
    operation = in_study(body.study_uid, in_study(study_uid, lambda study: study.cancel(n)))
    return Ok(trial_of(await dispatch.change(name, operation)))


@routes.add(
    "POST",
    f"{TRIAL}/retry",
    TrialReply,
    "A waiting trial with the same parameters",
    errors.ValueInvalid,
    errors.KeyReused,
    errors.StudyFinished,
    errors.StudyBusy,
    *NOT_RUNNING,
)
async def retry(dispatch: Manage, name: Name, n: Number, body: OfStudy, key: Key = None) -> Created:
    """Queue the parameters of a failed trial again, as a new trial whose `retry_of` is its number."""
    wanted = digest("retry", {"number": n})
    operation = in_study(body.study_uid, lambda study: study.queue.retry(n, key=key, digest=wanted))
    return Created(trial_of(await dispatch.change(name, operation)))


@routes.add("PATCH", TRIAL_ITSELF, TrialReply, "The trial", errors.StudyReplaced)
async def change_trial(
    dispatch: Work,
    name: Name,
    n: Number,
    patch: Annotated[TrialPatch, Depends(JsonBody(TrialPatch))],
) -> Ok:
    """Set attributes of a trial, open or finished: what it cost may be known after it ended."""
    view = await dispatch.change(
        name, in_study(patch.study_uid, lambda study: study.set_user_attrs(n, patch.user_attrs))
    )
    return Ok(trial_of(view))


@routes.add("DELETE", "/studies/{name}/trials", CancelReply, "How many were cancelled")
async def cancel_trials(
    dispatch: Manage,
    name: Name,
    state: Annotated[Literal["running", "waiting"], Query(description="Which open trials.")],
    worker: OfWorker = None,
) -> Ok:
    """Fail every open trial in this state, or those of one worker, reason `cancelled`."""
    states = (TrialState[state.upper()],)
    cancelled = await dispatch.change(
        name, lambda study: study.cancel_all(states, worker), absent=0
    )
    return Ok({"cancelled": cancelled})


def states_of(state: str | None, default: frozenset[TrialState]) -> frozenset[TrialState]:
    """The states that a request selects."""
    return default if state is None else frozenset({TrialState[state.upper()]})


def patience(request: Request, wanted: AskRequest, seconds: float) -> Patience | None:
    """How long the client of an ask waits; None if it does not."""
    if not seconds:
        return None
    return Patience(
        seconds=seconds, receive=request.receive, can_repeat=wanted.resume or wanted.key is not None
    )
