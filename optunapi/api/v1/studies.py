"""Studies: create, list, look at, change, delete."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from optunapi.api.http.bodies import body, parse_json, read_bytes
from optunapi.api.http.openapi import READS_BODY, gives, takes
from optunapi.api.http.pages import cursor_of, page
from optunapi.api.http.replies import NO_STORE, JsonReply
from optunapi.api.schemas.specification import SPEC_BODY
from optunapi.api.schemas.studies import ForkBody, StudyPage, StudyPatch, StudyReply, study_of
from optunapi.api.schemas.trials import TrialList, trial_of
from optunapi.api.serving.dispatch import in_thread, settled
from optunapi.api.v1.parameters import CHANGES, CHANGES_STATE, ON_STUDY, Count, Limit, Name, Page
from optunapi.engine.catalog import Catalog
from optunapi.engine.names import slug_of
from optunapi.engine.spec.files import spec_from_yaml
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import StudyChange, TrialView
from optunapi.errors import ConfigInvalid, NameInvalid, RequestInvalid, SpecConflict, StudyBusy

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


def router(catalog: Catalog) -> APIRouter:
    """The routes over the studies of `catalog`."""
    routes = APIRouter(tags=["studies"])

    async def reply(name: str, status: int = 200) -> JsonReply:
        return JsonReply(study_of(await in_thread(lambda: catalog.view(name))), status)

    @routes.get("/studies", responses=gives(200, StudyPage, "Studies by name", RequestInvalid))
    async def list_studies(
        state: Annotated[
            Literal["open", "paused", "finished"] | None,
            Query(description="Only those in this state."),
        ] = None,
        limit: Limit = 100,
        page_token: Page = None,
    ) -> JsonReply:
        """Every study, also such as were never asked from."""
        scope = f"studies {state}"
        after = cursor_of(page_token, scope, str)

        def views() -> tuple[dict[str, Any], *tuple[Commit, ...]]:
            found, commits = catalog.views(after=after, state=state, limit=limit + 1)
            items = [study_of(view) for view in found[:limit]]
            return page(
                items, scope, slug_of(found[limit - 1].name) if len(found) > limit else None
            ), *commits

        return JsonReply(await in_thread(views))

    @routes.put(
        "/studies/{name}",
        responses={
            200: {"model": StudyReply, "description": "It was there, with the same specification"},
            **gives(
                201,
                StudyReply,
                "Created",
                *READS_BODY,
                NameInvalid,
                ConfigInvalid,
                SpecConflict,
                *CHANGES,
            ),
        },
        status_code=201,
        openapi_extra=SPEC_BODY,
        dependencies=CHANGES_STATE,
    )
    async def create_study(request: Request, name: Name) -> JsonReply:
        """Create a study, or see that it is there with this specification."""
        spec = await _spec(request)
        created = await in_thread(lambda: (catalog.put(name, spec),))
        return await reply(name, 201 if created else 200)

    @routes.get("/studies/{name}", responses=gives(200, StudyReply, "The study", *ON_STUDY))
    async def get_study(name: Name) -> JsonReply:
        """One study."""
        return await reply(name)

    @routes.patch(
        "/studies/{name}",
        responses=gives(200, StudyReply, "The study", *READS_BODY, *ON_STUDY, *CHANGES),
        openapi_extra=takes(StudyPatch, required=False),
        dependencies=CHANGES_STATE,
    )
    async def change_study(
        name: Name, patch: Annotated[StudyPatch, Depends(body(StudyPatch, optional=True))]
    ) -> JsonReply:
        """Pause, open or finish a study; change its limits, also while trials run."""

        def find() -> Study:
            view, *_ = catalog.view(name)
            _change(patch, view.spec)  # what will be refused must not create the study first
            return catalog.for_ask(name)

        def operation(study: Study) -> tuple[None, Commit]:
            return None, study.change(_change(patch, study.spec))

        await settled(find, operation)
        return await reply(name)

    @routes.delete(
        "/studies/{name}",
        status_code=204,
        responses=gives(204, None, "Deleted", *ON_STUDY, StudyBusy, *CHANGES),
        dependencies=CHANGES_STATE,
    )
    async def delete_study(
        name: Name,
        force: Annotated[bool, Query(description="Delete also while trials run.")] = False,
    ) -> Response:
        """Remove a study and its trials for good; its configuration file stays."""
        await in_thread(lambda: (catalog.delete(name, force=force),))
        return Response(status_code=204, headers=NO_STORE)

    @routes.post(
        "/studies/{name}/fork",
        status_code=201,
        responses=gives(
            201, StudyReply, "The new study", *READS_BODY, *ON_STUDY, SpecConflict, *CHANGES
        ),
        openapi_extra=takes(ForkBody),
        dependencies=CHANGES_STATE,
    )
    async def fork_study(
        name: Name, forked: Annotated[ForkBody, Depends(body(ForkBody))]
    ) -> JsonReply:
        """A new study with this one's specification, or that of a configuration file of the new name,
        and the finished trials that fit it.
        """
        await in_thread(lambda: (catalog.fork(name, forked.name),))
        return await reply(forked.name, 201)

    @routes.get(
        "/studies/{name}/best", responses=gives(200, TrialList, "The best trials", *ON_STUDY)
    )
    async def best_trials(
        name: Name,
        n: Annotated[Count | None, Query(description="How many.")] = None,
    ) -> JsonReply:
        """The best feasible complete trial, or n; with several objectives the Pareto front."""

        def operation(study: Study) -> tuple[list[TrialView], Commit]:
            return study.best(n)

        none: list[TrialView] = []
        found = await settled(lambda: catalog.find(name), operation, absent=none)
        return JsonReply({"items": [trial_of(view) for view in found]})

    return routes


async def _spec(request: Request) -> StudySpec:
    content = await read_bytes(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in YAML:
        return spec_from_yaml(content)
    data = parse_json(content)
    if not isinstance(data, dict | list):
        raise RequestInvalid(
            "the body is a study's specification: a JSON object, or a list of parameters",
            errors=[{"location": ["body"], "reason": "neither an object nor a list"}],
        )
    return spec_from_mapping(data)


def _change(patch: StudyPatch, spec: StudySpec) -> StudyChange:
    limits: dict[str, Any] = {}
    if patch.limits is not None:
        limits = patch.limits.model_dump(exclude_unset=True)
    target = limits.get("target")
    if target is not None:
        names = [objective.name for objective in spec.objectives]
        if not isinstance(target, dict) and len(names) == 1:
            target = {names[0]: target}
        limits["target"] = target
        if not isinstance(target, dict) or not target or not set(target) <= set(names):
            reason = f"a target gives a number for objectives of the study: {', '.join(names)}"
            raise RequestInvalid(
                reason, errors=[{"location": ["body", "limits", "target"], "reason": reason}]
            )
    given = "lease_seconds" in patch.model_fields_set
    return StudyChange(
        state=patch.state,
        limits=limits,
        lease_seconds=patch.lease_seconds if given else "unchanged",
        user_attrs=patch.user_attrs,
    )
