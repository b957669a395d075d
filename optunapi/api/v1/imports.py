"""Trials that were finished elsewhere."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from optuna.distributions import BaseDistribution

from optunapi.api.http.bodies import body
from optunapi.api.http.openapi import READS_BODY, gives, takes
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.imports import ImportBody, ImportedBody, ImportReply
from optunapi.api.serving.dispatch import settled
from optunapi.api.v1.parameters import CHANGES, CHANGES_STATE, ON_STUDY, Key, Name, digest
from optunapi.api.v1.trials import result_of
from optunapi.engine.catalog import Catalog
from optunapi.engine.spec.distributions import parse_distribution
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.points import of_item
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.trials.imports import ImportedTrial, imported
from optunapi.errors import ConfigInvalid, KeyReused, ValueInvalid

MAX_BYTES = 64 * 2**20


def router(catalog: Catalog) -> APIRouter:
    """The route into `catalog`'s studies."""
    routes = APIRouter(tags=["queue"])

    @routes.post(
        "/studies/{name}/import",
        status_code=201,
        responses=gives(
            201,
            ImportReply,
            "How many were taken in",
            *READS_BODY,
            *ON_STUDY,
            ValueInvalid,
            KeyReused,
            *CHANGES,
        ),
        openapi_extra=takes(ImportBody),
        dependencies=CHANGES_STATE,
    )
    async def import_trials(
        name: Name,
        given: Annotated[ImportBody, Depends(body(ImportBody, max_bytes=MAX_BYTES))],
        key: Key = None,
    ) -> JsonReply:
        """Take in finished trials from elsewhere: all of them, or none. Limits do not apply."""

        def check(spec: StudySpec) -> None:
            imported(spec, _items(given), 0.0)

        def operation(study: Study) -> tuple[int, Commit]:
            return study.import_trials(_items(given), key=key, digest=digest("import", given))

        count = await settled(lambda: catalog.for_ask(name, check=check), operation)
        return JsonReply({"imported": count}, 201)

    return routes


def _items(given: ImportBody) -> list[ImportedTrial]:
    """What is imported. Slow for a long list: to be called in a thread."""
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
    """The distribution; the trials of an import mostly share theirs, which are `parsed` once."""
    text = json.dumps(wire, sort_keys=True)
    if text not in parsed:
        try:
            parsed[text] = parse_distribution(wire)
        except ConfigInvalid as error:
            errors = [
                {"location": ["distributions", name, each["key"]], "reason": each["reason"]}
                for each in error.extra["errors"]
            ]
            why = "; ".join(each["reason"] for each in errors)
            raise ValueInvalid(f"the distribution of {name!r}: {why}", errors=errors) from None
    return parsed[text]
