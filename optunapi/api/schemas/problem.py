"""The reply of every error."""

from typing import Any

from pydantic import Field

from optunapi.api.schemas.fields import Reply
from optunapi.api.schemas.trials import TrialReply


class Problem(Reply):
    """What was wrong with a request (RFC 9457). Some codes say more in fields of their own."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, Any]] = Field(
        default_factory=list,
        description="`request-invalid`: location and reason; `config-invalid`: file, line, key, reason.",
    )
    diff: list[dict[str, Any]] = Field(
        default_factory=list, description="`spec-conflict`: key, old and new."
    )
    trial: TrialReply | None = Field(default=None, description="`trial-finished`: the stored one.")
    finished_reason: str | None = Field(default=None, description="`study-finished`: why.")
    request_id: str | None = Field(default=None, description="`internal`: what is in the log.")
