"""The objectives' names are one for us and for Optuna, whoever made the study or named them."""

from typing import Any

import optuna
import pytest

from optunapi.engine.records import SPEC
from tests.api.wire import SPACE, Wire
from tests.support import write_config

METRIC_NAMES = "study:metric_names"  # where Optuna keeps them, in a system attribute

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

TWO = {"loss": "minimize", "acc": "maximize"}
DIRECTIONS = list(TWO.values())


def of_optuna(wire: Wire, name: str) -> optuna.Study:
    """The study of the server, as Optuna loads it."""
    return optuna.load_study(study_name=name, storage=storage(wire, name))


def made_by_optuna(wire: Wire, names: Any = None, directions: Any = DIRECTIONS) -> optuna.Study:
    """A study that the server has not seen yet; `names` are stored as they are."""
    name = wire.new_name()
    study = optuna.create_study(study_name=name, storage=storage(wire, name), directions=directions)
    if names is not None:
        study._storage.set_study_system_attr(study._study_id, METRIC_NAMES, names)
    return study


def storage(wire: Wire, name: str) -> str:
    return f"sqlite:///{wire.home / 'db' / name}.db"


def shown(wire: Wire, name: str) -> list[str]:
    """The names that the server shows."""
    return [each["name"] for each in wire.study(name)["objectives"]]


def taken_in(wire: Wire, name: str) -> None:
    """A commit to the study, before which the server takes in what others wrote."""
    wire.ok("PATCH", f"/studies/{name}", json={"user_attrs": {"seen": True}})


# Made here


def test_optuna_sees_the_names_of_a_study_made_by_put(wire: Wire) -> None:
    name = wire.put(objectives=TWO)
    assert of_optuna(wire, name).metric_names == ["loss", "acc"]
    assert wire.study(name)["metric_names"] == ["loss", "acc"]
    assert of_optuna(wire, wire.put(objectives={"loss": "minimize"})).metric_names == ["loss"]


def test_optuna_sees_the_names_of_a_configuration_file(wire: Wire) -> None:
    name = wire.configure("objectives: {loss: minimize, acc: maximize}\nparameters: {}\n")
    assert wire.study(name)["metric_names"] == ["loss", "acc"]
    wire.ask(name)
    assert of_optuna(wire, name).metric_names == ["loss", "acc"]


@pytest.mark.parametrize("text", ["x: {type: float, low: 0, high: 1}", "parameters: {}"])
def test_a_name_that_nobody_gave_is_left_to_optuna(wire: Wire, text: str) -> None:
    name = wire.configure(text)
    wire.ask(name)
    wire.tell(name, 0, value=0.5)
    assert shown(wire, name) == ["score"]
    assert wire.study(name)["metric_names"] is None
    assert of_optuna(wire, name).metric_names is None


def test_a_study_of_an_earlier_server_gets_its_names_when_it_is_opened(wire: Wire) -> None:
    study = made_by_optuna(wire)
    spec = {"objectives": TWO, "parameters": {}}
    study._storage.set_study_system_attr(study._study_id, SPEC, spec)
    assert shown(wire, study.study_name) == ["loss", "acc"]
    assert of_optuna(wire, study.study_name).metric_names == ["loss", "acc"]


def test_a_fork_has_the_names_too(wire: Wire) -> None:
    study = made_by_optuna(wire, ["loss", "acc"])
    copy = wire.new_name()
    wire.ok("POST", f"/studies/{study.study_name}/fork", json={"name": copy})
    assert shown(wire, copy) == ["loss", "acc"]
    assert of_optuna(wire, copy).metric_names == ["loss", "acc"]
    unnamed = wire.new_name()
    wire.ok("POST", f"/studies/{made_by_optuna(wire).study_name}/fork", json={"name": unnamed})
    assert of_optuna(wire, unnamed).metric_names is None


# Made by Optuna


def test_a_study_that_optuna_named_has_those_names_everywhere(wire: Wire) -> None:
    study = made_by_optuna(wire, ["loss", "acc"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=3)
    name = study.study_name
    assert wire.study(name)["objectives"] == [
        {"name": "loss", "direction": "minimize"},
        {"name": "acc", "direction": "maximize"},
    ]
    assert wire.ok("GET", f"/studies/{name}/spec")["spec"]["objectives"] == [
        {"name": "loss", "direction": "minimize"},
        {"name": "acc", "direction": "maximize"},
    ]
    found = wire.ok("GET", f"/studies/{name}/importances?objective=loss")["importances"]
    assert found == {"x": 1.0}
    assert wire.ok("GET", f"/studies/{name}/importances?objective=acc")["importances"] == {}
    wire.refused("GET", f"/studies/{name}/importances?objective=score_0", 422, "request-invalid")
    table = wire.request("GET", f"/studies/{name}/export?format=csv").text
    assert table.splitlines()[0].startswith("number,state,values_loss,values_acc,params_x,")
    limits = wire.ok("PATCH", f"/studies/{name}", json={"limits": {"target": {"acc": 2}}})["limits"]
    assert limits["target"] == {"acc": 2}


def test_names_that_optuna_sets_while_the_study_is_open_are_seen(wire: Wire) -> None:
    name = wire.put(objectives=TWO)
    of_optuna(wire, name).set_metric_names(["val/loss", "top 1, %"])
    taken_in(wire, name)
    assert shown(wire, name) == ["val/loss", "top 1, %"]
    assert wire.study(name)["metric_names"] == ["val/loss", "top 1, %"]
    header = wire.request("GET", f"/studies/{name}/export?format=csv").text.splitlines()[0]
    assert header.startswith('number,state,values_val/loss,"values_top 1, %",')


def test_a_study_that_was_renamed_is_the_same_to_its_configuration(wire: Wire) -> None:
    name = wire.put(objectives=TWO)
    version = wire.study(name)["spec_version"]
    of_optuna(wire, name).set_metric_names(["a", "b"])
    taken_in(wire, name)
    given = {**SPACE, "objectives": TWO}
    assert wire.ok("PUT", f"/studies/{name}", json=given)["spec_version"] == version
    spec = wire.ok("GET", f"/studies/{name}/spec")["spec"]
    assert wire.ok("PUT", f"/studies/{name}", json=spec)["spec_version"] == version
    for limit, same in ((10, spec), (20, given)):
        changed = {**same, "max_trials": limit}
        assert (
            wire.ok("POST", f"/studies/{name}/spec", json=changed)["limits"]["max_trials"] == limit
        )
        assert shown(wire, name) == ["a", "b"]
        wire.ask(name)


def test_a_target_means_the_same_objective_after_a_change_of_names(wire: Wire) -> None:
    name = wire.put(objectives=TWO, target={"acc": 0.5})
    study = of_optuna(wire, name)
    for times, names in enumerate((["acc", "loss"], ["a", "b"], ["loss", "acc"])):
        study.set_metric_names(names)
        taken_in(wire, name)
        expected = {names[1]: 0.5} | ({names[0]: 3} if times else {})
        assert wire.study(name)["limits"]["target"] == expected
        limits = {"target": {names[0]: 3, names[1]: 0.5}}
        wire.ok("PATCH", f"/studies/{name}", json={"limits": limits})
    assert wire.study(name)["limits"]["target"] == {"loss": 3, "acc": 0.5}
    assert wire.study(name)["state"] == "open"
    wire.ask(name)
    wire.tell(name, 0, values=[2, 0.5])
    assert wire.study(name)["finished_reason"] == "target"


@pytest.mark.parametrize(
    "names",
    [
        *(["", "acc"], ["loss", "loss"], ["loss"], ["a", "b", "c"], [], [" loss", "acc"]),
        *(
            ["loss", None],
            [1, 2],
            [["loss"], {}],
            ["x" * 300, "acc"],
            ["new\nline", "acc"],
            ["\ud800", "acc"],
        ),
        *("loss", {"loss": "acc"}, 7, True, 0.5, {}, ""),
    ],
)
def test_names_that_cannot_be_used_are_named_and_break_nothing(wire: Wire, names: Any) -> None:
    study = made_by_optuna(wire, names)
    name = study.study_name
    assert shown(wire, name) == ["score_0", "score_1"]
    found = wire.study(name)
    assert found["metric_names"] is None
    assert found["metric_names_error"]
    wire.ask(name)
    wire.tell(name, 0, values=[1, 2])
    assert name in [each["name"] for each in wire.ok("GET", "/studies?limit=1000")["items"]]
    assert wire.request("GET", f"/studies/{name}/export?format=csv").is_success
    study.set_metric_names(["loss", "acc"])
    taken_in(wire, name)
    assert shown(wire, name) == ["loss", "acc"]
    assert wire.study(name)["metric_names_error"] is None


def test_a_configuration_names_the_objectives_of_a_study_that_optuna_did_not_name(
    wire: Wire,
) -> None:
    study = made_by_optuna(wire)
    name = study.study_name
    assert shown(wire, name) == ["score_0", "score_1"]
    config = wire.home / "config" / f"{name}.yaml"
    write_config(config, "objectives: {loss: minimize, acc: maximize}\nparameters: {}\n")
    assert shown(wire, name) == ["loss", "acc"]
    assert study.metric_names == ["loss", "acc"]
    assert wire.ask(name)["number"] == 0
    study.set_metric_names(["a", "b"])
    taken_in(wire, name)
    assert shown(wire, name) == ["a", "b"]
    assert wire.ask(name)["number"] == 1


def test_a_configuration_that_swaps_the_names_of_optuna_is_refused(wire: Wire) -> None:
    study = made_by_optuna(wire, ["loss", "time"], ["minimize", "minimize"])
    name = study.study_name
    config = wire.home / "config" / f"{name}.yaml"
    write_config(config, "objectives: {time: minimize, loss: minimize}\nparameters: {}\n")
    assert wire.study(name)["config_error"]
    assert shown(wire, name) == ["loss", "time"]
    refusal = wire.refused("POST", f"/studies/{name}/trials", 409, "spec-conflict", json={})
    assert refusal["diff"][0]["key"] == "objectives"


def test_a_configuration_without_names_leaves_those_of_optuna(wire: Wire) -> None:
    study = made_by_optuna(wire, ["loss"], ["minimize"])
    name = study.study_name
    config = wire.home / "config" / f"{name}.yaml"
    write_config(config, "x: {type: float, low: 0, high: 1}\n")
    assert wire.ask(name)["params"].keys() == {"x"}
    assert shown(wire, name) == ["loss"]
    assert study.metric_names == ["loss"]


def test_the_old_routes_serve_a_study_that_optuna_named(wire: Wire) -> None:
    study = made_by_optuna(wire, ["loss", "acc"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=1)
    name = study.study_name
    number = wire.client.get(f"/optunapi/hparams/{name}").json()["trial_id"]
    score = wire.client.get(f"/optunapi/score/{name}?trial_id={number}&score=0.5&score=2").json()
    assert score["score"] == [0.5, 2.0]


# By hand


def test_names_set_by_hand_are_optunas(wire: Wire) -> None:
    name = wire.put(objectives=TWO)
    body = {"metric_names": ["a", "b"], "limits": {"target": {"b": 5}}}
    study = wire.ok("PATCH", f"/studies/{name}", json=body)
    assert study["metric_names"] == ["a", "b"]
    assert study["limits"]["target"] == {"b": 5}
    assert of_optuna(wire, name).metric_names == ["a", "b"]


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["", "b"], [], "ab", ["a", 1]])
def test_names_by_hand_that_cannot_be_used_are_refused(wire: Wire, names: Any) -> None:
    name = wire.put(objectives=TWO)
    with wire.unchanged(name):
        body = {"metric_names": names}
        refusal = wire.refused("PATCH", f"/studies/{name}", 422, "request-invalid", json=body)
    assert refusal["errors"][0]["location"][:2] == ["body", "metric_names"]
