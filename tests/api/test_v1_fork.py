"""Forks over v1: the remedy when a configuration no longer fits a study's trials."""

from pathlib import Path

import httpx
import optuna
import pytest

from tests.api.conftest import Refused
from tests.api.wire import SPACE, Wire, wire_of
from tests.support import write_config

LINE = "x: {type: float, low: 0, high: 1}\nc: {type: categorical, choices: [a, b]}\n"
WIDER = "x: {type: float, low: 0, high: 1}\nc: {type: categorical, choices: [b, c]}\n"


def finished(wire: Wire, name: str, *points: dict[str, object]) -> None:
    for value, point in enumerate(points):
        number = wire.ask(name, params=point, user_attrs={"was": value})["number"]
        wire.tell(name, number, value=value)


def fork(wire: Wire, old: str, new: str) -> httpx.Response:
    return wire.request("POST", f"/studies/{old}/fork", json={"name": new})


def test_a_fork_is_a_study_with_the_same_specification_and_history(wire: Wire) -> None:
    old, new = wire.put(description="first", max_trials=9), wire.new_name()
    finished(wire, old, {"x": 1.5, "n": 2}, {"x": 0.5, "n": 3})
    wire.ask(old)
    forked = fork(wire, old, new)
    assert forked.status_code == 201
    assert forked.headers["Cache-Control"] == "no-store"
    study, origin = wire.study(new), wire.study(old)
    assert forked.json() == study
    for same in ("objectives", "parameters", "sampler", "limits", "spec_version", "best"):
        assert study[same] == origin[same]
    assert study["uid"] != origin["uid"]
    assert study["trials"] == {"waiting": 0, "running": 0, "complete": 2, "pruned": 0, "fail": 0}
    for number in range(2):
        own = {"study": new, "study_uid": study["uid"]}
        assert wire.trial(new, number) == wire.trial(old, number) | own
    assert wire.ask(new)["number"] == 2
    assert wire.study(old)["trials"]["running"] == 1


def test_a_configuration_of_the_new_name_rules_and_shuts_out_what_does_not_fit(wire: Wire) -> None:
    old = wire.configure(LINE)
    finished(wire, old, {"x": 0.1, "c": "a"}, {"x": 0.2, "c": "b"}, {"x": 0.3, "c": "b"})
    write_config(wire.home / "config" / f"{old}.yaml", WIDER)
    wire.refused("POST", f"/studies/{old}/trials", 409, "spec-conflict")
    new = wire.configure(WIDER)
    study = fork(wire, old, new).json()
    assert study["parameters"]["c"]["choices"] == ["b", "c"]
    assert study["config_error"] is None
    trials = wire.ok("GET", f"/studies/{new}/trials")["items"]
    assert [trial["user_attrs"]["was"] for trial in trials] == [1, 2]
    assert wire.ask(new)["params"]["c"] in ("b", "c")


def test_a_study_never_asked_from_is_forked_without_trials(wire: Wire) -> None:
    old, new = wire.configure(LINE), wire.new_name()
    study = fork(wire, old, new).json()
    assert study["trials"]["complete"] == 0
    assert list(study["parameters"]) == ["x", "c"]
    assert not (wire.home / "db" / f"{old}.db").exists()


def test_a_taken_name_is_refused_with_what_differs(
    wire: Wire, study: str, refused: Refused
) -> None:
    taken = wire.put(max_trials=5)
    document = refused("POST", "/studies/{s}/fork", 409, "spec-conflict", json={"name": taken})
    assert "max_trials" in [each["key"] for each in document["diff"]]
    document = refused("POST", "/studies/{s}/fork", 409, "spec-conflict", json={"name": study})
    assert document["diff"] == []


def test_a_fork_into_itself_is_refused_also_where_nothing_was_asked_from(wire: Wire) -> None:
    name = wire.configure(LINE)
    with wire.unchanged():
        wire.refused("POST", f"/studies/{name}/fork", 409, "spec-conflict", json={"name": name})


def test_what_cannot_be_forked_makes_no_file(wire: Wire, study: str) -> None:
    broken = wire.configure("x: {type: flaot}")
    with wire.unchanged(study):
        for old, body, status, code in (
            ("nobody", {"name": "new"}, 404, "study-not-found"),
            (study, {"name": "a/b"}, 422, "name-invalid"),
            (study, {"name": ""}, 422, "name-invalid"),
            (study, {"name": broken}, 422, "config-invalid"),
            (broken, {"name": "new"}, 422, "config-invalid"),
            (study, {}, 422, "request-invalid"),
            (study, {"name": 3}, 422, "request-invalid"),
            (study, {"name": "new", "more": 1}, 422, "request-invalid"),
        ):
            wire.refused("POST", f"/studies/{old}/fork", status, code, json=body)


@pytest.mark.parametrize("one_database", [False, True])
def test_a_fork_is_there_after_a_restart_and_any_optuna_opens_it(
    tmp_path: Path, one_database: bool
) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    settings = {"storage": url} if one_database else {}
    with wire_of(tmp_path, **settings) as wire:
        wire.request("PUT", "/studies/old", json=SPACE)
        finished(wire, "old", {"x": 1.5, "n": 2})
        before = fork(wire, "old", "new").json()
    with wire_of(tmp_path, **settings) as wire:
        assert wire.study("new") == before
    file = url if one_database else f"sqlite:///{tmp_path}/db/new.db"
    assert optuna.load_study(study_name="new", storage=file).best_params == {"x": 1.5, "n": 2}


def test_files_stay_with_the_trials_they_were_uploaded_to(wire: Wire) -> None:
    old, new = wire.put(), wire.new_name()
    finished(wire, old, {"x": 1.5, "n": 2})
    wire.ok("PUT", f"/studies/{old}/trials/0/artifacts/model.pt", content=b"hello")
    assert fork(wire, old, new).status_code == 201
    assert wire.ok("GET", f"/studies/{new}/trials/0/artifacts") == {"items": []}
    wire.ok("DELETE", f"/studies/{new}")
    assert wire.request("GET", f"/studies/{old}/trials/0/artifacts/model.pt").content == b"hello"
