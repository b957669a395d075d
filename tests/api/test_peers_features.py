"""Each row of the feature comparison with other servers, tested over HTTP alone."""

from collections import Counter
from typing import Any

import httpx
import pytest

from tests.api.test_peers import WORKERS, states, together
from tests.api.test_v1_events import follow
from tests.api.wire import SPACE, V1, Wire
from tests.support import write_config
from tests.unit.engine.support import Caller

LINE = {"parameters": {"x": {"type": "float", "low": 0, "high": 1}}}
SAMPLERS = ["tpe", "random", "gp", "cmaes", "qmc", "nsga2", "nsga3", "grid", "brute-force"]
PRUNERS: list[Any] = [
    "none",
    "median",
    {"name": "percentile", "percentile": 25},
    "hyperband",
    "successive-halving",
    {"name": "threshold", "upper": 5},
    "wilcoxon",
    {"name": "patient", "patience": 1, "wrapped": {"name": "median"}},
]


def numbers(wire: Wire, path: str) -> list[int]:
    return [trial["number"] for trial in wire.ok("GET", path)["items"]]


def test_ask_and_tell_over_plain_http_by_the_old_gets_and_v1(wire: Wire) -> None:
    name = wire.put()
    asked = wire.client.get(f"/optunapi/hparams/{name}").json()
    wire.tell(name, asked["trial_id"], value=2)
    number = wire.ask(name)["number"]
    told = wire.client.get(f"/optunapi/score/{name}?trial_id={number}&score=1").json()
    assert (told["best_trial"], told["completed_trials"]) == (number, 2)


def test_batch_ask_and_batch_tell(wire: Wire) -> None:
    name = wire.put()
    trials = wire.ok("POST", f"/studies/{name}/trials/batch", json={"count": 20})["items"]
    assert len({str(trial["params"]) for trial in trials}) == 20
    told = [{"number": trial["number"], "value": 1} for trial in trials] + [{"number": 99}]
    outcomes = wire.ok("POST", f"/studies/{name}/tell", json={"items": told})["items"]
    assert [outcome["status"] for outcome in outcomes] == [200] * 20 + [404]
    assert states(wire, name) == {"complete": 20}


def test_get_list_filter_and_page_through_trials(wire: Wire) -> None:
    name = wire.put()
    for value in (3, 1, 2):
        number = wire.ask(name, worker="w")["number"]
        wire.tell(name, number, value=value)
    wire.ask(name, worker="v")
    trials = f"/studies/{name}/trials"
    assert wire.trial(name, 1)["values"] == [1]
    assert numbers(wire, f"{trials}?state=running") == numbers(wire, f"{trials}?worker=v") == [3]
    page = wire.ok("GET", f"{trials}?state=complete&order=value&limit=2")
    assert [trial["number"] for trial in page["items"]] == [1, 2]
    rest = f"{trials}?state=complete&order=value&limit=2&page={page['next']}"
    assert numbers(wire, rest) == [0]


def test_open_trials_are_listed_and_cancelled_and_under_a_lease_come_back_by_themselves(
    wire: Wire,
) -> None:
    name = wire.put()
    for _ in range(3):
        wire.ask(name, worker="burnt")
    open_trials = f"/studies/{name}/trials?state=running"
    assert numbers(wire, open_trials) == [0, 1, 2]
    assert wire.ok("DELETE", open_trials) == {"cancelled": 3}
    assert wire.trial(name, 0)["fail_reason"] == "cancelled"
    lost = wire.ask(name, lease_seconds=1e-6)
    assert wire.ask(name)["number"] == lost["number"]


def test_one_trial_is_stopped_and_so_is_the_whole_study(wire: Wire) -> None:
    name = wire.put()
    for _ in range(2):
        wire.ask(name)

    def told_to_stop(number: int) -> bool:
        path, body = f"/studies/{name}/trials/{number}/report", {"step": 1, "value": 1}
        stop: bool = wire.ok("POST", path, json=body)["stop_requested"]
        return stop

    wire.ok("POST", f"/studies/{name}/trials/0/stop")
    assert (told_to_stop(0), told_to_stop(1)) == (True, False)
    wire.ok("PATCH", f"/studies/{name}", json={"state": "finished"})
    assert told_to_stop(1)
    document = wire.refused("POST", f"/studies/{name}/trials", 409, "study-finished")
    assert document["finished_reason"] == "stopped"


def test_a_trial_is_queued_by_hand_and_handed_out_exactly_once(wire: Wire) -> None:
    name = wire.put()
    grid = {"n": list(range(1, 10))}
    wire.request("POST", f"/studies/{name}/queue", json={"grid": grid}).raise_for_status()
    trials = together(lambda _: wire.ask(name))
    queued = [trial["params"]["n"] for trial in trials if trial["number"] < 9]
    assert sorted(queued) == list(range(1, 10))
    assert len({trial["number"] for trial in trials}) == WORKERS


def test_finished_trials_are_imported(wire: Wire) -> None:
    name = wire.put()
    items = [{"params": {"x": x, "n": 1}, "value": x * x} for x in (-3.0, 0.5, 2.0)]
    imported = wire.ok("POST", f"/studies/{name}/import", json={"items": items})
    assert imported == {"imported": 3}
    assert wire.study(name)["best"]["params"] == {"x": 0.5, "n": 1}
    assert states(wire, name) == {"complete": 3}


def test_a_failure_is_reported_with_its_reason(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    told = wire.tell(name, 0, state="fail", reason="CUDA out of memory")
    assert (told["state"], told["fail_reason"]) == ("fail", "CUDA out of memory")
    summary = wire.ok("GET", f"/studies/{name}/summary")
    assert summary["failures_by_reason"] == {"CUDA out of memory": 1}


def test_intermediate_values_are_kept_and_stop_early(wire: Wire) -> None:
    name = wire.put(pruner={"name": "median", "n_startup_trials": 1})

    def report(number: int, value: float) -> bool:
        path, body = f"/studies/{name}/trials/{number}/report", {"step": 1, "value": value}
        prune: bool = wire.ok("POST", path, json=body)["should_prune"]
        return prune

    assert not report(wire.ask(name)["number"], 1)
    wire.tell(name, 0, value=1)
    assert report(wire.ask(name)["number"], 2)
    assert wire.tell(name, 1, state="pruned")["values"] == [2]
    assert wire.trial(name, 1)["intermediate_values"] == {"1": 2}


def test_several_objectives_and_constraints(wire: Wire) -> None:
    objectives = {"accuracy": "maximize", "latency": "minimize"}
    name = wire.put(SPACE, objectives=objectives)
    results = [([0.9, 9], -1), ([0.8, 5], 0), ([0.99, 1], 0.5), ([0.7, 8], -1)]
    for values, memory in results:
        number = wire.ask(name)["number"]
        wire.tell(name, number, values=values, constraints={"memory": memory})
    assert sorted(numbers(wire, f"/studies/{name}/best")) == [0, 1]


def test_a_conditional_space_and_define_by_run_over_http(wire: Wire) -> None:
    kinds = {"kind": {"type": "categorical", "choices": ["a", "b"]}}
    only_b = {"only_b": {"type": "float", "low": 0, "high": 1, "when": {"kind": "b"}}}
    conditional = wire.put({"parameters": kinds | only_b})
    for kind, names in (("a", {"kind"}), ("b", {"kind", "only_b"})):
        assert wire.ask(conditional, params={"kind": kind})["params"].keys() == names
    by_run = wire.put({"parameters": {}})
    wire.ask(by_run)
    asked = {"name": "depth", "distribution": {"type": "int", "low": 1, "high": 3}}
    for _ in range(2):
        value = wire.ok("POST", f"/studies/{by_run}/trials/0/suggest", json=asked)["value"]
        assert wire.trial(by_run, 0)["params"] == {"depth": value}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_all_of_optunas_samplers(wire: Wire, sampler: str) -> None:
    points = {name: {"type": "int", "low": 1, "high": 4} for name in ("n", "m")}
    name = wire.put({"parameters": points}, sampler={"name": sampler})
    for value in range(12):
        trial = wire.ask(name)
        assert trial["params"].keys() == {"n", "m"}
        wire.tell(name, trial["number"], value=value)
    assert states(wire, name) == {"complete": 12}


@pytest.mark.parametrize("pruner", PRUNERS, ids=str)
def test_all_of_optunas_pruners(wire: Wire, pruner: Any) -> None:
    name = wire.put(pruner=pruner)
    pruned = []
    for number in range(12):
        trial = f"/studies/{name}/trials/{wire.ask(name)['number']}"
        for step in range(12):
            value = number + step if number else 0.1
            reported = {"step": step, "value": value}
            if wire.ok("POST", f"{trial}/report", json=reported)["should_prune"]:
                pruned.append(number)
                wire.ok("POST", f"{trial}/tell", json={"state": "pruned"})
                break
        else:
            wire.ok("POST", f"{trial}/tell", json={"value": value})
    assert bool(pruned) == (pruner != "none")


def test_metadata_per_trial_and_per_worker(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name, worker="gpu-03", user_attrs={"commit": "1a2b"})
    wire.ok("PATCH", f"/studies/{name}/trials/0", json={"user_attrs": {"epochs": 3}})
    told = wire.tell(name, 0, value=1, user_attrs={"cost": 0.5})
    assert told["user_attrs"] == {"commit": "1a2b", "epochs": 3, "cost": 0.5}
    assert numbers(wire, f"/studies/{name}/trials?worker=gpu-03") == [0]
    (worker,) = wire.ok("GET", f"/studies/{name}/summary")["workers"]
    assert (worker["name"], worker["running"]) == ("gpu-03", 0)


def test_an_exact_budget_and_running_cap(wire: Wire) -> None:
    name = wire.put(max_trials=7, max_running=3)
    path = f"{V1}/studies/{name}/trials"

    def work(_: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        while (reply := wire.client.post(path, json={"lease_seconds": 600})).status_code != 409:
            seen[reply.status_code] += 1
            assert wire.study(name)["trials"]["running"] <= 3
            if reply.status_code == 201:
                wire.tell(name, reply.json()["number"], value=1)
        return seen

    assert sum(seen[201] for seen in together(work)) == 7
    assert states(wire, name) == {"complete": 7}


def test_a_dead_workers_trial_is_handed_on(wire: Wire) -> None:
    name = wire.put()
    dead = wire.ask(name, worker="dead", lease_seconds=1e-6)
    again = wire.ask(name, worker="living", lease_seconds=600)
    assert (again["number"], again["params"], again["attempt"]) == (0, dead["params"], 2)


def test_ask_and_tell_are_idempotent(wire: Wire) -> None:
    name = wire.put()
    path, headers = f"{V1}/studies/{name}/trials", {"Idempotency-Key": "once"}
    replies: list[httpx.Response] = together(lambda _: wire.client.post(path, headers=headers))
    assert {reply.json()["number"] for reply in replies} == {0}
    told = together(lambda _: wire.tell(name, 0, value=1))
    assert all(trial == told[0] for trial in told)
    assert states(wire, name) == {"complete": 1}


def test_no_two_open_trials_are_alike(wire: Wire) -> None:
    name = wire.put({"parameters": {"n": {"type": "int", "low": 1, "high": WORKERS}}})
    trials = together(lambda _: wire.ask(name))
    assert len({trial["params"]["n"] for trial in trials}) == WORKERS


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"value": NaN}', 400, "json-invalid"),
        (b'{"value": -Infinity}', 400, "json-invalid"),
        (b'{"value": 1e999}', 400, "json-invalid"),
        (b'{"value": 1, "valeu": 2}', 422, "request-invalid"),
    ],
)
def test_nan_inf_and_unknown_keys_are_refused_cleanly(
    wire: Wire, body: bytes, status: int, code: str
) -> None:
    name = wire.put()
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("POST", f"/studies/{name}/trials/0/tell", status, code, content=body)
    assert wire.tell(name, 0, value=1)["state"] == "complete"


def test_importances_of_parameters(wire: Wire) -> None:
    name = wire.put()
    for x in range(-8, 8):
        trial = wire.ask(name, params={"x": x})
        wire.tell(name, trial["number"], value=x * x)
    importances = wire.ok("GET", f"/studies/{name}/importances")["importances"]
    assert importances["x"] > importances["n"]


# Features that no other server has


def test_a_search_space_that_drifts_is_refused_with_a_difference(wire: Wire) -> None:
    name = wire.configure("c: {type: categorical, choices: [a, b]}")
    version = wire.ask(name)["spec_version"]
    write_config(wire.home / "config" / f"{name}.yaml", "c: {type: categorical, choices: [a, z]}")
    document = wire.refused("POST", f"/studies/{name}/trials", 409, "spec-conflict")
    assert document["diff"]
    assert wire.trial(name, 0)["spec_version"] == version


def test_an_ask_waits_for_a_free_place(wire: Wire) -> None:
    name = wire.put(max_running=1)
    wire.ask(name)
    caller = Caller(lambda: wire.request("POST", f"/studies/{name}/trials?wait=60"))
    wire.tell(name, 0, value=1)
    assert caller.outcome().json()["number"] == 1


def test_an_event_stream_is_replayed(wire: Wire) -> None:
    name = wire.put(LINE)
    with follow(wire, name) as stream:
        wire.ask(name)
        first = stream.next()
    wire.tell(name, 0, value=1)
    with follow(wire, name, first.id) as stream:
        assert stream.trials(1) == [(0, "complete")]
