"""Replies about the files that are kept with trials."""

from typing import Any

from pydantic import ConfigDict

from optunapi.api.schemas.fields import Reply, Time, example, time_of
from optunapi.engine.trials.artifacts import Artifact

ARTIFACT = {
    "artifact_id": "5a1de2b0-0d55-4a53-9f9c-6f1f9d2f1c3e",
    "filename": "model.pt",
    "size": 5,
    "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "uploaded_at": "2026-11-21T09:29:00.000Z",
}


class ArtifactReply(Reply):
    """A file kept with a trial; one that Optuna itself uploaded has no size, SHA-256 and time."""

    model_config = ConfigDict(json_schema_extra=example(**ARTIFACT))

    artifact_id: str
    filename: str
    size: int | None
    sha256: str | None
    uploaded_at: Time | None


class ArtifactList(Reply):
    """The files kept with a trial, in the order of their upload."""

    model_config = ConfigDict(json_schema_extra=example(items=[ARTIFACT]))

    items: list[ArtifactReply]


class PruneReply(Reply):
    """How many artifacts were deleted, and how many bytes they had together."""

    model_config = ConfigDict(json_schema_extra=example(deleted=3, size=1_500_000))

    deleted: int
    size: int


def artifact_of(artifact: Artifact) -> dict[str, Any]:
    """An artifact."""
    return {
        "artifact_id": artifact.artifact_id,
        "filename": artifact.filename,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "uploaded_at": time_of(artifact.uploaded_at),
    }
