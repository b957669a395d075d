"""Files kept with trials: put, get, list, delete. Files are streamed, never held as a whole."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from optunapi.api.http.bodies import announced_size, refuse_encoding, request_invalid, too_large
from optunapi.api.http.replies import NO_STORE, Created, NoContent, Ok
from optunapi.api.schemas.artifacts import ArtifactList, ArtifactReply, PruneReply, artifact_of
from optunapi.api.serving.access import Manage, Read, Work
from optunapi.api.serving.operations import in_study
from optunapi.api.v1.parameters import (
    TRIAL,
    Digits,
    Name,
    Number,
    OfStudy,
    Uid,
    v1_routes,
)
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import ArtifactFiles, Commit, Upload
from optunapi.engine.study import Study
from optunapi.engine.trials.artifacts import FILENAME, Artifact, Removed, too_large_for_study
from optunapi.errors import (
    ArtifactNotFound,
    EncodingUnsupported,
    StorageUnavailable,
    StudyReplaced,
    TooLarge,
)

routes = v1_routes("artifacts")

ARTIFACTS = f"{TRIAL}/artifacts"
MAX_AGE = 100 * 366 * 86_400
WRITE_SIZE = 2**20
READ_SIZE = 2**18
BYTES: dict[str, Any] = {
    "application/octet-stream": {
        "schema": {"type": "string", "format": "binary"},
        "example": "hello",
    }
}
GIVEN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes, to be saved: never a page to be shown",
        "content": BYTES,
        "headers": {
            "ETag": {"description": "The SHA-256, in hexadecimal.", "schema": {"type": "string"}}
        },
    },
    304: {"description": "The bytes are those that `If-None-Match` names"},
}


async def checked_filename(
    filename: Annotated[
        str,
        Path(
            description="What the file is called.",
            examples=["model.pt"],
            json_schema_extra={"pattern": f"^{FILENAME.pattern}$"},
        ),
    ],
) -> str:
    """A file's name from the path.

    Raises:
        RequestInvalid: no artifact can have this name.
    """
    if not FILENAME.fullmatch(filename):
        reason = (
            "a file's name has 1 to 255 characters, without slashes, backslashes and control "
            "characters, and does not start with a dot"
        )
        raise request_invalid(reason, "path", "filename")
    return filename


Filename = Annotated[str, Depends(checked_filename)]


async def catalog_of(request: Request) -> Catalog:
    """The server's catalog."""
    catalog: Catalog = request.app.state.catalog
    return catalog


async def files_of(request: Request) -> ArtifactFiles:
    """Where the server keeps the bytes."""
    return (await catalog_of(request)).artifacts


Files = Annotated[ArtifactFiles, Depends(files_of)]


@routes.add(
    "PUT",
    f"{ARTIFACTS}/{{filename}}",
    ArtifactReply,
    "Kept",
    TooLarge,
    EncodingUnsupported,
    StudyReplaced,
    replies={200: {"model": ArtifactReply, "description": "Kept in the place of another"}},
    openapi_extra={"requestBody": {"required": True, "content": BYTES}},
)
async def put_artifact(
    dispatch: Work,
    catalog: Annotated[Catalog, Depends(catalog_of)],
    request: Request,
    name: Name,
    n: Number,
    filename: Filename,
    study_uid: Uid = None,
) -> Created | Ok:
    """Keep a file with a trial, finished or not; one of the same name is replaced.

    It is there when all of it is: an upload that fails or is cut off leaves nothing.
    """
    files = catalog.artifacts
    refuse_encoding(request)
    _check_announced(request, files.max_file)

    def look(study: Study) -> tuple[tuple[int, str], Commit]:
        room, commit = study.artifacts.room(n, filename, files.max_study)
        return (room, study.uid), commit

    room, study_uid = await dispatch.read(name, in_study(study_uid, look), scans=True)
    _check_announced(request, room, of_study=files.max_study)
    upload = await run_in_threadpool(files.receive, name)
    try:
        await _receive(request, upload, files, room)
        await run_in_threadpool(upload.keep)
    except BaseException:
        upload.drop()
        raise

    def add(study: Study) -> tuple[tuple[Artifact, Removed], Commit]:
        artifact = study.artifacts.received(filename, upload)
        replaced, commit = study.artifacts.add(n, artifact, files.max_study)
        return (artifact, replaced), commit

    try:
        # The study may be deleted and made again while the bytes come in.
        artifact, replaced = await dispatch.change(name, in_study(study_uid, add), scans=True)
    except StorageUnavailable:  # the change may have reached the disk
        catalog.uploads.end_later(upload)
        raise
    except Exception:
        upload.drop()
        raise
    except BaseException:  # cancelled: the change may be on its way to the database
        upload.close()
        raise
    await run_in_threadpool(upload.confirm)
    await run_in_threadpool(files.remove, replaced.ids)
    content = artifact_of(artifact)
    return Ok(content) if replaced.artifacts else Created(content)


@routes.add(
    "GET",
    f"{ARTIFACTS}/{{filename}}",
    None,
    "",
    ArtifactNotFound,
    StudyReplaced,
    replies=GIVEN,
    response_class=StreamingResponse,
)
async def get_artifact(
    dispatch: Read,
    files: Files,
    name: Name,
    n: Number,
    filename: Filename,
    study_uid: Uid = None,
    known: Annotated[
        str | None,
        Header(alias="If-None-Match", description="The ETag of the bytes that are there."),
    ] = None,
) -> Response:
    """A file kept with a trial."""
    find = in_study(study_uid, lambda study: study.artifacts.find(n, filename))
    artifact = await dispatch.read(name, find)
    headers = _headers(artifact)
    if "ETag" in headers and _names(known, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    try:
        file = await run_in_threadpool(files.read, artifact.artifact_id)
    except ArtifactNotFound:
        # It was replaced just now, or its file is really gone.
        artifact = await dispatch.read(name, find)
        file = await run_in_threadpool(files.read, artifact.artifact_id)
    return FileReply(file, _headers(artifact))


@routes.add("DELETE", f"{ARTIFACTS}/{{filename}}", None, "Deleted", ArtifactNotFound, StudyReplaced)
async def delete_artifact(
    dispatch: Work,
    files: Files,
    name: Name,
    n: Number,
    filename: Filename,
    body: OfStudy,
    study_uid: Uid = None,
) -> NoContent:
    """Delete a file kept with a trial."""
    operation = in_study(study_uid, lambda study: study.artifacts.delete(n, filename))
    removed = await dispatch.change(name, in_study(body.study_uid, operation), scans=True)
    await run_in_threadpool(files.remove, removed.ids)
    return NoContent()


@routes.add("GET", ARTIFACTS, ArtifactList, "The files", StudyReplaced)
async def list_artifacts(
    dispatch: Read, files: Files, name: Name, n: Number, study_uid: Uid = None
) -> Ok:
    """The files kept with a trial."""
    operation = in_study(study_uid, lambda study: study.artifacts.of_trial(n))
    present = await dispatch.read(name, operation)
    sized = await run_in_threadpool(_with_sizes, present, files)
    return Ok({"items": [artifact_of(artifact) for artifact in sized]})


@routes.add("DELETE", "/studies/{name}/artifacts", PruneReply, "What was deleted")
async def prune_artifacts(
    dispatch: Manage,
    files: Files,
    name: Name,
    older_than: Annotated[
        float, Query(ge=0, le=MAX_AGE, description="Seconds since the upload, at least.")
    ],
    keep_best: Annotated[
        int,
        Field(ge=0, le=1000),
        Digits,
        Query(description="Of how many best trials the files are kept."),
    ] = 0,
) -> Ok:
    """Delete old files of a study, but for those of its best and its running trials."""
    removed = await dispatch.change(
        name, lambda study: study.artifacts.prune(older_than, keep_best), absent=Removed()
    )
    await run_in_threadpool(files.remove, removed.ids)
    return Ok({"deleted": len(removed.artifacts), "size": removed.size})


class FileReply(StreamingResponse):
    """The bytes of a file, which is closed however the reply ends."""

    def __init__(self, file: BinaryIO, headers: dict[str, str]) -> None:
        size = os.fstat(file.fileno()).st_size
        super().__init__(
            _bytes_of(file),
            headers={**headers, "Content-Length": str(size)},
            media_type="application/octet-stream",
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        with self._file:
            await super().__call__(scope, receive, send)


def _with_sizes(artifacts: list[Artifact], files: ArtifactFiles) -> list[Artifact]:
    """The artifacts with their sizes, which Optuna does not store for its own uploads."""
    return [
        replace(artifact, size=files.size(artifact.artifact_id))
        if artifact.size is None
        else artifact
        for artifact in artifacts
    ]


async def _bytes_of(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await run_in_threadpool(file.read, READ_SIZE):
        yield chunk


def _headers(artifact: Artifact) -> dict[str, str]:
    """Headers that keep a browser from showing the file as a page of this server."""
    plain = quote(artifact.filename, safe="")
    headers = {
        **NO_STORE,
        "Content-Disposition": f"attachment; filename*=UTF-8''{plain}",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    if artifact.sha256 is not None:
        headers["ETag"] = f'"{artifact.sha256}"'
    return headers


def _names(known: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (known or "").split(",")]
    return etag in tags or tags == ["*"]


def _check_announced(request: Request, limit: int, *, of_study: int | None = None) -> None:
    """Refuse a body whose announced length is too large, before any of it is read."""
    size = announced_size(request)
    if size is not None and size > limit:
        raise _too_large(limit, size) if of_study is None else too_large_for_study(of_study, size)


async def _receive(request: Request, upload: Upload, files: ArtifactFiles, room: int) -> None:
    """Write the body, in pieces large enough to be worth a thread."""
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        size = upload.size + len(waiting)
        if size > files.max_file:
            raise _too_large(files.max_file)
        if size > room:
            raise too_large_for_study(files.max_study)
        if len(waiting) >= WRITE_SIZE:
            await run_in_threadpool(upload.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(upload.write, bytes(waiting))


def _too_large(limit: int, size: int | None = None) -> TooLarge:
    return too_large("the artifact", limit, "OPTUNAPI_MAX_ARTIFACT", size)
