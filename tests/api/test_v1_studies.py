"""Studies over v1: every route's fields, statuses and codes."""

import logging
import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from optunapi.telemetry.events import StudyCreated
from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire
from tests.support import write_config

STUDY_FIELDS = {
    "name",
    "slug",
    "uid",
    "state",
    "finished_reason",
    "objectives",
    "metric_names",
    "metric_names_error",
    "parameters",
    "sampler",
    "pruner",
    "limits",
    "limits_source",
    "lease_seconds",
    "description",
    "max_attempts",
    "avoid_duplicates",
    "trials",
    "best",
    "spec_version",
    "config_error",
    "user_attrs",
    "created_at",
    "last_activity_at",
}
LIMITS = {
    "max_trials": None,
    "max_running": None,
    "max_duration": None,
    "max_failed_trials": None,
    "max_cost": None,
    "trial_timeout": None,
    "target": None,
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
EMPTY = {"waiting": 0, "running": 0, "complete": 0, "pruned": 0, "fail": 0}


# PUT and GET


def test_a_new_study_has_every_field_with_its_default(wire: Wire) -> None:
    name = wire.put(
        {"parameters": {"lr": {"type": "float", "low": 1e-5, "high": 0.01, "log": True}}}
    )
    study = wire.study(name)
    assert set(study) == STUDY_FIELDS
    created = study.pop("created_at")
    assert TIME.fullmatch(created)
    assert re.fullmatch("[0-9a-f]{12}", study.pop("spec_version"))
    assert study.pop("last_activity_at") is None or TIME.fullmatch(created)
    assert study == {
        "name": name,
        "uid": wire.study(name)["uid"],
        "slug": name,
        "state": "open",
        "finished_reason": None,
        "objectives": [{"name": "score", "direction": "minimize"}],
        "metric_names": None,
        "metric_names_error": None,
        "parameters": {
            "lr": {"type": "float", "low": 1e-5, "high": 0.01, "log": True, "step": None}
        },
        "sampler": {"name": "tpe", "engine": "rustuna"},
        "pruner": {"name": "none"},
        "limits": LIMITS,
        "lease_seconds": None,
        "max_attempts": 3,
        "avoid_duplicates": "running",
        "trials": EMPTY,
        "best": None,
        "config_error": None,
        "user_attrs": {},
        "description": None,
        "limits_source": dict.fromkeys((*LIMITS, "lease_seconds", "description")),
    }


def test_a_study_shows_what_its_specification_says(wire: Wire) -> None:
    name = wire.put(
        {
            "description": "a test",
            "objectives": {"accuracy": "maximize", "latency": "minimize"},
            "sampler": {"name": "random", "seed": 42},
            "max_trials": 200,
            "max_running": 16,
            "max_duration": "12h",
            "max_failed_trials": 20,
            "max_cost": 500,
            "trial_timeout": "6h",
            "target": {"accuracy": 0.95},
            "lease": "5m",
            "max_attempts": 5,
            "avoid_duplicates": "all",
            "user_attrs": {"team": "vision", "deep": {"a": [1, None]}},
            "parameters": {
                "opt": {"type": "categorical", "choices": ["sgd", "adam", None, True, 1.5]},
                "momentum": {"type": "float", "low": 0, "high": 0.99, "when": {"opt": "sgd"}},
                "layers": {"type": "int", "low": 2, "high": 8, "step": 2},
            },
        }
    )
    study = wire.study(name)
    assert study["objectives"] == [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "latency", "direction": "minimize"},
    ]
    assert study["limits"] == {
        "max_trials": 200,
        "max_running": 16,
        "max_duration": 43200.0,
        "max_failed_trials": 20,
        "max_cost": 500.0,
        "trial_timeout": 21600.0,
        "target": {"accuracy": 0.95},
    }
    assert study["parameters"] == {
        "opt": {"type": "categorical", "choices": ["sgd", "adam", None, True, 1.5]},
        "momentum": {
            "type": "float",
            "low": 0.0,
            "high": 0.99,
            "log": False,
            "step": None,
            "when": {"opt": ["sgd"]},
        },
        "layers": {"type": "int", "low": 2, "high": 8, "log": False, "step": 2},
    }
    assert list(study["parameters"]) == ["opt", "momentum", "layers"]
    assert study["sampler"] == {"name": "random", "seed": 42, "engine": "rustuna"}
    assert (study["lease_seconds"], study["max_attempts"]) == (300.0, 5)
    assert study["avoid_duplicates"] == "all"
    assert study["user_attrs"] == {"team": "vision", "deep": {"a": [1, None]}}


@pytest.mark.parametrize(
    ("sampler", "engine"),
    [
        ({"name": "tpe"}, "rustuna"),
        ({"name": "tpe", "engine": "rustuna"}, "rustuna"),
        ({"name": "tpe", "engine": "optuna"}, "optuna"),
        ({"name": "random", "engine": "auto"}, "rustuna"),
        ({"name": "qmc"}, "optuna"),
    ],
)
def test_a_study_and_the_log_say_what_draws_its_points(
    wire: Wire, caplog: pytest.LogCaptureFixture, sampler: dict[str, Any], engine: str
) -> None:
    with caplog.at_level(logging.INFO, "optunapi"):
        name = wire.put(SPACE, sampler=sampler)
        wire.ask(name)
    records = [vars(record).get("event") for record in caplog.records]
    (created,) = [e for e in records if isinstance(e, StudyCreated) and e.study == name]
    assert wire.study(name)["sampler"] == {**sampler, "engine": engine}
    assert (created.sampler, created.engine) == (sampler["name"], engine)


def test_optuna_draws_where_each_trial_names_its_own_parameters(wire: Wire) -> None:
    assert wire.study(wire.put({"parameters": {}}))["sampler"]["engine"] == "optuna"


@pytest.mark.parametrize(
    ("sampler", "parameters", "reason"),
    [
        (
            {"name": "tpe"},
            {"y": {"type": "float", "low": 0, "high": 1, "when": {"kind": "a"}}},
            "y has `when`",
        ),
        ({"name": "tpe", "n_ei_candidates": 7}, {}, "it has no `n_ei_candidates`"),
    ],
)
def test_rustuna_forced_where_it_cannot_is_refused_with_the_reason(
    wire: Wire, sampler: dict[str, Any], parameters: dict[str, Any], reason: str
) -> None:
    body = {
        "parameters": {"kind": {"type": "categorical", "choices": ["a", "b"]}, **parameters},
        "sampler": {**sampler, "engine": "rustuna"},
    }
    document = wire.refused("PUT", f"/studies/{wire.new_name()}", 422, "config-invalid", json=body)
    (error,) = document["errors"]
    assert error["key"] == "sampler.engine"
    assert error["reason"] == f"rustuna cannot do this study: {reason}"


def test_put_answers_201_first_and_200_for_the_same_specification(wire: Wire) -> None:
    name = wire.new_name()
    first = wire.request("PUT", f"/studies/{name}", json=SPACE)
    with wire.unchanged(name):
        again = wire.request("PUT", f"/studies/{name}", json=SPACE)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json() == wire.study(name)


def test_the_same_specification_may_be_written_in_other_words(wire: Wire) -> None:
    name = wire.put({"parameters": {"x": {"type": "float", "low": 0, "high": 1}}})
    same = [
        {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        [{"name": "x", "type": "float", "low": 0, "high": 1, "step": None, "log": False}],
        {
            "direction": "minimize",
            "sampler": {"name": "tpe"},
            "parameters": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        },
    ]
    for body in same:
        assert wire.request("PUT", f"/studies/{name}", json=body).status_code == 200


@pytest.mark.parametrize("media", ["application/yaml", "text/yaml; charset=utf-8"])
def test_a_specification_may_be_yaml(wire: Wire, media: str) -> None:
    name = wire.new_name()
    text = "max_trials: 7\nparameters:\n  lr: {type: float, low: 1e-5, high: 0.1, log: true}\n"
    put = wire.request(
        "PUT", f"/studies/{name}", content=text.encode(), headers={"Content-Type": media}
    )
    assert put.status_code == 201
    assert put.json()["limits"]["max_trials"] == 7
    assert put.json()["parameters"]["lr"]["low"] == 1e-5


def test_yaml_that_is_wrong_is_refused_with_its_lines(wire: Wire) -> None:
    name = wire.new_name()
    with wire.unchanged():
        document = wire.refused(
            "PUT",
            f"/studies/{name}",
            422,
            "config-invalid",
            content=b"x:\n  type: flaot\n  low: 0\n",
            headers={"Content-Type": "application/yaml"},
        )
    assert document["errors"][0]["line"] == 2
    assert "flaot" in document["errors"][0]["reason"]
    assert document["detail"].startswith("the body, line 2: x.type: ")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["", ".5"], ids=["int", "float"])
def test_a_number_of_base_60_without_end_is_refused_before_it_is_computed(
    wire: Wire, end: str
) -> None:
    number = "1" + ":1" * 200_000 + end
    document = wire.refused(
        "PUT",
        f"/studies/{wire.new_name()}",
        422,
        "config-invalid",
        content=f"x: {{type: float, low: 0, high: {number}}}".encode(),
        headers={"Content-Type": "application/yaml"},
    )
    assert "cannot be read as" in document["errors"][0]["reason"]


INVALID: list[dict[str, Any]] = [
    {},
    {"parameters": {"x": {"type": "float", "low": 1, "high": 0}}},
    {"parameters": {"x": {"type": "float", "low": "0", "high": 1}}},
    {"parameters": {"x": {"type": "float", "low": 0, "high": True}}},
    {"parameters": {"x": {"type": "float", "low": 0, "high": 10**400}}},
    {"parameters": {"x": {"type": "float", "low": 0, "high": 1, "log": True}}},
    {"parameters": {"x": {"type": "float", "low": 0, "high": 1, "log": "yes"}}},
    {"parameters": {"x": {"type": "categorical", "choices": []}}},
    {"parameters": {"x": {"type": "categorical", "choices": [1, 1]}}},
    {"parameters": {"x": {"type": "categorical", "choices": [[1]]}}},
    {"parameters": {}, "max_trials": 0},
    {"parameters": {}, "max_trials": "3"},
    {"parameters": {}, "max_trials": True},
    {"parameters": {}, "max_trials": 2.5},
    {"parameters": {}, "lease": -1},
    {"parameters": {}, "sampler": {"name": "unheard-of"}},
    {"parameters": {}, "sampler": {"name": "tpe", "unheard_of": 1}},
    {"parameters": {}, "objectives": {"a": "up"}},
    {"parameters": {}, "direction": "minimise"},
    {"parameters": {}, "enqueue": [{"x": 1, "y": {"z": 2}}]},
    {"parameters": 3},
]


@pytest.mark.parametrize("body", INVALID, ids=lambda body: str(body)[:70])
def test_an_invalid_specification_is_refused_and_leaves_no_file(
    wire: Wire, body: dict[str, Any]
) -> None:
    name = wire.new_name()
    with wire.unchanged():
        document = wire.refused("PUT", f"/studies/{name}", 422, "config-invalid", json=body)
        wire.refused("GET", f"/studies/{name}", 404, "study-not-found")
    assert all(set(error) == {"file", "line", "key", "reason"} for error in document["errors"])
    assert document["errors"]


def test_every_error_of_a_specification_is_told_at_once(wire: Wire) -> None:
    body = {"max_trails": 3, "lease": 0, "parameters": {"x": {"type": "float", "low": 1}}}
    document = wire.refused("PUT", f"/studies/{wire.new_name()}", 422, "config-invalid", json=body)
    keys = {error["key"] for error in document["errors"]}
    assert {"max_trails", "lease"} <= keys
    assert "max_trials" in str(document["errors"])  # the nearest valid key


def test_another_specification_is_a_conflict_with_the_difference(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=5)
    wire.ask(name)
    other = {
        "max_trials": 6,
        "parameters": {**SPACE["parameters"], "x": {"type": "float", "low": -10, "high": 11}},
    }
    with wire.unchanged(name):
        document = wire.refused("PUT", f"/studies/{name}", 409, "spec-conflict", json=other)
    assert {"key": "max_trials", "old": 5, "new": 6} in document["diff"]
    assert {"key": "parameters.x.high", "old": 10.0, "new": 11.0} in document["diff"]
    assert len(document["diff"]) == 2


def test_what_patch_changed_is_left_out_when_specifications_are_compared(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=5, user_attrs={"a": 1})
    wire.ok(
        "PATCH",
        f"/studies/{name}",
        json={"limits": {"max_trials": 50}, "lease_seconds": 9, "user_attrs": {"a": 2, "b": 3}},
    )
    same = {**SPACE, "max_trials": 5, "user_attrs": {"a": 1}}
    with wire.unchanged(name):
        put = wire.request("PUT", f"/studies/{name}", json=same)
    assert put.status_code == 200
    assert put.json()["limits"]["max_trials"] == 50


def test_put_of_the_stored_specification_is_harmless_at_any_time(wire: Wire) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name)["number"], value=1)
    wire.ok("PATCH", f"/studies/{name}", json={"state": "paused"})
    put = wire.request("PUT", f"/studies/{name}", json=SPACE)
    assert (put.status_code, put.json()["state"]) == (200, "paused")


# Studies of configuration files

CONFIG = "max_trials: 3\nparameters:\n  x: {type: float, low: 0, high: 1}\n"


def test_a_configuration_never_asked_from_is_a_study_without_trials_or_files(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    with wire.unchanged():
        study = wire.study(name)
        assert set(study) == STUDY_FIELDS
        assert (study["state"], study["trials"], study["best"]) == ("open", EMPTY, None)
        assert study["created_at"] is study["uid"] is None
        assert wire.ok("GET", f"/studies/{name}/trials") == {"items": [], "next": None}
        assert wire.ok("GET", f"/studies/{name}/best") == {"items": []}
        assert wire.ok("DELETE", f"/studies/{name}/trials?state=running") == {"cancelled": 0}
        wire.refused("GET", f"/studies/{name}/trials/0", 404, "trial-not-found")
        wire.refused("POST", f"/studies/{name}/trials/0/tell", 404, "trial-not-found")
        assert wire.request("DELETE", f"/studies/{name}").status_code == 204
        fixed = {"params": {"x": 2}}
        wire.refused("POST", f"/studies/{name}/trials", 422, "value-invalid", json=fixed)
        target = {"limits": {"target": {"y": 1}}}
        wire.refused("PATCH", f"/studies/{name}", 422, "request-invalid", json=target)


def test_a_configuration_rules_over_put(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    same = {"max_trials": 3, "parameters": {"x": {"type": "float", "low": 0, "high": 1}}}
    with wire.unchanged():
        assert wire.request("PUT", f"/studies/{name}", json=same).status_code == 200
        other = {**same, "max_trials": 4}
        document = wire.refused("PUT", f"/studies/{name}", 409, "spec-conflict", json=other)
    assert document["diff"] == [{"key": "max_trials", "old": 3, "new": 4}]
    wire.ask(name)
    assert wire.request("PUT", f"/studies/{name}", json=same).status_code == 200
    wire.refused("PUT", f"/studies/{name}", 409, "spec-conflict", json=other)


def test_a_configuration_that_was_never_valid_is_not_listed_and_its_get_says_why(
    wire: Wire,
) -> None:
    name = wire.configure("x: {type: float, low: 3, high: 1}\n")
    with wire.unchanged():
        for method, path in [
            ("GET", ""),
            ("GET", "/trials"),
            ("GET", "/best"),
            ("PATCH", ""),
            ("DELETE", ""),
            ("POST", "/trials"),
        ]:
            document = wire.refused(method, f"/studies/{name}{path}", 422, "config-invalid")
            assert document["errors"][0]["file"] == f"{name}.yaml"
            assert document["errors"][0]["line"] == 1
    assert name not in all_names(wire)


def test_a_configuration_broken_by_an_edit_shows_in_config_error(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    wire.ask(name)
    write_config(wire.home / "config" / f"{name}.yaml", "x: {type: flaot}\n")
    study = wire.study(name)
    assert "flaot" in study["config_error"]
    assert study["limits"]["max_trials"] == 3
    assert wire.ask(name)["number"] == 1
    write_config(wire.home / "config" / f"{name}.yaml", CONFIG)
    assert wire.study(name)["config_error"] is None


def test_a_configuration_the_history_cannot_live_with_shows_and_stops_asks(wire: Wire) -> None:
    name = wire.configure("kind: {type: categorical, choices: [a, b]}\n")
    wire.ask(name)
    write_config(wire.home / "config" / f"{name}.yaml", "kind: {type: int, low: 0, high: 1}\n")
    assert wire.study(name)["config_error"]
    with wire.unchanged(name):
        document = wire.refused("POST", f"/studies/{name}/trials", 409, "spec-conflict")
    assert document["diff"][0]["key"] == "parameters.kind.type"
    assert "fork" in document["detail"]
    assert wire.tell(name, 0, value=1)["state"] == "complete"


def test_a_deleted_study_with_a_configuration_starts_afresh(wire: Wire) -> None:
    name = wire.configure(CONFIG)
    wire.tell(name, wire.ask(name)["number"], value=1)
    assert wire.request("DELETE", f"/studies/{name}").status_code == 204
    assert wire.study(name)["trials"] == EMPTY
    assert wire.ask(name)["number"] == 0


# Listing


def all_names(wire: Wire, **query: Any) -> list[str]:
    names: list[str] = []
    page = wire.ok("GET", "/studies", params={**query, "limit": 7})
    while True:
        assert set(page) >= {"items", "next"}  # and `invalid`
        names += [study["name"] for study in page["items"]]
        if page["next"] is None:
            return names
        page = wire.ok("GET", "/studies", params={**query, "limit": 7, "page": page["next"]})


def test_studies_are_listed_page_by_page_in_the_order_of_their_names(wire: Wire) -> None:
    made = [wire.put() for _ in range(3)] + [wire.configure(CONFIG)]
    names = all_names(wire)
    assert names == sorted(set(names))
    assert set(made) <= set(names)
    listed = {s["name"]: s for s in wire.ok("GET", "/studies", params={"limit": 1000})["items"]}
    for name in made:
        assert listed[name] == wire.study(name)


def test_studies_are_listed_by_state(wire: Wire) -> None:
    opened, paused, stopped = wire.put(), wire.put(), wire.put()
    wire.ok("PATCH", f"/studies/{paused}", json={"state": "paused"})
    wire.ok("PATCH", f"/studies/{stopped}", json={"state": "finished"})
    for state, name in [("open", opened), ("paused", paused), ("finished", stopped)]:
        names = all_names(wire, state=state)
        assert {opened, paused, stopped} & set(names) == {name}
    wire.refused("GET", "/studies?state=stopped", 422, "request-invalid")


# PATCH


def test_a_study_is_paused_opened_and_finished(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    path = f"/studies/{name}"
    assert wire.ok("PATCH", path, json={"state": "paused"})["state"] == "paused"
    with wire.unchanged(name):
        wire.refused("POST", f"{path}/trials", 409, "study-paused")
    assert wire.ok("PATCH", path, json={"state": "open"})["state"] == "open"
    finished = wire.ok("PATCH", path, json={"state": "finished"})
    assert (finished["state"], finished["finished_reason"]) == ("finished", "stopped")
    assert wire.trial(name, 0)["stop_requested"] is True
    with wire.unchanged(name):
        document = wire.refused("POST", f"{path}/trials", 409, "study-finished")
    assert document["finished_reason"] == "stopped"
    assert wire.tell(name, 0, value=1)["state"] == "complete"  # tells are accepted in every state
    assert wire.ok("PATCH", path, json={"state": "open"})["finished_reason"] is None


def test_limits_change_one_by_one_and_null_lifts_one(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=1, max_running=4, target=0.1)
    wire.ask(name)
    path = f"/studies/{name}"
    wire.refused("POST", f"{path}/trials", 409, "study-finished")
    study = wire.ok("PATCH", path, json={"limits": {"max_trials": 2}})
    assert study["limits"] == {
        **LIMITS,
        "max_trials": 2,
        "max_running": 4,
        "target": {"score": 0.1},
    }
    assert wire.ask(name)["number"] == 1
    study = wire.ok("PATCH", path, json={"limits": {"max_trials": None, "target": None}})
    assert study["limits"] == {**LIMITS, "max_running": 4}
    every = {
        "max_trials": 10,
        "max_running": 2,
        "max_duration": 60.5,
        "max_failed_trials": 3,
        "max_cost": 1.5,
        "trial_timeout": 30.0,
        "target": {"score": 0.5},
    }
    assert wire.ok("PATCH", path, json={"limits": every})["limits"] == every
    assert wire.study(name)["spec_version"] == study["spec_version"]


def test_the_lease_and_the_attributes_of_a_study_change(wire: Wire) -> None:
    name = wire.put(SPACE, user_attrs={"kept": 1, "changed": 1})
    path = f"/studies/{name}"
    change = {"lease_seconds": 60, "user_attrs": {"changed": {"a": [None]}, "new": "ü"}}
    study = wire.ok("PATCH", path, json=change)
    assert study["lease_seconds"] == 60.0
    assert study["user_attrs"] == {"kept": 1, "changed": {"a": [None]}, "new": "ü"}
    assert wire.ask(name)["lease"] is not None
    assert wire.ok("PATCH", path, json={"user_attrs": {}})["lease_seconds"] == 60.0
    assert wire.ok("PATCH", path, json={"lease_seconds": None})["lease_seconds"] is None
    assert wire.ask(name)["lease"] is None


# DELETE


def test_a_study_with_running_trials_is_deleted_by_force_alone(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("DELETE", f"/studies/{name}", 409, "study-busy")
        wire.refused("DELETE", f"/studies/{name}?force=false", 409, "study-busy")
        wire.refused("DELETE", f"/studies/{name}?force=perhaps", 422, "request-invalid")
    response = wire.request("DELETE", f"/studies/{name}?force=true")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Cache-Control"] == "no-store"
    assert not (wire.home / "db" / f"{name}.db").exists()
    wire.refused("GET", f"/studies/{name}", 404, "study-not-found")
    wire.refused("DELETE", f"/studies/{name}", 404, "study-not-found")
    wire.refused("POST", f"/studies/{name}/trials/0/tell", 404, "study-not-found")


def test_a_name_may_be_used_again_after_a_deletion(wire: Wire) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name)["number"], value=1)
    assert wire.request("DELETE", f"/studies/{name}").status_code == 204
    put = wire.request("PUT", f"/studies/{name}", json={"parameters": {}})
    assert (put.status_code, put.json()["trials"]) == (201, EMPTY)


# Best


def test_the_best_is_of_the_direction_asked_for(wire: Wire) -> None:
    for direction, order in [("minimize", [1, 3, 0, 2]), ("maximize", [2, 0, 3, 1])]:
        name = wire.put(SPACE, direction=direction)
        for value in (3.0, 1.0, 4.0, 2.0):
            wire.tell(name, wire.ask(name)["number"], value=value)
        wire.ask(name)
        path = f"/studies/{name}/best"
        assert [t["number"] for t in wire.ok("GET", path)["items"]] == order[:1]
        assert [t["number"] for t in wire.ok("GET", f"{path}?n=3")["items"]] == order[:3]
        assert [t["number"] for t in wire.ok("GET", f"{path}?n=1000")["items"]] == order
        assert wire.ok("GET", path)["items"][0] == wire.trial(name, order[0])
        best = wire.study(name)["best"]
        trial = wire.trial(name, order[0])
        assert best == {key: trial[key] for key in ("number", "values", "params")}


def test_an_infeasible_trial_is_not_the_best(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.ask(name)
    told = wire.tell(name, 0, value=1, constraints={"memory": 0.5})
    assert told["constraints"] == {"memory": 0.5}
    assert wire.study(name)["best"] is None
    assert wire.ok("GET", f"/studies/{name}/best") == {"items": []}
    wire.tell(name, 1, value=2, constraints={"memory": -0.5})
    assert wire.study(name)["best"]["number"] == 1
    assert [t["number"] for t in wire.ok("GET", f"/studies/{name}/best?n=5")["items"]] == [1]


def test_with_several_objectives_the_best_is_the_pareto_front(wire: Wire) -> None:
    name = wire.put(SPACE, objectives={"a": "maximize", "b": "minimize"})
    for values in ([1, 1], [2, 2], [0, 2]):
        wire.tell(name, wire.ask(name)["number"], values=values)
    path = f"/studies/{name}/best"
    assert [t["number"] for t in wire.ok("GET", path)["items"]] == [0, 1]
    assert [t["number"] for t in wire.ok("GET", f"{path}?n=1")["items"]] == [0]
    assert wire.study(name)["best"]["number"] == 0
    wire.refused("GET", f"/studies/{name}/trials?order=value", 422, "request-invalid")


@pytest.mark.parametrize("n", ["0", "1001", "-1", "1.0", "one", "", "1_0"])
def test_how_many_of_the_best_is_a_number_from_1_to_1000(refused: Refused, n: str) -> None:
    refused("GET", f"/studies/{{s}}/best?n={n}", 422, "request-invalid")


# Studies that cannot be read


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0" + b"\0" * 200])
def test_a_file_that_is_no_database_is_one_studys_422_without_the_servers_paths(
    wire: Wire, content: bytes
) -> None:
    name, healthy = wire.new_name(), wire.put()
    path = wire.home / "db" / f"{name}.db"
    path.write_bytes(content)
    try:
        document = wire.refused("GET", f"/studies/{name}", 422, "config-invalid")
        assert str(wire.home) not in str(document)
        assert "sqlite://" not in str(document)
        assert name in all_names(wire)  # with the reason
        assert healthy in all_names(wire)
        assert path.read_bytes() == content
    finally:
        path.unlink()


def test_a_database_of_another_schema_is_refused_without_the_servers_paths(
    wire: Wire,
) -> None:
    for statements in (
        "CREATE TABLE notes (a)",
        "CREATE TABLE studies (a); CREATE TABLE alembic_version (version_num); "
        "INSERT INTO alembic_version VALUES ('v2.0.0.a')",
    ):
        name = wire.new_name()
        path = wire.home / "db" / f"{name}.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statements)
        try:
            document = wire.refused("GET", f"/studies/{name}", 422, "config-invalid")
            assert str(wire.home) not in str(document)
            assert "sqlite://" not in str(document)
        finally:
            path.unlink()
