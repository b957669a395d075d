"""Studies: create, list, look at, change, delete."""

from typing import Annotated, Any, Literal, overload

from fastapi import Depends, Query, Request
from fastapi.responses import Response

from optunapi.api.http.bodies import READS_BODY, JsonBody, parse_json, read_bytes, request_invalid
from optunapi.api.http.pages import cursor_of, page
from optunapi.api.http.replies import NO_STORE, Created, NoContent, Ok
from optunapi.api.schemas.specification import (
    NEW_SPEC_BODY,
    SHOWN_SPEC,
    SPEC_BODY,
    SpecReply,
    spec_of,
)
from optunapi.api.schemas.studies import (
    ForkBody,
    StudyPage,
    StudyPatch,
    StudyReply,
    invalid_of,
    study_of,
)
from optunapi.api.schemas.trials import TrialList, trials_of
from optunapi.api.serving.access import Manage, Read
from optunapi.api.serving.dispatch import CATALOG, Dispatch
from optunapi.api.v1.parameters import Count, Limit, Name, NewName, Page, v1_routes
from optunapi.engine.catalog import Catalog
from optunapi.engine.documents.document import quoted
from optunapi.engine.metric_names import names_fault
from optunapi.engine.spec.files import spec_from_yaml, yaml_of
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.values import StudyChange
from optunapi.errors import RequestInvalid, SpecConflict, StudyBusy

routes = v1_routes("studies")

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


@routes.add("GET", "/studies", StudyPage, "Studies by name", RequestInvalid)
async def list_studies(
    dispatch: Read,
    state: Annotated[
        Literal["open", "paused", "finished"] | None, Query(description="Only those in this state.")
    ] = None,
    limit: Limit = 100,
    page_token: Page = None,
) -> Ok:
    """Every study, also those that were never asked from and those that cannot be served now."""
    scope = f"studies {state}"
    after = cursor_of(page_token, scope, str)

    def views(catalog: Catalog) -> tuple[dict[str, Any]]:
        found = catalog.views(after=after, state=state, limit=limit + 1)
        items = [study_of(view) for view in found[:limit]]
        last = found[limit - 1].slug if len(found) > limit else None
        invalid = catalog.invalid_files() if after is None else []
        return ({**page(items, scope, last), "invalid": list(map(invalid_of, invalid))},)

    return Ok(await dispatch.read(CATALOG, views))


@routes.add(
    "PUT",
    "/studies/{name}",
    StudyReply,
    "Created",
    *READS_BODY,
    SpecConflict,
    replies={
        200: {"model": StudyReply, "description": "It was there, with the same specification"}
    },
    openapi_extra=SPEC_BODY,
)
async def create_study(dispatch: Manage, request: Request, name: NewName) -> Created | Ok:
    """Create a study, or see that it is there with this specification."""
    spec = await _spec(request)
    created = await dispatch.change(CATALOG, lambda catalog: (catalog.put(name, spec),), about=name)
    content = await _study(dispatch, name)
    return Created(content) if created else Ok(content)


@routes.add("GET", "/studies/{name}", StudyReply, "The study")
async def get_study(dispatch: Read, name: Name) -> Ok:
    """One study."""
    return Ok(await _study(dispatch, name))


@routes.add("PATCH", "/studies/{name}", StudyReply, "The study")
async def change_study(
    dispatch: Manage,
    name: Name,
    patch: Annotated[StudyPatch, Depends(JsonBody(StudyPatch, optional=True))],
) -> Ok:
    """Pause, open or finish a study; change its limits, also while trials run."""
    await dispatch.change(
        name,
        lambda study: (None, study.change(_change(patch, study.spec))),
        check=lambda spec: _change(patch, spec),
    )
    return Ok(await _study(dispatch, name))


@routes.add("DELETE", "/studies/{name}", None, "Deleted", StudyBusy)
async def delete_study(
    dispatch: Manage,
    name: Name,
    force: Annotated[bool, Query(description="Delete also while trials run.")] = False,
) -> NoContent:
    """Remove a study and its trials for good; its configuration file stays."""
    await dispatch.change(CATALOG, lambda catalog: (catalog.delete(name, force=force),), about=name)
    return NoContent()


@routes.add("POST", "/studies/{name}/fork", StudyReply, "The new study", SpecConflict)
async def fork_study(
    dispatch: Manage, name: Name, forked: Annotated[ForkBody, Depends(JsonBody(ForkBody))]
) -> Created:
    """A new study with this one's specification, or that of a configuration file of the new name,
    and the finished trials that fit it.
    """
    await dispatch.change(CATALOG, lambda catalog: (catalog.fork(name, forked.name),), about=name)
    return Created(await _study(dispatch, forked.name))


@routes.add("GET", "/studies/{name}/best", TrialList, "The best trials")
async def best_trials(
    dispatch: Read, name: Name, n: Annotated[Count | None, Query(description="How many.")] = None
) -> Ok:
    """The best feasible complete trial, or n; with several objectives the Pareto front."""
    views = await dispatch.read(name, lambda study: study.best(n), absent=[])
    return Ok(trials_of(views))


@routes.add("GET", "/studies/{name}/spec", SpecReply, "The specification", replies=SHOWN_SPEC)
async def get_spec(dispatch: Read, request: Request, name: Name) -> Ok | Response:
    """The specification in force, and which were in force before; as YAML if that is accepted first."""
    view = await dispatch.read(CATALOG, lambda catalog: catalog.spec_view(name), about=name)
    accepted = request.headers.get("accept", "").split(",")[0].partition(";")[0].strip().lower()
    if accepted in YAML:
        return Response(yaml_of(view.spec), media_type=YAML[0], headers=NO_STORE)
    return Ok(spec_of(view))


@routes.add(
    "POST",
    "/studies/{name}/spec",
    StudyReply,
    "The study",
    *READS_BODY,
    SpecConflict,
    openapi_extra=NEW_SPEC_BODY,
)
async def set_spec(dispatch: Manage, request: Request, name: Name) -> Ok:
    """Put another specification in force, or go back to an earlier one. Trials that ran are kept."""
    wanted = await _spec(request, or_version=True)
    await dispatch.change(CATALOG, lambda catalog: (catalog.set_spec(name, wanted),), about=name)
    return Ok(await _study(dispatch, name))


async def _study(dispatch: Dispatch, name: str) -> dict[str, Any]:
    return study_of(await dispatch.read(CATALOG, lambda catalog: catalog.view(name), about=name))


@overload
async def _spec(request: Request) -> StudySpec: ...


@overload
async def _spec(request: Request, *, or_version: Literal[True]) -> StudySpec | str: ...


async def _spec(request: Request, *, or_version: bool = False) -> StudySpec | str:
    """The specification in the body; with `or_version` the body may name an earlier one instead."""
    content = await read_bytes(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() in YAML:
        return spec_from_yaml(content)
    data = parse_json(content)
    match data:
        # In the short form, `version` may be a parameter; its entry is an object.
        case {"version": str(version), **others} if or_version and not others:
            return version
    if not isinstance(data, dict | list):
        reason = "the body is a study's specification: a JSON object, or a list of parameters"
        raise request_invalid(reason, "body")
    return spec_from_mapping(data)


def _change(patch: StudyPatch, spec: StudySpec) -> StudyChange:
    if patch.metric_names is not None:
        if fault := names_fault(patch.metric_names, len(spec.names)):
            raise request_invalid(fault, "body", "metric_names")
        spec = spec.with_names(patch.metric_names)  # a target of this request has the new names
    limits: dict[str, Any] = {}
    if patch.limits is not None:
        limits = patch.limits.model_dump(exclude_unset=True)
    target = limits.get("target")
    if target is not None:
        names = spec.names
        if not isinstance(target, dict) and len(names) == 1:
            target = {names[0]: target}
        limits["target"] = target
        if not isinstance(target, dict) or not target or not set(target) <= set(names):
            reason = (
                f"{quoted(target)} is not a number for objectives of the study: {', '.join(names)}"
            )
            raise request_invalid(reason, "body", "limits", "target")
    given = patch.model_fields_set
    return StudyChange(
        state=patch.state,
        metric_names=patch.metric_names,
        limits=limits,
        lease_seconds=[patch.lease_seconds] if "lease_seconds" in given else [],
        description=[patch.description] if "description" in given else [],
        user_attrs=patch.user_attrs,
    )
