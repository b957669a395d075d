"""Trials from elsewhere: finished ones, and those that `export` wrote, in any state."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from optuna.distributions import BaseDistribution

from optunapi.api.http.bodies import JsonBody, digest, parse_json, read_bytes
from optunapi.api.http.replies import Created
from optunapi.api.schemas.exports import ExportedBody
from optunapi.api.schemas.fields import by_step
from optunapi.api.schemas.imports import ImportBody, ImportedBody, ImportReply
from optunapi.api.serving.access import Manage
from optunapi.api.v1.parameters import Key, Name, v1_routes
from optunapi.api.v1.requests import distribution_of, result_of
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import of_item
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.trials.imports import ImportedTrial, Item, imported
from optunapi.errors import JsonInvalid, KeyReused, ValueInvalid

routes = v1_routes("queue")

MAX_BYTES = 64 * 2**20
LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
JSON = "application/json"
_LINE = re.compile(rb'\s*\{\s*"(?!items")')


class ImportReader(JsonBody[ImportBody]):
    """Reads the trials from a JSON body, or from lines of JSON, one trial each.

    What does not say that it is JSON, and begins with a trial, is lines.
    """

    also: Mapping[str, Any] = {
        LINES[0]: {
            "schema": {"type": "string", "description": "The lines of an export, a trial each."},
            "example": '{"study": "cifar", "number": 0, "state": "fail", "params": {"lr": 0.1}}\n',
        }
    }

    async def __call__(self, request: Request) -> ImportBody:
        """Read the body; an empty export has no lines.

        Raises: as `JsonBody`.
        """
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        content = await read_bytes(request, MAX_BYTES)
        # Programs that send a file often name no type, or a wrong one. A trial has no `items`.
        is_lines = given in LINES or (given != JSON and _LINE.match(content) is not None)
        return await run_in_threadpool(self._parsed_lines if is_lines else self._parsed, content)

    def _parsed_lines(self, content: bytes) -> ImportBody:
        lines = [(n, line) for n, line in enumerate(content.split(b"\n"), 1) if line.strip()]
        if not lines:
            return ImportBody.model_construct(items=[])
        return self.validated({"items": [_parsed_line(*each) for each in lines]})


def _parsed_line(number: int, line: bytes) -> Any:
    try:
        return parse_json(line)
    except JsonInvalid as error:
        raise JsonInvalid(f"line {number}: {error.detail}") from None


@routes.add(
    "POST",
    "/studies/{name}/import",
    ImportReply,
    "How many were taken in",
    ValueInvalid,
    KeyReused,
)
async def import_trials(
    dispatch: Manage,
    name: Name,
    given: Annotated[ImportBody, Depends(ImportReader(ImportBody, max_bytes=MAX_BYTES))],
    key: Key = None,
) -> Created:
    """Take in trials from elsewhere, all of them or none: finished ones, or the lines of an export.

    Limits do not apply. Exported trials come back as they were: waiting ones into the queue, running ones
    held by the lease that they had, until it ends.
    """

    def check(spec: StudySpec) -> None:
        imported(spec, _items(given), 0.0)

    def operation(study: Study) -> tuple[int, Commit]:
        content = {"items": [item.model_dump(mode="json") for item in given.items]}
        return study.import_trials(_items(given), key=key, digest=digest("import", content))

    return Created({"imported": await dispatch.change(name, operation, check=check)})


def _items(given: ImportBody) -> list[Item]:
    """The trials. Slow for a long list: call it in a thread."""
    parsed: dict[str, BaseDistribution] = {}
    found: list[Item] = []
    for place, item in enumerate(given.items):
        try:
            found.append(_item(item, parsed))
        except ValueInvalid as error:
            raise of_item(place, error) from None
    return found


def _item(item: ImportedBody | ExportedBody, parsed: dict[str, BaseDistribution]) -> Item:
    if isinstance(item, ExportedBody):
        try:
            return item.trial()
        except ValueError as error:
            raise ValueInvalid(str(error)) from None
    return ImportedTrial(
        result=result_of(item),
        params=item.params,
        distributions={
            name: _distribution(name, wire, parsed) for name, wire in item.distributions.items()
        },
        intermediate_values=by_step(item.intermediate_values),
        started_at=item.started_at,
        finished_at=item.finished_at,
    )


def _distribution(
    name: str, wire: dict[str, Any], parsed: dict[str, BaseDistribution]
) -> BaseDistribution:
    """A distribution. The trials of an import mostly share theirs, so each is parsed once."""
    text = json.dumps(wire, sort_keys=True)
    if text not in parsed:
        parsed[text] = distribution_of(
            name, wire, lambda key: ["distributions", name, key], is_shown=True
        )
    return parsed[text]
