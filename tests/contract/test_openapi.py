"""The OpenAPI document is complete: it describes every route, shape and refusal."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from optunapi import errors
from optunapi.api.http.problems import status_of
from optunapi.api.schemas.fields import Body
from optunapi.errors import OptunAPIError
from tests.api.wire import V1, Wire

CODES = {
    error.code: status_of(error)
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, OptunAPIError) and "code" in vars(error)
}
ROUTES = {
    f"GET {V1}/studies",
    f"PUT {V1}/studies/{{name}}",
    f"GET {V1}/studies/{{name}}",
    f"PATCH {V1}/studies/{{name}}",
    f"DELETE {V1}/studies/{{name}}",
    f"GET {V1}/studies/{{name}}/best",
    f"POST {V1}/studies/{{name}}/fork",
    f"GET {V1}/studies/{{name}}/summary",
    f"GET {V1}/studies/{{name}}/importances",
    f"GET {V1}/studies/{{name}}/export",
    f"DELETE {V1}/studies/{{name}}/artifacts",
    f"GET {V1}/studies/{{name}}/trials/{{n}}/artifacts",
    *(
        f"{method} {V1}/studies/{{name}}/trials/{{n}}/artifacts/{{filename}}"
        for method in ("PUT", "GET", "DELETE")
    ),
    f"POST {V1}/studies/{{name}}/trials",
    f"GET {V1}/studies/{{name}}/trials",
    f"DELETE {V1}/studies/{{name}}/trials",
    f"GET {V1}/studies/{{name}}/trials/{{n}}",
    f"PATCH {V1}/studies/{{name}}/trials/{{n}}",
    f"DELETE {V1}/studies/{{name}}/trials/{{n}}",
    *(
        f"POST {V1}/studies/{{name}}/trials/{{n}}/{verb}"
        for verb in ("tell", "report", "renew", "release", "stop", "retry", "suggest")
    ),
    f"GET {V1}/events",
    f"GET {V1}/studies/{{name}}/events",
    "GET /optunapi/ping",
    "GET /optunapi/hparams/{model_name}",
    "GET /optunapi/score/{model_name}",
}
ON_STUDY = {"name-invalid", "study-not-found", "config-invalid", "request-invalid"}
ON_TRIAL = ON_STUDY | {"trial-not-found"}
READS_BODY = {"json-invalid", "too-large", "encoding-unsupported", "request-invalid"}
CHANGES = {"cross-site"}
ALWAYS = {"internal", "storage-unavailable", "standby"}
CHANGES_TRIAL = ON_TRIAL | CHANGES | {"study-replaced"}
HOLDER = CHANGES_TRIAL | READS_BODY | {"trial-finished", "trial-waiting", "lease-lost"}
REFUSALS: dict[str, set[str]] = {
    "list_studies": {"request-invalid"},
    "create_study": READS_BODY | CHANGES | {"name-invalid", "config-invalid", "spec-conflict"},
    "get_study": ON_STUDY,
    "change_study": ON_STUDY | READS_BODY | CHANGES,
    "delete_study": ON_STUDY | READS_BODY | CHANGES | {"study-busy"},
    "best_trials": ON_STUDY,
    "fork_study": ON_STUDY | READS_BODY | CHANGES | {"spec-conflict"},
    "summary": ON_STUDY,
    "importances": ON_STUDY,
    "export": ON_STUDY,
    "prune_artifacts": ON_STUDY | READS_BODY | CHANGES,
    "list_artifacts": ON_TRIAL | {"study-replaced"},
    "put_artifact": CHANGES_TRIAL | {"too-large", "encoding-unsupported"},
    "get_artifact": ON_TRIAL | {"artifact-not-found", "study-replaced"},
    "delete_artifact": CHANGES_TRIAL | READS_BODY | {"artifact-not-found"},
    "ask": ON_STUDY
    | READS_BODY
    | CHANGES
    | {
        "value-invalid",
        "key-reused",
        "lease-lost",
        "study-paused",
        "study-finished",
        "spec-conflict",
        "no-slot",
    },
    "list_trials": ON_STUDY,
    "cancel_trials": ON_STUDY | READS_BODY | CHANGES,
    "get_trial": ON_TRIAL | {"study-replaced"},
    "change_trial": CHANGES_TRIAL | READS_BODY,
    "cancel_trial": CHANGES_TRIAL | READS_BODY | {"trial-finished"},
    "retry": CHANGES_TRIAL
    | READS_BODY
    | {
        "value-invalid",
        "key-reused",
        "study-finished",
        "study-busy",
        "trial-finished",
        "trial-waiting",
    },
    "tell": HOLDER | {"value-invalid"},
    "report": HOLDER,
    "renew": HOLDER,
    "release": HOLDER,
    "stop": HOLDER - {"lease-lost"},
    "suggest": HOLDER | {"value-invalid"},
    "events": ON_STUDY,
}


@pytest.fixture(scope="module")
def document(wire: Wire) -> dict[str, Any]:
    found: dict[str, Any] = wire.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return component(document, schema["$ref"])
    return schema


def component(document: dict[str, Any], reference: str) -> dict[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def has_example(document: dict[str, Any], content: dict[str, Any]) -> bool:
    return bool(
        "example" in content
        or content.get("examples")
        or "examples" in resolved(document, content["schema"])
    )


def test_every_route_is_there(document: dict[str, Any]) -> None:
    assert {route for route, _ in operations(document)} >= ROUTES


def test_the_older_spellings_are_hidden(document: dict[str, Any]) -> None:
    assert not [path for path in document["paths"] if not path.startswith("/optunapi/")]
    assert "trail_id" not in str(document)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for below in value.values():
                yield from references(below)
        elif isinstance(value, list):
            for below in value:
                yield from references(below)

    found = set(references(document))
    assert found
    for reference in found:
        component(document, reference)


def test_every_route_says_what_it_is_and_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    found = [operation for _, operation in operations(document)]
    ids = [operation["operationId"] for operation in found]
    assert len(ids) == len(set(ids))
    assert set(REFUSALS) <= set(ids)
    for operation in found:
        assert operation["summary"]
        assert operation["tags"]


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (route, parameter["name"])
            assert parameter["schema"], (route, parameter["name"])


def test_every_route_lists_its_refusals_and_no_other(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        expected = REFUSALS.get(operation["operationId"])
        if expected is None:
            continue
        found: set[str] = set()
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            (media,) = response["content"]
            assert media == "application/problem+json", route
            content = response["content"][media]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in content["examples"].items():
                assert (CODES[code], code) == (int(status), example["value"]["code"])
                assert f"`{code}`" in response["description"]
                found.add(code)
        assert found == expected | ALWAYS, route


def test_what_may_be_tried_later_says_when(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            later = status in ("429", "503")
            assert ("Retry-After" in response.get("headers", {})) == later, (route, status)


def test_a_refused_method_is_documented_once_for_all(document: dict[str, Any]) -> None:
    refused = document["components"]["responses"]["MethodNotAllowed"]
    assert "Allow" in refused["headers"]
    (content,) = refused["content"].values()
    assert content["examples"]["method-not-allowed"]["value"]["status"] == 405


def test_every_route_that_reads_a_body_has_its_schema_and_an_example(
    document: dict[str, Any],
) -> None:
    reading = {f"{V1}/studies/{{name}}/trials/{{n}}/{verb}" for verb in ("tell", "report", "renew")}
    for route, operation in operations(document):
        method, path = route.split(" ")
        if method == "GET" or method == "DELETE":
            assert "requestBody" not in operation
            continue
        body = operation["requestBody"]
        for media, content in body["content"].items():
            assert content["schema"], route
            assert has_example(document, content), (route, media)
        if path in reading - {f"{V1}/studies/{{name}}/trials/{{n}}/tell"}:
            assert body["required"] is True
        reads_json = "application/json" in body["content"]
        expected = {"400", "413", "415", "422"} if reads_json else {"413", "415", "422"}
        assert expected <= set(operation["responses"])


def test_every_success_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    for route, operation in operations(document):
        good = {s: r for s, r in operation["responses"].items() if int(s) < 400}
        assert good, route
        for status, response in good.items():
            if status in ("204", "304"):
                assert "content" not in response
                continue
            assert response["content"], route
            for content in response["content"].values():
                if route != "GET /optunapi/ping":
                    assert has_example(document, content), route
                assert content["schema"], route


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    checked = 0
    for name, schema in schemas.items():
        for example in schema.get("examples", []):
            validator = jsonschema_rs.Draft202012Validator(
                {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
            )
            validator.validate(example)
            checked += 1
    assert checked > 10
    for _, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                (content,) = response["content"].values()
                for example in content["examples"].values():
                    validator = jsonschema_rs.Draft202012Validator(
                        {"$ref": "#/components/schemas/Problem", "components": {"schemas": schemas}}
                    )
                    validator.validate(example["value"])


def test_every_request_body_of_ours_is_a_component(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for model in Body.__subclasses__():
        assert schemas[model.__name__]["additionalProperties"] is False


def test_the_examples_of_bodies_are_taken_as_they_are(wire: Wire, document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    put = document["paths"][f"{V1}/studies/{{name}}"]["put"]["requestBody"]["content"]
    name = wire.new_name()
    (spec,) = put["application/json"]["schema"]["examples"]
    assert wire.request("PUT", f"/studies/{name}", json=spec).status_code == 201
    response = wire.request(
        "PUT",
        f"/studies/{wire.new_name()}",
        content=yaml.safe_dump(spec).encode(),
        headers={"Content-Type": "application/yaml"},
    )
    assert response.status_code == 201, response.text
    (ask,) = schemas["AskBody"]["examples"]
    lease = wire.ask(name, **ask)["lease"]["id"]
    for route, model in (("report", "ReportBody"), ("renew", "RenewBody"), ("tell", "TellBody")):
        (example,) = schemas[model]["examples"]
        wire.ok("POST", f"/studies/{name}/trials/0/{route}", json={**example, "lease": lease})
    (patch,) = schemas["StudyPatch"]["examples"]
    wire.ok("PATCH", f"/studies/{name}", json=patch)
