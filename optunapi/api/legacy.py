"""The GET routes of OptunAPI 0.1, frozen: trainer scripts written for it run unchanged."""

from __future__ import annotations  # those of inner functions are made at every call otherwise

import hashlib
import json
import re
from typing import Any

from fastapi import APIRouter, Request
from optuna.trial import TrialState

from optunapi.api.http.openapi import gives, query
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.legacy import LegacyAskReply, LegacyTellReply, legacy_ask, legacy_tell
from optunapi.api.serving.ask_groups import Desk
from optunapi.api.serving.dispatch import at_once, settled
from optunapi.api.serving.fast_path import DirectRoutes, name_parameter
from optunapi.engine.catalog import Catalog
from optunapi.engine.lifecycle import Result
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest
from optunapi.errors import (
    ConfigInvalid,
    CrossSite,
    KeyReused,
    LeaseLost,
    NoSlot,
    RequestInvalid,
    SpecConflict,
    StudyFinished,
    StudyNotFound,
    StudyPaused,
    TrialFinished,
    TrialNotFound,
    TrialWaiting,
    ValueInvalid,
)
from optunapi.security.cross_site import refuse_cross_site

NUMBER = re.compile(r"[0-9]{1,18}")
# A row of digits can be read in one way only: trying them all would hold up the whole server.
SCORE = re.compile(
    r"(?P<number>[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?)|nan|[+-]?inf(inity)?",
    re.IGNORECASE,
)
# The same without a flag, which OpenAPI's patterns do not have.
SCORE_PATTERN = (
    r"^([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
    r"|[nN][aA][nN]|[+-]?[iI][nN][fF]([iI][nN][iI][tT][yY])?)$"
)
ALIVE = "The Optuna-server is alive!"

SHORT_TEXT = {"type": "string", "maxLength": 255}
HPARAMS = gives(
    200,
    LegacyAskReply,
    "The trial",
    CrossSite,
    StudyNotFound,
    ConfigInvalid,
    RequestInvalid,
    KeyReused,
    StudyPaused,
    StudyFinished,
    SpecConflict,
    LeaseLost,
    NoSlot,
)
SCORE_REPLY = gives(
    200,
    LegacyTellReply,
    "The closed trial, and the best one",
    CrossSite,
    StudyNotFound,
    TrialNotFound,
    ConfigInvalid,
    RequestInvalid,
    ValueInvalid,
    TrialFinished,
    TrialWaiting,
)


def router(catalog: Catalog, desk: Desk, direct: DirectRoutes) -> APIRouter:
    """The routes over the studies of `catalog`."""
    routes = APIRouter(tags=["OptunAPI 0.1"])

    @routes.get("/optunapi/ping", summary="Whether the server answers", response_model=str)
    async def ping(_: Request) -> JsonReply:
        return JsonReply(ALIVE)

    async def hparams(request: Request) -> JsonReply:
        """Hand out a trial: its number and parameters.

        The study is created on the first request, from `config/{model_name}.yaml`.
        """
        refuse_cross_site(request)
        model_name = request.path_params["model_name"]
        ask = _ask_request(request)

        def operation(study: Study) -> tuple[dict[str, Any], Commit, Commit]:
            view, asked = study.ask(ask)
            board, seen = study.scoreboard()
            return legacy_ask(view, board), asked, seen

        body = await settled(
            lambda: catalog.for_ask(model_name), operation, short_cut=desk.of(model_name)
        )
        return JsonReply(body)

    async def score(request: Request) -> JsonReply:
        """Close a trial with its score, one for each objective; `nan` or `inf` says it diverged."""
        refuse_cross_site(request)
        model_name = request.path_params["model_name"]
        number, result = _trial_id(request), _result(request)

        def find() -> Study:
            study = catalog.find(model_name)
            if study is None:
                raise TrialNotFound(f"study {model_name!r} has no trial {number}: ask first")
            return study

        def operation(study: Study) -> tuple[dict[str, Any], Commit, Commit]:
            view, told = study.tell(number, result)
            board, seen = study.scoreboard()
            return legacy_tell(view, board), told, seen

        body = await settled(find, operation, short_cut=at_once(catalog, model_name))
        desk.prepare(model_name)
        return JsonReply(body)

    key = query(
        "key",
        "An idempotency key: the same key on the same study gives the same trial.",
        SHORT_TEXT,
    )
    worker = query("worker", "The worker's name; by default the address it calls from.", SHORT_TEXT)
    trial_id = query(
        "trial_id",
        "The trial's number.",
        {"type": "string", "pattern": "^[0-9]{1,18}$"},
        required=True,
    )
    value = query(
        "score",
        "The trial's score, one for each objective; `nan` or `inf` says it diverged.",
        {
            "type": "array",
            "items": {"type": "string", "pattern": SCORE_PATTERN},
            "minItems": 1,
            "examples": [["0.5"]],
        },
        required=True,
    )
    for path, handler, parameters, replies in (
        ("hparams", hparams, [key, worker], HPARAMS),
        ("score", score, [trial_id, value], SCORE_REPLY),
    ):
        for prefix in ("optunapi", "optuna"):  # the older documentation spells it so
            routes.add_api_route(
                f"/{prefix}/{path}/{{model_name}}",
                handler,
                methods=["GET"],
                include_in_schema=prefix == "optunapi",
                responses=replies,
                openapi_extra={"parameters": [name_parameter("model_name"), *parameters]},
            )
        direct.add("GET", f"/optun(?:api|a)/{path}/(?P<model_name>[^/]+)", handler)
    direct.add("GET", "/optunapi/ping", ping)
    return routes


def _ask_request(request: Request) -> AskRequest:
    key, worker = _optional(request, "key"), _optional(request, "worker")
    return AskRequest(
        worker=worker or (request.client.host if request.client else None),
        leased=False,
        key=key,
        digest="" if key is None else _digest(worker),
    )


def _digest(worker: str | None) -> str:
    """What tells a repeated request from another one under the same key."""
    return hashlib.sha256(json.dumps(["hparams", worker]).encode()).hexdigest()[:16]


def _optional(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1 or len("".join(values)) > 255:
        raise _invalid(name, f"give one {name} of at most 255 characters, or none")
    return values[0] if values and values[0] else None


def _trial_id(request: Request) -> int:
    query_params = request.query_params
    values = query_params.getlist("trial_id") + query_params.getlist("trail_id")
    if len(values) != 1:
        raise _invalid(
            "trial_id", f"give one trial_id, the number that hparams gave; got {len(values)}"
        )
    if not NUMBER.fullmatch(values[0]):
        raise _invalid("trial_id", f"{values[0][:40]!r} is not a trial's number")
    return int(values[0])


def _result(request: Request) -> Result:
    texts = request.query_params.getlist("score")
    if not texts:
        raise _invalid("score", "give the trial's score, `score=0.5`, one for each objective")
    values = tuple(_score(text) for text in texts)
    if any(value is None for value in values):
        return Result(state=TrialState.FAIL, reason="diverged")
    return Result(state=TrialState.COMPLETE, values=tuple(v for v in values if v is not None))


def _score(text: str) -> float | None:
    """A number; None for one that is not finite."""
    # A script that puts 1e+20 into a URL as it is sends a plus, which reads as a space.
    match = SCORE.fullmatch(text.replace(" ", "+"))
    if match is None:
        raise _invalid("score", f"{text[:40]!r} is not a number")
    value = float(match["number"] or "nan")
    return value if abs(value) < float("inf") else None


def _invalid(name: str, reason: str) -> RequestInvalid:
    return RequestInvalid(reason, errors=[{"location": ["query", name], "reason": reason}])
