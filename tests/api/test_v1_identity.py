"""A result, report, attribute or file goes to the trial that its sender was given, or nowhere."""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.api.wire import SPACE, Wire, wire_of
from tests.support import until, write_config

UNIT = {"type": "float", "low": 0, "high": 1}
ON_TRIAL: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/tell", {"value": 1}),
    ("POST", "/tell", {"state": "fail", "reason": "oom"}),
    ("POST", "/tell", {"state": "pruned", "value": 1}),
    ("POST", "/report", {"step": 1, "value": 1}),
    ("POST", "/renew", {}),
    ("POST", "/release", {}),
    ("POST", "/suggest", {"name": "extra", "distribution": UNIT}),
]
BY_HAND: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PATCH", "", {"user_attrs": {"a": 1}}),
    ("POST", "/stop", {}),
    ("POST", "/retry", {}),
    ("DELETE", "", None),
    ("PUT", "/artifacts/model.pt", None),
    ("DELETE", "/artifacts/model.pt", None),
    ("DELETE", "", {}),
    ("DELETE", "/artifacts/model.pt", {}),
]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Wire]:
    """A server of this test alone."""
    with wire_of(tmp_path) as wire:
        yield wire


def remake(wire: Wire, name: str) -> None:
    wire.ok("DELETE", f"/studies/{name}?force=true")
    assert wire.request("PUT", f"/studies/{name}", json=SPACE).status_code == 201


def at(name: str, number: int, route: str = "") -> str:
    return f"/studies/{name}/trials/{number}{route}"


# The uid


@pytest.mark.parametrize("route", [route for _, route, _ in ON_TRIAL[:1] + ON_TRIAL[3:6]])
@pytest.mark.parametrize("lease", ["", " ", "x" * 5000, "1-", "é\x00"])
def test_any_text_that_is_no_lease_of_the_trial_is_a_lease_that_it_never_had(
    wire: Wire, route: str, lease: str
) -> None:
    name = wire.put()
    wire.ask(name, lease_seconds=60)
    body = next(body for _, each, body in ON_TRIAL if each == route)
    with wire.unchanged(name):
        wire.refused("POST", at(name, 0, route), 409, "lease-lost", json={**body, "lease": lease})
        body = {**body, "lease": lease, "study_uid": lease}
        wire.refused("POST", at(name, 0, route), 409, "study-replaced", json=body)


def test_a_study_and_its_trials_have_a_uid_that_is_new_each_time_it_is_made(wire: Wire) -> None:
    name = wire.put()
    first = wire.study(name)["uid"]
    assert first == wire.ask(name)["study_uid"] == wire.trial(name, 0)["study_uid"]
    (listed,) = wire.ok("GET", f"/studies/{name}/trials")["items"]
    assert listed["study_uid"] == first
    remake(wire, name)
    assert wire.study(name)["uid"] not in (None, first)


def test_a_configuration_has_a_uid_from_its_first_trial_on(wire: Wire) -> None:
    name = wire.configure("x: {type: float, low: 0, high: 1}\n")
    assert wire.study(name)["uid"] is None
    first = wire.ask(name)["study_uid"]
    assert wire.study(name)["uid"] == first
    wire.ok("DELETE", f"/studies/{name}?force=true")
    assert wire.study(name)["uid"] is None
    assert wire.ask(name)["study_uid"] != first


def test_a_study_keeps_its_uid_and_its_leases_over_a_restart(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put()
        trial = wire.ask(name, lease_seconds=60)
    with wire_of(tmp_path) as wire:
        assert wire.study(name)["uid"] == trial["study_uid"]
        told = {"state": "fail", "lease": trial["lease"]["id"], "study_uid": trial["study_uid"]}
        assert wire.tell(name, 0, **told)["state"] == "fail"


def optuna_study(home: Path, name: str) -> optuna.Study:
    (home / "db").mkdir(exist_ok=True)
    return optuna.create_study(study_name=name, storage=f"sqlite:///{home / 'db' / name}.db")


def test_a_study_made_by_optuna_has_a_uid_that_lasts(tmp_path: Path) -> None:
    optuna_study(tmp_path, "a").optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with wire_of(tmp_path) as wire:
        uid = wire.study("a")["uid"]
        assert uid == wire.trial("a", 1)["study_uid"]
    with wire_of(tmp_path) as wire:
        assert wire.study("a")["uid"] == uid


@pytest.mark.parametrize("trials", [0, 2])
def test_a_study_that_optuna_deletes_and_makes_again_is_another_one(own: Wire, trials: int) -> None:
    url = f"sqlite:///{own.home / 'db' / 'a'}.db"
    own.client.put("/optunapi/v1/studies/a", json=SPACE).raise_for_status()
    uid = own.study("a")["uid"]
    held = [own.ask("a", lease_seconds=60) for _ in range(trials)]
    optuna.delete_study(study_name="a", storage=url)
    study = optuna.create_study(study_name="a", storage=url)
    for _ in range(trials):
        study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    for trial in held:
        told = {"value": 1.0, "lease": trial["lease"]["id"]}
        own.refused("POST", at("a", trial["number"], "/tell"), 409, "lease-lost", json=told)
        told = {"value": 1.0, "study_uid": uid}
        own.refused("POST", at("a", trial["number"], "/tell"), 409, "study-replaced", json=told)
    own.ask("a")  # notices what is new, at the latest
    assert own.study("a")["uid"] not in (None, uid)
    assert [trial.state.name for trial in study.get_trials()] == ["RUNNING"] * (trials + 1)


def test_a_copy_of_a_study_under_another_name_is_another_one(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put()
        uid = wire.ask(name)["study_uid"]
    databases = tmp_path / "db"
    shutil.copy(databases / f"{name}.db", databases / "copy.db")
    with closing(sqlite3.connect(databases / "copy.db")) as connection, connection:
        connection.execute("UPDATE studies SET study_name = 'copy'")
    with wire_of(tmp_path) as wire:
        assert wire.study("copy")["uid"] != uid
        assert wire.study(name)["uid"] == uid
        told = {"value": 1, "study_uid": uid}
        wire.refused("POST", at("copy", 0, "/tell"), 409, "study-replaced", json=told)


# A study that is made again between a worker's ask and its next request


@pytest.mark.parametrize(("method", "route", "body"), ON_TRIAL)
@pytest.mark.parametrize("by", ["lease", "study_uid"])
def test_a_worker_cannot_reach_the_trial_of_another_study(
    wire: Wire, method: str, route: str, body: dict[str, Any], by: str
) -> None:
    name = wire.put()
    mine = wire.ask(name, worker="first", lease_seconds=60)
    remake(wire, name)
    wire.ask(name, worker="second", lease_seconds=60)
    sent = {**body, "lease": mine["lease"]["id"]}
    if by == "study_uid":
        sent["study_uid"] = mine["study_uid"]
    code = {"lease": "lease-lost", "study_uid": "study-replaced"}[by]
    with wire.unchanged(name):
        wire.refused(method, at(name, 0, route), 409, code, json=sent)


@pytest.mark.parametrize(("method", "route", "body"), BY_HAND)
def test_nobody_changes_a_trial_of_another_study_than_is_meant(
    wire: Wire, method: str, route: str, body: dict[str, Any] | None
) -> None:
    name = wire.put()
    uid = wire.ask(name)["study_uid"]
    remake(wire, name)
    wire.ask(name)
    options: dict[str, Any] = {"params": {"study_uid": uid}, "content": b""}
    if body is not None:
        options = {"json": {**body, "study_uid": uid}}
    with wire.unchanged(name):
        wire.refused(method, at(name, 0, route), 409, "study-replaced", **options)


@pytest.mark.parametrize("route", ["", "/artifacts", "/artifacts/model.pt"])
def test_nobody_reads_a_trial_of_another_study_than_is_meant(wire: Wire, route: str) -> None:
    name = wire.put()
    uid = wire.ask(name)["study_uid"]
    remake(wire, name)
    present = wire.ask(name)["study_uid"]
    wire.ok("PUT", at(name, 0, "/artifacts/model.pt"), content=b"new")
    path = at(name, 0, route)
    wire.refused("GET", f"{path}?study_uid={uid}", 409, "study-replaced")
    assert wire.request("HEAD", f"{path}?study_uid={uid}").status_code == 409
    assert wire.request("GET", f"{path}?study_uid={present}").status_code == 200


def test_nobody_dequeues_a_trial_of_another_study_than_is_meant(wire: Wire) -> None:
    name = wire.put(enqueue=[{"x": 1}])
    uid = wire.study(name)["uid"]
    wire.ok("DELETE", f"/studies/{name}")
    wire.request("PUT", f"/studies/{name}", json={**SPACE, "enqueue": [{"x": 2}]})
    path = f"/studies/{name}/queue/0?study_uid="
    wire.refused("DELETE", path + uid, 409, "study-replaced")
    body = {"study_uid": uid}
    wire.refused("DELETE", f"/studies/{name}/queue/0", 409, "study-replaced", json=body)
    wire.ok("DELETE", path + wire.study(name)["uid"])


def test_a_batch_judges_the_study_of_each_item_by_itself(wire: Wire) -> None:
    name = wire.put()
    old = wire.ask(name)["study_uid"]
    remake(wire, name)
    new = {wire.ask(name)["study_uid"] for _ in range(3)}.pop()
    items = [
        {"number": number, "value": 1, **uid}
        for number, uid in enumerate([{"study_uid": old}, {"study_uid": new}, {}])
    ]
    found = wire.ok("POST", f"/studies/{name}/tell", json={"items": items})["items"]
    assert [item["status"] for item in found] == [409, 200, 200]
    assert found[0]["error"]["code"] == "study-replaced"


def test_a_score_of_the_old_route_may_name_its_study(wire: Wire) -> None:
    name = wire.put()
    old = wire.ask(name)["study_uid"]
    remake(wire, name)
    new = wire.ask(name)["study_uid"]
    path = f"/optunapi/score/{name}?trial_id=0&score=1&study_uid="
    refused = wire.client.get(path + old)
    assert (refused.status_code, refused.json()["code"]) == (409, "study-replaced")
    assert wire.client.get(path + new).json()["state"] == "complete"


def test_an_upload_does_not_go_to_a_study_that_was_made_while_it_came_in(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)

    def slowly() -> Iterator[bytes]:
        yield b"first"
        incoming = wire.home / "db" / "artifacts" / ".incoming" / name
        until(lambda: any(incoming.glob("*")))
        remake(wire, name)
        wire.ask(name)
        yield b"last"

    path = at(name, 0, "/artifacts/model.pt")
    wire.refused("PUT", path, 409, "study-replaced", content=slowly())
    assert wire.ok("GET", at(name, 0, "/artifacts")) == {"items": []}


# Leases


def test_a_late_complete_by_a_former_lease_of_the_trial_wins_and_another_trials_does_not(
    wire: Wire,
) -> None:
    name = wire.put()
    first = wire.ask(name, worker="w", lease_seconds=60)["lease"]["id"]
    second = wire.ask(name, worker="w", lease_seconds=60, resume=True)["lease"]["id"]
    other = wire.ask(name, worker="v", lease_seconds=60)["lease"]["id"]
    for lease in (other, "another", "3-0000000000000000", "1-", "-1", "٣-a", "0" * 255):
        with wire.unchanged(name):
            sent = {"value": 1, "lease": lease}
            wire.refused("POST", at(name, 0, "/tell"), 409, "lease-lost", json=sent)
    assert first != second
    assert wire.tell(name, 0, value=1, lease=first)["values"] == [1]
    assert wire.tell(name, 0, value=1, lease=second)["values"] == [1]
    told = {"value": 1, "lease": other}
    wire.refused("POST", at(name, 0, "/tell"), 409, "lease-lost", json=told)


def test_a_lease_of_a_server_before_an_upgrade_still_holds_its_trial(tmp_path: Path) -> None:
    with wire_of(tmp_path) as wire:
        name = wire.put()
        for _ in range(2):
            wire.ask(name, lease_seconds=60)
    database = tmp_path / "db" / f"{name}.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        record = '{"attempt": 1, "lease": "00aa11bb22cc33dd", "lease_seconds": 1}'
        connection.execute(
            "UPDATE trial_system_attributes SET value_json = ? WHERE key = 'optunapi:trial'",
            [record],
        )
        connection.execute("DELETE FROM study_system_attributes WHERE key = 'optunapi:identity'")
    lease = "00aa11bb22cc33dd"
    with wire_of(tmp_path) as wire:
        assert wire.study(name)["uid"]
        report = {"step": 1, "value": 1, "lease": lease}
        assert wire.ok("POST", at(name, 0, "/report"), json=report)["lease"]["id"] == lease
        again = wire.request("POST", f"/studies/{name}/trials?wait=9", json={"lease_seconds": 60})
        number = again.json()["number"]
        assert again.json()["attempt"] == 2 or number == 2
        assert wire.tell(name, 1, value=1, lease=lease)["state"] == "complete"


# Cancel, retry


def test_one_stuck_trial_is_cancelled_without_its_lease(wire: Wire) -> None:
    name = wire.put()
    lease = wire.ask(name, lease_seconds=60)["lease"]["id"]
    wire.ask(name)
    trial = wire.ok("DELETE", at(name, 0))
    assert (trial["state"], trial["fail_reason"], trial["lease"]) == ("fail", "cancelled", None)
    assert trial["stop_requested"]
    assert wire.trial(name, 0) == trial
    assert wire.trial(name, 1)["state"] == "running"
    document = wire.refused("DELETE", at(name, 0), 409, "trial-finished")
    assert document["trial"] == trial
    wire.refused("POST", at(name, 0, "/renew"), 409, "trial-finished", json={"lease": lease})
    told = {"value": 1, "lease": lease}
    wire.refused("POST", at(name, 0, "/tell"), 409, "trial-finished", json=told)


def test_a_waiting_trial_is_cancelled_too(wire: Wire) -> None:
    name = wire.put(enqueue=[{"x": 1}])
    trial = wire.ok("DELETE", at(name, 0))
    assert (trial["state"], trial["fail_reason"]) == ("fail", "cancelled")
    assert not trial["stop_requested"]


def retry(wire: Wire, name: str, number: int, **options: Any) -> Any:
    response = wire.request("POST", at(name, number, "/retry"), **options)
    assert response.status_code == 201, response.text
    return response.json()


def test_a_failed_trial_is_tried_again_with_its_parameters(wire: Wire) -> None:
    name = wire.put()
    failed = wire.ask(name, user_attrs={"cost": 3})
    wire.tell(name, 0, state="fail", reason="oom")
    again = retry(wire, name, 0)
    assert (again["number"], again["state"], again["retry_of"]) == (1, "waiting", 0)
    assert again["params"] == failed["params"]
    assert again["user_attrs"] == {}
    asked = wire.ask(name)
    assert (asked["number"], asked["params"], asked["retry_of"]) == (1, failed["params"], 0)
    assert wire.trial(name, 0)["retry_of"] is None
    keyed = {"headers": {"Idempotency-Key": "k"}}
    assert retry(wire, name, 0, **keyed)["number"] == retry(wire, name, 0, **keyed)["number"] == 2


def test_only_a_failed_trial_is_tried_again(wire: Wire) -> None:
    name = wire.put(enqueue=[{"x": 1}, {"x": 2}])
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("POST", at(name, 0, "/retry"), 409, "study-busy")
        wire.refused("POST", at(name, 1, "/retry"), 409, "trial-waiting")
    wire.tell(name, 0, value=1)
    wire.refused("POST", at(name, 0, "/retry"), 409, "trial-finished")
    wire.ask(name)
    wire.tell(name, 1, state="pruned")
    wire.refused("POST", at(name, 1, "/retry"), 409, "trial-finished")


def test_a_retry_needs_a_place(wire: Wire) -> None:
    name = wire.put(max_trials=1)
    wire.ask(name)
    wire.tell(name, 0, state="fail")
    wire.ask(name)
    wire.refused("POST", at(name, 0, "/retry"), 409, "study-finished")


def test_a_retry_of_parameters_that_the_space_has_no_more_is_refused(wire: Wire) -> None:
    name = wire.configure("n: {type: int, low: 1, high: 9}\n")
    wire.ask(name, params={"n": 9})
    wire.tell(name, 0, state="fail")
    write_config(wire.home / "config" / f"{name}.yaml", "n: {type: int, low: 1, high: 5}\n")
    wire.ask(name)  # an edited file is in force from the next ask on
    wire.refused("POST", at(name, 0, "/retry"), 422, "value-invalid")


def test_suggested_parameters_are_tried_again_too(wire: Wire) -> None:
    specs: list[Mapping[str, Any]] = [{"parameters": {}}, SPACE]
    for spec in specs:
        name = wire.put(spec)
        wire.ask(name)
        asked = {"name": "z", "distribution": UNIT}
        value = wire.ok("POST", at(name, 0, "/suggest"), json=asked)["value"]
        failed = wire.tell(name, 0, state="fail")
        assert retry(wire, name, 0)["params"] == failed["params"]
        wire.ask(name)
        assert wire.ok("POST", at(name, 1, "/suggest"), json=asked) == {"value": value}
        assert wire.trial(name, 1)["params"] == failed["params"]


# Attributes after the end


def test_attributes_are_set_in_every_state(wire: Wire) -> None:
    name = wire.put(enqueue=[{"x": 1}] * 4)
    for number, state in enumerate(("pruned", "fail")):
        wire.ask(name)
        wire.tell(name, number, state=state)
    wire.ask(name)
    for number, state in enumerate(("pruned", "fail", "running", "waiting")):
        patch = {"user_attrs": {"cost": 2.5, "note": "late"}}
        trial = wire.ok("PATCH", at(name, number), json=patch)
        assert (trial["state"], trial["user_attrs"]) == (state, patch["user_attrs"])
        assert wire.trial(name, number) == trial
    assert wire.ok("GET", f"/studies/{name}/summary")["cost_total"] == 10


def test_a_repeated_tell_says_which_attributes_it_did_not_store(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    assert "ignored" not in wire.tell(name, 0, value=1, user_attrs={"cost": 1})
    told = {"value": 1, "user_attrs": {"cost": 2, "note": "late"}}
    again = wire.tell(name, 0, **told)
    assert again["user_attrs"] == {"cost": 1, "note": "late"}
    assert again.pop("ignored") == ["user_attrs.cost"]
    assert again == wire.trial(name, 0)
    items = {"items": [{"number": 0, **told}]}
    (item,) = wire.ok("POST", f"/studies/{name}/tell", json=items)["items"]
    assert item["trial"]["ignored"] == ["user_attrs.cost"]
