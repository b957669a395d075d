"""Trials that were finished elsewhere."""

import json
from typing import Annotated, Any

from fastapi import Depends
from optuna.distributions import BaseDistribution

from optunapi.api.http.bodies import JsonBody, digest
from optunapi.api.http.replies import Created
from optunapi.api.schemas.imports import ImportBody, ImportedBody, ImportReply
from optunapi.api.serving.access import Manage
from optunapi.api.v1.parameters import Key, Name, v1_routes
from optunapi.api.v1.requests import distribution_of, result_of
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import of_item
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.trials.imports import ImportedTrial, imported
from optunapi.errors import KeyReused, ValueInvalid

routes = v1_routes("queue")

MAX_BYTES = 64 * 2**20


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
    given: Annotated[ImportBody, Depends(JsonBody(ImportBody, max_bytes=MAX_BYTES))],
    key: Key = None,
) -> Created:
    """Take in finished trials from elsewhere: all of them, or none. Limits do not apply."""

    def check(spec: StudySpec) -> None:
        imported(spec, _items(given), 0.0)

    def operation(study: Study) -> tuple[int, Commit]:
        content = given.model_dump(mode="json")
        return study.import_trials(_items(given), key=key, digest=digest("import", content))

    return Created({"imported": await dispatch.change(name, operation, check=check)})


def _items(given: ImportBody) -> list[ImportedTrial]:
    """The trials. Slow for a long list: call it in a thread."""
    parsed: dict[str, BaseDistribution] = {}
    found = []
    for place, item in enumerate(given.items):
        try:
            found.append(_item(item, parsed))
        except ValueInvalid as error:
            raise of_item(place, error) from None
    return found


def _item(item: ImportedBody, parsed: dict[str, BaseDistribution]) -> ImportedTrial:
    return ImportedTrial(
        result=result_of(item),
        params=item.params,
        distributions={
            name: _distribution(name, wire, parsed) for name, wire in item.distributions.items()
        },
        intermediate_values={int(step): v for step, v in item.intermediate_values.items()},
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
