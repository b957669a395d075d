"""All trials of a study as one file, streamed."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from optuna.trial import FrozenTrial

from optunapi.api.http.replies import NO_STORE
from optunapi.api.schemas.exports import exported_of, with_pointers
from optunapi.api.schemas.trials import shown_params, trial_of
from optunapi.api.serving.access import Read
from optunapi.api.serving.dispatch import CATALOG
from optunapi.api.v1.parameters import Name, v1_routes
from optunapi.engine.reports.snapshot import Snapshot
from optunapi.engine.values import TrialView
from optunapi.local_times import time_between

routes = v1_routes("studies")

CHUNK = 200  # how many trials a thread encodes at a time
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
                "description": "A trial a line, with a column for each objective, parameter, "
                "attribute and constraint. An empty cell is no value. A text that a spreadsheet would "
                "take for a formula gets a leading '; one that reads as JSON is in double quotes.",
            },
            "example": "number,state,values_score,params_lr\r\n0,complete,0.02,0.001\r\n",
        },
    },
}

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
Encode = Callable[[Sequence[FrozenTrial]], bytes]


@routes.add(
    "GET",
    "/studies/{name}/export",
    None,
    "",
    replies={200: EXPORTED},
    response_class=StreamingResponse,
)
async def export(
    dispatch: Read,
    name: Name,
    file_format: Annotated[
        Literal["jsonl", "csv"], Query(alias="format", description="JSON documents, or a table.")
    ] = "jsonl",
) -> StreamingResponse:
    """All trials of a study, as they are at one moment."""
    snapshot = await dispatch.read(CATALOG, lambda catalog: catalog.snapshot(name), about=name)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}.{file_format}"'}
    content = _csv(snapshot) if file_format == "csv" else _jsonl(snapshot)
    return StreamingResponse(content, headers=headers, media_type=MEDIA[file_format])


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


LAST_COLUMNS = (
    *("created_at", "started_at", "finished_at", "duration"),
    *("worker", "attempt", "fail_reason"),
)


def json_lines(snapshot: Snapshot, trials: Iterable[FrozenTrial]) -> bytes:
    """Some of the snapshot's trials, one JSON document a line."""
    in_force = {p.name: p.distribution for p in snapshot.spec.parameters}
    return b"".join(_line(exported_of(snapshot.view(trial), in_force)) for trial in trials)


def _line(document: dict[str, Any]) -> bytes:
    try:
        text = _ENCODER.encode(document)
    except ValueError:  # a number that is not finite
        text = _ENCODER.encode(with_pointers(document))
    return text.encode("utf-8", errors="replace") + b"\n"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table beside those that every trial has."""

    objectives: tuple[str, ...]
    params: tuple[str, ...]
    user_attrs: tuple[str, ...]
    constraints: tuple[str, ...]

    def header(self) -> bytes:
        """The first line."""
        return _lines(
            [
                [
                    "number",
                    "state",
                    *(f"values_{name}" for name in self.objectives),
                    *(f"params_{name}" for name in self.params),
                    *(f"user_attrs_{name}" for name in self.user_attrs),
                    *(f"constraints_{name}" for name in self.constraints),
                    *LAST_COLUMNS,
                ]
            ]
        )

    def rows(self, snapshot: Snapshot, trials: Iterable[FrozenTrial]) -> bytes:
        """A line for each of these trials."""
        return _lines(self._row(snapshot.view(trial)) for trial in trials)

    def _row(self, view: TrialView) -> list[str]:
        # The reply has null for a number that is not finite; the trial itself has the number.
        trial, shown = view.trial, trial_of(view)
        values = dict(zip(self.objectives, trial.values or (), strict=False))
        last = {name: shown[name] for name in LAST_COLUMNS if shown.get(name) is not None}
        if trial.datetime_start is not None and trial.datetime_complete is not None:
            took = time_between(trial.datetime_start, trial.datetime_complete)
            last["duration"] = took.total_seconds()
        return [
            cell_of(trial.number),
            shown["state"],
            *_cells(values, self.objectives),
            *_cells(shown["params"], self.params),
            *_cells(trial.user_attrs, self.user_attrs),
            *_cells(trial.constraints, self.constraints),
            *_cells(last, LAST_COLUMNS),
        ]


def columns_of(snapshot: Snapshot) -> Columns:
    """The columns: parameters in the order of the space, then others as they appear in the trials."""
    params = {parameter.name: None for parameter in snapshot.spec.parameters}
    user_attrs: dict[str, None] = {}
    constraints: dict[str, None] = {}
    for trial in snapshot.trials:
        params |= dict.fromkeys(shown_params(trial))
        user_attrs |= dict.fromkeys(trial.user_attrs)
        constraints |= dict.fromkeys(trial.constraints)
    return Columns(
        objectives=tuple(objective.name for objective in snapshot.spec.objectives),
        params=tuple(params),
        user_attrs=tuple(user_attrs),
        constraints=tuple(constraints),
    )


def _cells(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """A cell for each name; an empty one stands for no value at all."""
    return (cell_of(values[name]) if name in values else "" for name in names)


# A spreadsheet evaluates a text that starts with one of these as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell_of(value: Any) -> str:
    """A value as a cell, different for different values.

    A text is written as it is, after a `'` where a spreadsheet would take it for a formula. Everything
    else is JSON, and so is a text which is empty, reads as JSON, or starts with one of the two quotes.
    """
    if isinstance(value, str):
        if value.startswith(FORMULA):
            return f"'{value}"
        if value and not value.startswith(("'", '"')) and not _is_json(value):
            return value
    return json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", errors="replace")
