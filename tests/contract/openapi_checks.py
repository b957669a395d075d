"""Hooks for schemathesis: which data exists, and which rules a schema cannot express.

Loaded by schemathesis through its configuration; see `test_openapi_fuzzed.py`.
"""

import re
from typing import Any

import schemathesis

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# One of the two studies is left alone, so that it has running trials until the end.
KEPT = "kept"
CHANGED = "changed"
KEPT_TRIALS = 40
CHANGES_STUDY = {
    "PUT /optunapi/v1/studies/{name}",
    "PATCH /optunapi/v1/studies/{name}",
    "DELETE /optunapi/v1/studies/{name}",
    "POST /optunapi/v1/studies/{name}/trials",
    "DELETE /optunapi/v1/studies/{name}/trials",
    "POST /optunapi/v1/studies/{name}/trials/batch",
    "POST /optunapi/v1/studies/{name}/tell",
    "POST /optunapi/v1/studies/{name}/queue",
    "DELETE /optunapi/v1/studies/{name}/queue",
    "DELETE /optunapi/v1/studies/{name}/queue/{n}",
    "POST /optunapi/v1/studies/{name}/import",
    "POST /optunapi/v1/studies/{name}/spec",
    "DELETE /optunapi/v1/studies/{name}/trials/{n}",
}

# Parts of a request that can be refused although they fit the schema, depending on the study.
CODES = {"value-invalid", "config-invalid", "key-reused"}
LOCATIONS: list[list[str]] = [
    ["query", "page"],  # opaque
    ["query", "order"],  # not with several objectives
    ["query", "objective"],  # one of the study
    ["body"],  # `resume` needs `worker`, and `value` excludes `values`
    ["body", "limits", "target"],
    ["body", "version"],  # one of the study
    ["body", "metric_names"],  # one for each objective of the study
]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:  # noqa: ARG001
    """The lines of an export. The document calls them a text, so that any other text would be refused."""
    return b'{"study": "cifar", "number": 0, "state": "fail", "params": {}}\n'


@schemathesis.hook
def map_path_parameters(
    context: schemathesis.HookContext, path_parameters: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Let half of the requests reach an existing study and existing trials."""
    found = dict(path_parameters or {})
    label = context.operation.label if context.operation is not None else ""
    for key in ("name", "model_name"):
        name = found.get(key)
        if isinstance(name, str) and NAME.fullmatch(name) and len(name) % 2:
            found[key] = CHANGED if label in CHANGES_STUDY else KEPT
    number = found.get("n")
    if type(number) is int and 0 <= number < 2**53:
        found["n"] = number % KEPT_TRIALS
    return found or path_parameters


@schemathesis.hook
def before_call(
    context: schemathesis.HookContext,  # noqa: ARG001
    case: schemathesis.Case[Any],
    kwargs: dict[str, Any],  # noqa: ARG001
) -> None:
    """Protect the kept study, also when its name was learned from a reply."""
    if case.operation.label in CHANGES_STUDY and case.path_parameters.get("name") == KEPT:
        case.path_parameters["name"] = CHANGED


@schemathesis.check
def fitting_data_is_refused_for_what_no_schema_can_say(
    context: schemathesis.CheckContext,  # noqa: ARG001
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """A 422 for data that fits the document names a rule that the document cannot express."""
    if (
        response.status_code != 422
        or case.meta is None
        or not case.meta.generation.mode.is_positive
    ):
        return
    document = response.json()
    locations = [error.get("location") for error in document.get("errors", [])]
    if document["code"] not in CODES and any(place not in LOCATIONS for place in locations):
        raise AssertionError(f"the document allows what was refused: {document}")


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:  # noqa: ARG001
    """Let no ask wait: without a free slot it would take the longest time allowed."""
    return None if query is None else {k: v for k, v in query.items() if k != "wait"}
