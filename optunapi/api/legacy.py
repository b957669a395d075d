"""The GET routes of OptunAPI 0.1, frozen: trainer scripts written for it run unchanged."""

import math
from typing import Any

from fastapi import Request
from optuna.trial import TrialState

from optunapi import errors
from optunapi.api.http.bodies import digest, request_invalid
from optunapi.api.http.numbers import PATTERN, number_of, whole_number_of
from optunapi.api.http.openapi import query, study_name
from optunapi.api.http.replies import NoBody, Ok
from optunapi.api.http.routes import Routes
from optunapi.api.schemas.legacy import LegacyAskReply, LegacyTellReply, legacy_ask, legacy_tell
from optunapi.api.serving.access import Public, Work
from optunapi.api.serving.dispatch import CATALOG
from optunapi.engine.lifecycle import Result
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest

routes = Routes("OptunAPI 0.1")

ALIVE = "The Optuna-server is alive!"

SHORT_TEXT = {"type": "string", "maxLength": 255}
MODEL_NAME = study_name("model_name")
KEY = query(
    "key", "An idempotency key: the same key on the same study gives the same trial.", SHORT_TEXT
)
WORKER = query("worker", "The worker's name; by default the address it calls from.", SHORT_TEXT)
STUDY_UID = query(
    "study_uid",
    "The study's `uid`: the score is refused if another study has the name by now.",
    SHORT_TEXT,
)
TRIAL_ID = query(
    "trial_id", "The trial's number.", {"type": "string", "pattern": "^[0-9]{1,18}$"}, required=True
)
SCORES = query(
    "score",
    "The trial's score, one for each objective; `nan` or `inf` says it diverged.",
    {
        "type": "array",
        "items": {"type": "string", "pattern": PATTERN},
        "minItems": 1,
        "examples": [["0.5"]],
    },
    required=True,
)


def _aliases(word: str) -> tuple[str, ...]:
    """The older spellings of a path, and all of them with the slash that 0.1 redirected."""
    old = f"/optuna/{word}/{{model_name}}"
    return f"/optunapi/{word}/{{model_name}}/", old, f"{old}/"


@routes.add(
    "GET",
    "/optunapi/ping",
    None,
    "Successful Response",
    hot=True,
    also=("/optunapi/ping/",),
    summary="Whether the server answers",
    response_model=str,
)
async def ping(_: Public) -> Ok:
    """The greeting of OptunAPI 0.1."""
    return Ok(ALIVE)


async def look(dispatch: Work, request: Request) -> NoBody:
    """What HEAD gets of hparams: whether there is such a study. It asks for no trial."""
    name = request.scope["path_params"]["model_name"]
    _ask_request(request)
    await dispatch.read(CATALOG, lambda catalog: catalog.view(name), about=name)
    return NoBody()


async def look_at_trial(dispatch: Work, request: Request) -> NoBody:
    """What HEAD gets of score: whether there is such a trial. It closes none."""
    name = request.scope["path_params"]["model_name"]
    number, _ = _trial_id(request), _result(request)
    await dispatch.read(name, lambda study: study.trial(number))
    return NoBody()


@routes.add(
    "GET",
    "/optunapi/hparams/{model_name}",
    LegacyAskReply,
    "The trial",
    errors.StudyNotFound,
    errors.ConfigInvalid,
    errors.RequestInvalid,
    errors.KeyReused,
    errors.StudyPaused,
    errors.StudyFinished,
    errors.SpecConflict,
    errors.LeaseLost,
    errors.NoSlot,
    hot=True,
    also=_aliases("hparams"),
    head=look,
    openapi_extra={"parameters": [MODEL_NAME, KEY, WORKER]},
)
async def hparams(dispatch: Work, request: Request) -> Ok:
    """Hand out a trial: its number and parameters.

    The study is created on the first request, from `config/{model_name}.yaml`.
    """
    wanted = _ask_request(request)

    def hand_out(study: Study) -> tuple[dict[str, Any], Commit, Commit]:
        view, asked = study.ask(wanted)
        board, seen = study.scoreboard()
        return legacy_ask(view, board), asked, seen

    return Ok(await dispatch.ask(request.scope["path_params"]["model_name"], hand_out))


@routes.add(
    "GET",
    "/optunapi/score/{model_name}",
    LegacyTellReply,
    "The closed trial, and the best one",
    errors.StudyNotFound,
    errors.TrialNotFound,
    errors.ConfigInvalid,
    errors.RequestInvalid,
    errors.ValueInvalid,
    errors.TrialFinished,
    errors.TrialWaiting,
    errors.StudyReplaced,
    hot=True,
    also=_aliases("score"),
    head=look_at_trial,
    openapi_extra={"parameters": [MODEL_NAME, TRIAL_ID, SCORES, STUDY_UID]},
)
async def score(dispatch: Work, request: Request) -> Ok:
    """Close a trial with its score, one for each objective; `nan` or `inf` says it diverged."""
    number, result = _trial_id(request), _result(request)

    def close(study: Study) -> tuple[dict[str, Any], Commit, Commit]:
        told, commit = study.tell(number, result)
        board, seen = study.scoreboard()
        return legacy_tell(told.view, board), commit, seen

    name = request.scope["path_params"]["model_name"]
    return Ok(await dispatch.change(name, close, draw_ahead=True))


def _ask_request(request: Request) -> AskRequest:
    key, worker = _optional(request, "key"), _optional(request, "worker")
    return AskRequest(
        worker=worker or (request.client.host if request.client else None),
        leased=False,
        key=key,
        digest="" if key is None else digest("hparams", worker),
    )


def _optional(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1 or len("".join(values)) > 255:
        raise request_invalid(f"give one {name} of at most 255 characters, or none", "query", name)
    return values[0] if values and values[0] else None


def _trial_id(request: Request) -> int:
    query_params = request.query_params
    values = query_params.getlist("trial_id") + query_params.getlist("trail_id")
    if len(values) != 1:
        reason = f"give one trial_id, the number that hparams returned; got {len(values)}"
        raise request_invalid(reason, "query", "trial_id")
    try:
        return whole_number_of(values[0])
    except ValueError:
        reason = f"{values[0][:40]!r} is not a trial's number"
        raise request_invalid(reason, "query", "trial_id") from None


def _result(request: Request) -> Result:
    texts = request.query_params.getlist("score")
    if not texts:
        reason = "give the trial's score, `score=0.5`, one for each objective"
        raise request_invalid(reason, "query", "score")
    values, uid = tuple(map(_score, texts)), _optional(request, "study_uid")
    if not all(map(math.isfinite, values)):
        return Result(state=TrialState.FAIL, reason="diverged", study_uid=uid)
    return Result(state=TrialState.COMPLETE, values=values, study_uid=uid)


def _score(text: str) -> float:
    try:
        return number_of(text)
    except ValueError as error:
        raise request_invalid(str(error), "query", "score") from None
