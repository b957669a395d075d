"""Define-by-run: a running trial asks for its parameters one by one."""

from typing import Annotated

from fastapi import APIRouter, Depends
from optuna.distributions import BaseDistribution

from optunapi.api.http.bodies import body
from optunapi.api.http.openapi import gives, takes
from optunapi.api.http.replies import JsonReply
from optunapi.api.schemas.suggest import SuggestBody, SuggestReply
from optunapi.api.serving.dispatch import settled
from optunapi.api.serving.sampling_slots import Turns
from optunapi.api.v1.parameters import CHANGES_STATE, Name, Number
from optunapi.api.v1.trials import HOLDER, TRIAL
from optunapi.engine.catalog import Catalog
from optunapi.engine.spec.distributions import parse_distribution
from optunapi.engine.study import Study
from optunapi.errors import ConfigInvalid, TrialNotFound, ValueInvalid


def router(catalog: Catalog, turns: Turns) -> APIRouter:
    """The route by which trials of `catalog`'s studies get parameters that no specification names."""
    routes = APIRouter(tags=["trials"])

    @routes.post(
        f"{TRIAL}/suggest",
        responses=gives(200, SuggestReply, "The parameter's value", ValueInvalid, *HOLDER),
        openapi_extra=takes(SuggestBody),
        dependencies=CHANGES_STATE,
    )
    async def suggest(
        name: Name, n: Number, asked: Annotated[SuggestBody, Depends(body(SuggestBody))]
    ) -> JsonReply:
        """A value for a parameter; the same name again gives the same value. Renews the lease."""
        distribution = distribution_of(asked)

        def existing() -> Study:
            study = catalog.find(name)
            if study is None:
                raise TrialNotFound(f"study {name!r} has no trials yet: ask first")
            return study

        async with turns.of(name):
            value = await settled(
                existing, lambda study: study.suggest(n, asked.name, distribution, asked.lease)
            )
        return JsonReply({"value": value})

    return routes


def distribution_of(asked: SuggestBody) -> BaseDistribution:
    """The distribution that is asked for.

    Raises:
        ValueInvalid: its bounds, step or choices make none.
    """
    try:
        return parse_distribution(asked.distribution.model_dump())
    except ConfigInvalid as error:
        errors = [
            {
                "location": ["body", "distribution", each["key"].partition(".")[0]],
                "reason": each["reason"],
            }
            for each in error.extra["errors"]
        ]
        why = "; ".join(each["reason"] for each in errors)
        raise ValueInvalid(f"the distribution of {asked.name!r}: {why}", errors=errors) from None
