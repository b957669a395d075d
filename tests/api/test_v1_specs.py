"""A study's specification over v1: looked at, changed while the study lives, taken back."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from optunapi.engine.spec.files import spec_from_yaml
from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire

WIDER = {"parameters": {**SPACE["parameters"], "x": {"type": "float", "low": -20, "high": 20}}}
OTHER_KIND = {"parameters": {**SPACE["parameters"], "x": {"type": "int", "low": 0, "high": 1}}}


def spec(wire: Wire, name: str) -> Any:
    return wire.ok("GET", f"/studies/{name}/spec")


def set_spec(wire: Wire, name: str, document: Any) -> Any:
    return wire.ok("POST", f"/studies/{name}/spec", json=document)


def test_a_specification_is_shown_with_its_version_and_source(wire: Wire) -> None:
    name = wire.put(max_trials=5, description="what for")
    found, study = spec(wire, name), wire.study(name)
    assert found["source"] == "http"
    assert (found["spec"]["max_trials"], found["spec"]["parameters"].keys()) == (5, {"x", "n"})
    assert found["versions"] == [
        {
            "spec_version": found["spec_version"],
            "since": study["created_at"],
            "first_trial": 0,
        }
    ]
    assert (study["spec_version"], study["description"]) == (found["spec_version"], "what for")


def test_a_shown_specification_can_be_sent_back_as_it_is(wire: Wire) -> None:
    name = wire.put(max_trials=5, sampler={"name": "tpe", "seed": 1}, enqueue=[{"n": 2}])
    found = spec(wire, name)
    assert wire.request("PUT", f"/studies/{name}", json=found["spec"]).status_code == 200
    assert set_spec(wire, name, found["spec"])["spec_version"] == found["spec_version"]
    text = wire.request("GET", f"/studies/{name}/spec", headers={"Accept": "application/yaml"})
    assert text.headers["Content-Type"].startswith("application/yaml")
    assert spec_from_yaml(text.text).version == found["spec_version"]
    assert yaml.safe_load(text.text) == found["spec"]
    assert len(spec(wire, name)["versions"]) == 1


def test_another_specification_counts_from_the_next_ask_on(wire: Wire) -> None:
    name = wire.put()
    first = wire.ask(name)
    study = set_spec(wire, name, {**WIDER, "sampler": {"name": "random"}, "max_trials": 2})
    assert study["parameters"]["x"]["high"] == 20
    assert (study["sampler"]["name"], study["limits"]["max_trials"]) == ("random", 2)
    assert study["limits_source"]["max_trials"] == "http"
    second = wire.ask(name)
    versions = spec(wire, name)["versions"]
    assert [each["first_trial"] for each in versions] == [0, 1]
    assert [each["spec_version"] for each in versions] == [
        first["spec_version"],
        second["spec_version"],
    ]
    assert first["spec_version"] != second["spec_version"] == study["spec_version"]


def test_an_earlier_specification_can_be_taken_back_by_its_version(wire: Wire) -> None:
    name = wire.put(enqueue=[{"n": 1}])
    former = wire.study(name)
    set_spec(wire, name, WIDER)
    back = set_spec(wire, name, {"version": former["spec_version"]})
    assert back["parameters"] == former["parameters"]
    assert back["spec_version"] == former["spec_version"]
    assert back["trials"]["waiting"] == 1, "a point of `enqueue` is queued once"
    assert len(spec(wire, name)["versions"]) == 3
    again = set_spec(wire, name, {"version": former["spec_version"]})
    assert again["spec_version"] == former["spec_version"]
    assert len(spec(wire, name)["versions"]) == 3
    with wire.unchanged(name):
        wire.refused(
            "POST", f"/studies/{name}/spec", 422, "request-invalid", json={"version": "0" * 12}
        )


def test_a_queued_trial_has_the_version_under_which_it_is_handed_out(wire: Wire) -> None:
    name = wire.put(enqueue=[{"n": 1}])
    study = set_spec(wire, name, WIDER)
    asked = wire.ask(name)
    assert (asked["params"]["n"], asked["spec_version"]) == (1, study["spec_version"])
    assert asked["distributions"] == {}


def test_a_yaml_body_is_taken_and_a_parameter_may_be_called_version(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    path, headers = f"/studies/{name}/spec", {"Content-Type": "application/yaml"}
    content = "version: {type: float, low: 0, high: 1}\n"
    study = wire.ok("POST", path, content=content, headers=headers)
    assert study["parameters"].keys() == {"version"}
    short = {"version": {"type": "float", "low": 0, "high": 2}}
    assert set_spec(wire, name, short)["parameters"]["version"]["high"] == 2


def test_what_the_history_cannot_live_with_is_refused_with_the_difference(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    with wire.unchanged(name):
        path = f"/studies/{name}/spec"
        document = wire.refused("POST", path, 409, "spec-conflict", json=OTHER_KIND)
        assert [each["key"] for each in document["diff"]] == ["parameters.x.type"]
        objectives = {**SPACE, "direction": "maximize"}
        document = wire.refused("POST", path, 409, "spec-conflict", json=objectives)
        assert [each["key"] for each in document["diff"]] == ["objectives"]
        wire.refused("POST", path, 422, "config-invalid", json={"parameters": {"x": {}}})
        wire.refused("POST", path, 422, "request-invalid", json="text")


def test_a_study_without_trials_has_no_history_that_a_change_could_contradict(wire: Wire) -> None:
    name = wire.put({"parameters": {"x": {"type": "int", "low": 1, "high": 9}}})
    for parameter in (
        {"type": "float", "low": 0.5, "high": 9, "log": True},
        {"type": "float", "low": -1, "high": 9},
        {"type": "categorical", "choices": ["a", "b"]},
        {"type": "categorical", "choices": ["b", 1]},
    ):
        spec = {"parameters": {"x": parameter}}
        found = wire.ok("POST", f"/studies/{name}/spec", json=spec)["parameters"]["x"]
        assert {**found, **parameter} == found
    objectives = {"objectives": {"a": "minimize", "b": "maximize"}}
    body = {**spec, **objectives}
    problem = wire.refused("POST", f"/studies/{name}/spec", 409, "spec-conflict", json=body)
    assert [each["key"] for each in problem["diff"]] == ["objectives"]
    assert wire.ask(name)["params"]["x"] in ("b", 1)
    body = {"parameters": {"x": {"type": "categorical", "choices": ["a", 1]}}}
    wire.refused("POST", f"/studies/{name}/spec", 409, "spec-conflict", json=body)


def test_a_suggested_parameter_is_history_too(wire: Wire) -> None:
    name = wire.put({"parameters": {}})
    wire.ask(name)
    path, float_ = f"/studies/{name}/trials/0", {"type": "float", "low": 0, "high": 1}
    body = {"name": "x", "distribution": float_}
    wire.ok("POST", f"{path}/suggest", json=body)
    assert wire.trial(name, 0)["distributions"] == {
        "x": {"type": "float", "low": 0.0, "high": 1.0, "log": False, "step": None}
    }
    with wire.unchanged(name):
        wire.refused("POST", f"/studies/{name}/spec", 409, "spec-conflict", json=OTHER_KIND)


def test_a_configuration_file_rules(wire: Wire) -> None:
    name = wire.configure("parameters:\n  x: {type: float, low: 0, high: 1}\nmax_trials: 3\n")
    path = f"/studies/{name}/spec"
    for _ in ("never asked from", "asked from"):
        found = spec(wire, name)
        assert found["source"] == "file"
        assert set_spec(wire, name, found["spec"])["spec_version"] == found["spec_version"]
        document = wire.refused("POST", path, 409, "spec-conflict", json={"parameters": {}})
        assert {"max_trials", "parameters.x"} <= {each["key"] for each in document["diff"]}
        wire.ask(name)


def test_who_may_not_is_refused(wire: Wire, refused: Refused) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    refused("POST", "/studies/{s}/spec", 403, "cross-site", json=WIDER, headers=headers)
    wire.refused("POST", "/studies/never/spec", 404, "study-not-found", json=WIDER)
    wire.refused("GET", "/studies/never/spec", 404, "study-not-found")


def test_concurrent_changes_come_one_after_another(wire: Wire) -> None:
    name = wire.put()
    documents = [{**SPACE, "max_trials": n} for n in range(1, 13)]
    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(lambda each: set_spec(wire, name, each), documents))
    versions = [each["spec_version"] for each in spec(wire, name)["versions"]]
    assert len(versions) == len(set(versions)) == 13
    assert wire.study(name)["spec_version"] == versions[-1]
    assert wire.study(name)["limits"]["max_trials"] in range(1, 13)
    assert len(studies) == 12


@pytest.mark.parametrize("description", ["line one\nline two", "", None])
def test_a_description_is_shown_and_may_be_changed(wire: Wire, description: str | None) -> None:
    name = wire.put(description="first")
    path = f"/studies/{name}"
    assert wire.ok("PATCH", path, json={"description": description})["description"] == description
    assert wire.study(name)["limits_source"]["description"] == "patch"
    assert wire.ok("PATCH", path, json={})["description"] == description
    assert set_spec(wire, name, {**SPACE, "description": "later"})["description"] == "later"
    assert wire.study(name)["limits_source"]["description"] == "http"


def test_rates_leave_out_what_a_person_cancelled_or_stopped(wire: Wire) -> None:
    name = wire.put()
    for _ in range(6):
        wire.ask(name)
    wire.tell(name, 0, value=1)
    wire.tell(name, 1, state="pruned", values=[2])
    wire.tell(name, 2, state="fail", reason="oom")
    wire.tell(name, 3, state="fail", reason="stopped")
    wire.ok("DELETE", f"/studies/{name}/trials?state=running")
    found = wire.ok("GET", f"/studies/{name}/summary")
    rates = [found[f"{kind}_rate"] for kind in ("completion", "prune", "failure")]
    assert rates == [pytest.approx(1 / 3)] * 3
    assert found["failures_by_reason"] == {"oom": 1, "stopped": 1, "cancelled": 2}
