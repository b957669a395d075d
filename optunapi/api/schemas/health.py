"""Replies about the server itself."""

from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, example


class StatusReply(Reply):
    """How the server is."""

    model_config = ConfigDict(json_schema_extra=example(status="alive"))

    status: str


class VersionReply(Reply):
    """Versions of OptunAPI and what it runs on."""

    model_config = ConfigDict(
        json_schema_extra=example(
            optunapi="1.0.0", optuna="5.0.0", python="3.11.7", storage="sqlite"
        )
    )

    optunapi: str
    optuna: str
    python: str
    storage: str
