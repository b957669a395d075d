"""All trials of a study as one file, streamed."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from optuna.trial import FrozenTrial

from optunapi.api.http.openapi import gives
from optunapi.api.http.replies import NO_STORE
from optunapi.api.serving.dispatch import in_thread
from optunapi.api.tables import columns_of, json_lines
from optunapi.api.v1.parameters import ON_STUDY, Name
from optunapi.engine.catalog import Catalog
from optunapi.engine.reports.snapshot import Snapshot

CHUNK = 200  # trials that one thread makes text of at a time
MEDIA = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
EXPORTED: dict[str, Any] = {
    "description": "The trials by number: open ones too, as they were when the export began",
    "content": {
        MEDIA["jsonl"]: {
            "schema": {"type": "string", "description": "A Trial a line."},
            "example": '{"study": "cifar", "number": 0, "state": "complete", "values": [0.02]}\n',
        },
        MEDIA["csv"]: {
            "schema": {
                "type": "string",
                "description": "A trial a line, with a column for each objective, parameter and "
                "attribute. A text that a spreadsheet would take for a formula gets a leading '.",
            },
            "example": "number,state,values_score,params_lr\r\n0,complete,0.02,0.001\r\n",
        },
    },
}

Encode = Callable[[Sequence[FrozenTrial]], bytes]


def router(catalog: Catalog) -> APIRouter:
    """The route by which the studies of `catalog` are taken elsewhere."""
    routes = APIRouter(tags=["studies"])

    @routes.get(
        "/studies/{name}/export",
        response_class=StreamingResponse,
        responses={**gives(200, None, "", *ON_STUDY), 200: EXPORTED},
    )
    async def export(
        name: Name,
        file_format: Annotated[
            Literal["jsonl", "csv"],
            Query(alias="format", description="JSON documents, or a table."),
        ] = "jsonl",
    ) -> StreamingResponse:
        """All trials of a study, as they are at one moment."""
        snapshot = await in_thread(lambda: catalog.snapshot(name))
        headers = {
            **NO_STORE,
            "Content-Disposition": f'attachment; filename="{name}.{file_format}"',
        }
        content = _csv(snapshot) if file_format == "csv" else _jsonl(snapshot)
        return StreamingResponse(content, headers=headers, media_type=MEDIA[file_format])

    return routes


def _jsonl(snapshot: Snapshot) -> AsyncIterator[bytes]:
    return _chunks(snapshot, partial(json_lines, snapshot))


async def _csv(snapshot: Snapshot) -> AsyncIterator[bytes]:
    columns = await run_in_threadpool(columns_of, snapshot)
    yield columns.header()
    async for chunk in _chunks(snapshot, partial(columns.rows, snapshot)):
        yield chunk


async def _chunks(snapshot: Snapshot, encode: Encode) -> AsyncIterator[bytes]:
    for start in range(0, len(snapshot.trials), CHUNK):
        yield await run_in_threadpool(encode, snapshot.trials[start : start + CHUNK])
