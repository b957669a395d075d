"""Analysis over v1: summary, importances, the best trials of several objectives."""

import json
import math

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import create_trial

from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire

KEYS = {
    *("completion_rate", "prune_rate", "failure_rate", "failures_by_reason"),
    *("mean_duration", "median_duration", "cost_total", "best_curve"),
    *("time_to_best", "trials_to_best", "workers", "storage_latency"),
}
TWO = {"accuracy": "maximize", "latency": "minimize"}


def test_the_summary_has_every_figure(wire: Wire) -> None:
    name = wire.put()
    for number, value in enumerate((4.0, 2.0, 3.0)):
        wire.ask(name, worker=f"w{number}", user_attrs={"cost": 1.5})
        wire.tell(name, number, value=value)
    wire.ask(name, worker="w0")
    wire.tell(name, 3, state="fail", reason="oom")
    wire.ask(name, worker="w0")
    found = wire.ok("GET", f"/studies/{name}/summary")
    assert set(found) >= KEYS
    assert (found["completion_rate"], found["prune_rate"], found["failure_rate"]) == (0.75, 0, 0.25)
    assert found["failures_by_reason"] == {"oom": 1}
    assert found["cost_total"] == 4.5
    assert [(p["number"], p["value"]) for p in found["best_curve"]] == [(0, 4.0), (1, 2.0)]
    assert found["best_curve"][1]["finished_at"] == wire.trial(name, 1)["finished_at"]
    assert found["trials_to_best"] == 2
    assert found["time_to_best"] >= 0
    assert [(w["name"], w["running"]) for w in found["workers"]] == [
        ("w0", 1),
        ("w1", 0),
        ("w2", 0),
    ]
    assert found["workers"][0]["last_seen"] == wire.trial(name, 4)["started_at"]
    assert 0 < found["storage_latency"]["p50"] <= found["storage_latency"]["p99"]


@pytest.mark.parametrize("cost", [10**400, -(10**400), 1.7e308], ids=["large", "negative", "two"])
def test_costs_beyond_what_a_float_holds_break_neither_figures_nor_export(
    wire: Wire, cost: float
) -> None:
    name = wire.put()
    for _ in range(2):
        wire.ask(name, user_attrs={"cost": cost})
    assert wire.ok("GET", f"/studies/{name}/summary")["cost_total"] is None
    assert wire.request("GET", f"/studies/{name}/export").text.count("\n") == 2


def test_a_study_never_asked_from_has_empty_figures_and_gets_no_file(wire: Wire) -> None:
    name = wire.configure("x: {type: float, low: 0, high: 1}")
    with wire.unchanged():
        found = wire.ok("GET", f"/studies/{name}/summary")
        assert found["completion_rate"] is None
        assert found["best_curve"] == []
        assert found["storage_latency"] is None
        assert wire.ok("GET", f"/studies/{name}/importances") == {"importances": {}}


def test_importances_add_up_to_one_and_grow_with_the_study(wire: Wire) -> None:
    name = wire.put(sampler={"name": "random", "seed": 1})
    path = f"/studies/{name}/importances"
    for number in range(20):
        assert wire.ok("GET", path)["importances"] == {} or number > 1
        trial = wire.ask(name)
        wire.tell(name, number, value=trial["params"]["x"] ** 2)
    found = wire.ok("GET", path)["importances"]
    assert list(found) == ["x", "n"]
    assert math.isclose(sum(found.values()), 1)


def test_importances_are_of_the_first_objective_or_the_one_that_is_named(wire: Wire) -> None:
    name = wire.put(objectives=TWO, sampler={"name": "random", "seed": 1})
    for number in range(30):
        params = wire.ask(name)["params"]
        wire.tell(name, number, values=[params["x"], params["n"]])
    path = f"/studies/{name}/importances"
    first = wire.ok("GET", path)
    assert first == wire.ok("GET", f"{path}?objective=accuracy")
    assert next(iter(first["importances"])) == "x"
    assert next(iter(wire.ok("GET", f"{path}?objective=latency")["importances"])) == "n"
    document = wire.refused("GET", f"{path}?objective=size", 422, "request-invalid")
    assert document["errors"][0]["location"] == ["query", "objective"]


@pytest.mark.parametrize("what", ["summary", "importances", "export"])
def test_unknown_studies_are_not_found(refused: Refused, what: str) -> None:
    refused("GET", f"/studies/nobody/{what}", 404, "study-not-found")
    refused("GET", f"/studies/-/{what}", 422, "name-invalid")


def test_the_whole_front_is_returned_unless_a_number_is_given(wire: Wire) -> None:
    name = wire.put(objectives=TWO)
    results = [(0.5, 5.0, 0), (0.9, 9.0, -1), (0.4, 6.0, 0), (1.0, 1.0, 0.1), (0.1, 1.0, 0)]
    for number, (accuracy, latency, size) in enumerate(results):
        wire.ask(name)
        wire.tell(name, number, values=[accuracy, latency], constraints={"size": size})
    path = f"/studies/{name}/best"
    assert [trial["number"] for trial in wire.ok("GET", path)["items"]] == [0, 1, 4]
    assert [trial["number"] for trial in wire.ok("GET", f"{path}?n=2")["items"]] == [0, 1]
    assert wire.study(name)["best"] == {
        "number": 0,
        "values": [0.5, 5.0],
        "params": wire.trial(name, 0)["params"],
    }


def test_values_are_in_the_order_of_the_objectives(wire: Wire) -> None:
    name = wire.put(objectives={"b": "minimize", "a": "maximize"})
    wire.ask(name)
    assert wire.tell(name, 0, values=[1.5, 2.5])["values"] == [1.5, 2.5]
    assert [each["name"] for each in wire.study(name)["objectives"]] == ["b", "a"]


@pytest.mark.parametrize("constraint", ["NaN", "Infinity", "1e999"])
def test_a_constraint_that_is_no_finite_number_is_refused(
    refused: Refused, constraint: str
) -> None:
    text = f'{{"value": 1, "constraints": {{"size": {constraint}}}}}'
    refused("POST", "/studies/{s}/trials/1/tell", 400, "json-invalid", content=text)


def test_a_repeated_tell_changes_no_constraint(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.tell(name, 0, value=1, constraints={"size": 2.0})
    again = wire.tell(name, 0, value=1, constraints={"size": -1.0, "time": 0.0})
    assert again["constraints"] == {"size": 2.0}
    assert wire.study(name)["best"] is None


def test_tpe_sees_constraints_told_over_the_wire_as_a_local_study_does(wire: Wire) -> None:
    space = {
        "x": optuna.distributions.FloatDistribution(-10, 10),
        "n": optuna.distributions.IntDistribution(1, 9),
    }
    local = optuna.create_study(sampler=TPESampler(seed=3))
    sampler = {"name": "tpe", "seed": 3, "engine": "optuna"}
    name = wire.put(SPACE, sampler=sampler, avoid_duplicates="off")
    for number in range(25):
        expected = local.ask(space)
        params = wire.ask(name)["params"]
        assert params == expected.params, number
        value, size = params["x"] ** 2 + params["n"], params["x"] - 1.0
        expected.set_constraint("size", size)
        local.tell(expected, value)
        wire.tell(name, number, value=value, constraints={"size": size})
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    assert [trial.constraints for trial in stored.trials] == [t.constraints for t in local.trials]


def test_infinite_values_of_optunas_own_do_not_break_figures(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    stored.add_trial(create_trial(value=math.inf, user_attrs={"cost": 1}))
    wire.ask(name)  # a write loads what others wrote
    text = wire.request("GET", f"/studies/{name}/summary").text
    assert "Infinity" not in text
    assert json.loads(text)["completion_rate"] == 1.0
