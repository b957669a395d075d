"""Files kept with trials: put, get, list, delete. Bytes pass through; none are held as a whole."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.types import Receive, Scope, Send

from optunapi.api.http.openapi import gives
from optunapi.api.http.replies import NO_STORE, JsonReply
from optunapi.api.schemas.artifacts import ArtifactList, ArtifactReply, PruneReply, artifact_of
from optunapi.api.serving.dispatch import settled
from optunapi.api.v1.parameters import (
    CHANGES,
    CHANGES_STATE,
    ON_STUDY,
    ON_TRIAL,
    Digits,
    Name,
    Number,
)
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import ArtifactFiles, Commit, Upload
from optunapi.engine.study import Study
from optunapi.engine.trials.artifacts import (
    FILENAME,
    Artifact,
    Removed,
    too_large_for_study,
)
from optunapi.errors import (
    ArtifactNotFound,
    RequestInvalid,
    StorageUnavailable,
    TooLarge,
    TrialNotFound,
)

ARTIFACTS = "/studies/{name}/trials/{n}/artifacts"
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
            "ETag": {
                "description": "The SHA-256, in hexadecimal.",
                "schema": {"type": "string"},
            }
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
    """A name that an artifact can have.

    Raises:
        RequestInvalid: it cannot.
    """
    if not FILENAME.fullmatch(filename):
        reason = (
            "a file's name has 1 to 255 characters, no slash, backslash or control character among "
            "them, and does not begin with a dot"
        )
        raise RequestInvalid(reason, errors=[{"location": ["path", "filename"], "reason": reason}])
    return filename


Filename = Annotated[str, Depends(checked_filename)]


def router(catalog: Catalog) -> APIRouter:
    """The routes over the files of `catalog`'s studies."""
    routes = APIRouter(tags=["artifacts"])
    files = catalog.artifacts

    def existing(name: str) -> Study:
        study = catalog.find(name)
        if study is None:
            raise TrialNotFound(f"study {name!r} has no trials yet: ask first")
        return study

    async def found(name: str, n: int, filename: str) -> Artifact:
        return await settled(
            lambda: existing(name), lambda study: study.artifacts.find(n, filename)
        )

    @routes.put(
        f"{ARTIFACTS}/{{filename}}",
        status_code=201,
        responses={
            200: {"model": ArtifactReply, "description": "Kept in the place of another"},
            **gives(201, ArtifactReply, "Kept", *ON_TRIAL, TooLarge, *CHANGES),
        },
        openapi_extra={"requestBody": {"required": True, "content": BYTES}},
        dependencies=CHANGES_STATE,
    )
    async def put_artifact(request: Request, name: Name, n: Number, filename: Filename) -> Response:
        """Keep a file with a trial, finished or not; one of the same name is replaced.

        It is there when all of it is: an upload that fails or is cut off leaves nothing.
        """
        _check_announced(request, files.max_file)
        room = await settled(
            lambda: existing(name),
            lambda study: study.artifacts.room(n, filename, files.max_study),
        )
        _check_announced(request, room, of_study=files.max_study)
        upload = await run_in_threadpool(files.receive, name)
        try:
            await _receive(request, upload, files, room)
            await run_in_threadpool(upload.keep)
        except BaseException:
            upload.drop()
            raise

        def operation(study: Study) -> tuple[tuple[Artifact, Removed], Commit]:
            artifact = study.artifacts.received(filename, upload)
            replaced, commit = study.artifacts.add(n, artifact, files.max_study)
            return (artifact, replaced), commit

        try:
            artifact, replaced = await settled(lambda: existing(name), operation)
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
        return JsonReply(artifact_of(artifact), 200 if replaced.artifacts else 201)

    @routes.get(
        f"{ARTIFACTS}/{{filename}}",
        response_class=StreamingResponse,
        responses={**gives(200, None, "", *ON_TRIAL, ArtifactNotFound), **GIVEN},
    )
    async def get_artifact(
        name: Name,
        n: Number,
        filename: Filename,
        known: Annotated[
            str | None,
            Header(alias="If-None-Match", description="The ETag of the bytes that are there."),
        ] = None,
    ) -> Response:
        """A file kept with a trial."""
        artifact = await found(name, n, filename)
        headers = _headers(artifact)
        if "ETag" in headers and _names(known, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        try:
            file = await run_in_threadpool(files.read, artifact.artifact_id)
        except ArtifactNotFound:
            # It was replaced just now, or its file is really gone.
            artifact = await found(name, n, filename)
            file = await run_in_threadpool(files.read, artifact.artifact_id)
        return FileReply(file, _headers(artifact))

    @routes.delete(
        f"{ARTIFACTS}/{{filename}}",
        status_code=204,
        responses=gives(204, None, "Deleted", *ON_TRIAL, ArtifactNotFound, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def delete_artifact(name: Name, n: Number, filename: Filename) -> Response:
        """Delete a file kept with a trial."""
        removed = await settled(
            lambda: existing(name), lambda study: study.artifacts.delete(n, filename)
        )
        await run_in_threadpool(files.remove, removed.ids)
        return Response(status_code=204, headers=NO_STORE)

    @routes.get(ARTIFACTS, responses=gives(200, ArtifactList, "The files", *ON_TRIAL))
    async def list_artifacts(name: Name, n: Number) -> JsonReply:
        """The files kept with a trial."""

        def operation(study: Study) -> tuple[list[Artifact], Commit]:
            return study.artifacts.of_trial(n)

        present = await settled(lambda: existing(name), operation)
        sized = await run_in_threadpool(_with_sizes, present, files)
        return JsonReply({"items": [artifact_of(artifact) for artifact in sized]})

    @routes.delete(
        "/studies/{name}/artifacts",
        responses=gives(200, PruneReply, "What was deleted", *ON_STUDY, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def prune_artifacts(
        name: Name,
        older_than: Annotated[
            float,
            Query(ge=0, le=MAX_AGE, description="Seconds since the upload, at least."),
        ],
        keep_best: Annotated[
            int,
            Field(ge=0, le=1000),
            Digits,
            Query(description="Not those of so many best trials."),
        ] = 0,
    ) -> JsonReply:
        """Delete old files of a study, but for those of its best and its running trials."""
        removed = await settled(
            lambda: catalog.find(name),
            lambda study: study.artifacts.prune(older_than, keep_best),
            absent=Removed(),
        )
        await run_in_threadpool(files.remove, removed.ids)
        return JsonReply({"deleted": len(removed.artifacts), "size": removed.size})

    return routes


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
    """With the sizes of those that Optuna uploaded, who notes none."""
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
    """What keeps a browser from showing the file as a page of this server's."""
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
    """Refuse what is said to be too large before any of it is read."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise _too_large(limit) if of_study is None else too_large_for_study(of_study)


async def _receive(request: Request, upload: Upload, files: ArtifactFiles, room: int) -> None:
    """Take the body in, in pieces that are worth a thread each."""
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


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"an artifact may have {limit} bytes")
