"""What the bodies of requests say, as the values that the engine takes."""

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from optunapi.api.http.bodies import digest
from optunapi.api.schemas.trials import AskBody, ResultBody, TellBody
from optunapi.engine.lifecycle import Result
from optunapi.engine.spec.distributions import parse_distribution
from optunapi.engine.values import AskRequest
from optunapi.errors import ConfigInvalid, ValueInvalid


def request_of(kind: str, asked: AskBody, key: str | None) -> AskRequest:
    """The request for a trial; `kind` tells apart routes that may get the same idempotency key."""
    return AskRequest(
        worker=asked.worker,
        resume=asked.resume,
        lease_seconds=asked.lease_seconds,
        params=asked.params,
        user_attrs=asked.user_attrs,
        key=key,
        digest="" if key is None else digest(kind, asked.model_dump(mode="json")),
    )


def result_of(told: ResultBody) -> Result:
    """The result of a trial."""
    values = told.values
    if told.value is not None:
        values = [told.value]
    return Result(
        state=TrialState[told.state.upper()],
        values=None if values is None else tuple(values),
        reason=told.reason,
        lease=told.lease if isinstance(told, TellBody) else None,
        study_uid=told.study_uid if isinstance(told, TellBody) else None,
        constraints=told.constraints,
        user_attrs=told.user_attrs,
    )


def distribution_of(
    name: str,
    wire: Mapping[str, Any],
    location: Callable[[str], list[str]],
    *,
    is_shown: bool = False,
) -> BaseDistribution:
    """A parameter's distribution; `location` returns the place of one of its keys in the request.

    `is_shown` says that it may be from a reply.

    Raises:
        ValueInvalid: its bounds, step or choices are invalid.
    """
    try:
        return parse_distribution(wire, is_shown=is_shown)
    except ConfigInvalid as error:
        errors = [
            {"location": location(each["key"]), "reason": each["reason"]}
            for each in error.extra["errors"]
        ]
        why = "; ".join(each["reason"] for each in errors)
        raise ValueInvalid(f"the distribution of {name!r}: {why}", errors=errors) from None
