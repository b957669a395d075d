"""Known failures of other servers and of Optuna alone, each shown not to happen here.

O is OptunAPI 0.1, V OSS Vizier, S SigOpt's server, T Ray Tune's TuneServer, H HOPAAS.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import optuna
import pytest

from tests.api.wire import SPACE, V1, Wire, problem, wire_of
from tests.support import ROOT, clean_environment, free_port, running_server

WORKERS = 16


def together(work: Callable[[int], Any], count: int = WORKERS) -> list[Any]:
    """The results of `count` threads that start at the same time."""
    barrier = Barrier(count)

    def begin(number: int) -> Any:
        barrier.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def states(wire: Wire, name: str) -> Counter[str]:
    items = wire.ok("GET", f"/studies/{name}/trials?limit=1000")["items"]
    assert [trial["number"] for trial in items] == list(range(len(items)))
    return Counter(trial["state"] for trial in items)


# O: OptunAPI 0.1


def test_o_no_trial_is_handed_out_twice(wire: Wire) -> None:
    name = wire.put()
    asked = together(lambda _: [wire.ask(name)["number"] for _ in range(7)])
    numbers = [number for each in asked for number in each]
    assert sorted(numbers) == list(range(7 * WORKERS))


def test_o_two_workers_of_one_server_are_refused_and_not_left_to_hand_out_trials_twice(
    tmp_path: Path,
) -> None:
    (tmp_path / "config").mkdir()
    command = [sys.executable, "-m", "uvicorn", "optunapi.server:optunapi", "--workers", "2"]
    run = subprocess.run(
        [*command, "--port", str(free_port())],
        cwd=ROOT,
        env=clean_environment(OPTUNAPI_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "without --workers" in run.stderr + run.stdout


def test_o_a_second_server_on_the_same_studies_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    with (
        running_server(tmp_path) as first,
        pytest.raises(RuntimeError, match="OptunAPI cannot start") as refusal,
        running_server(tmp_path),
    ):
        pass
    assert str(first.process.pid) in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize("score", ["-inf", "inf", "nan"])
def test_o_a_score_that_is_not_finite_breaks_no_study(wire: Wire, score: str) -> None:
    name = wire.put()
    wire.ask(name)
    scored = wire.client.get(f"/optunapi/score/{name}?trial_id=0&score={score}")
    assert (scored.status_code, scored.json()["state"]) == (200, "fail")
    assert wire.client.get(f"/optunapi/hparams/{name}").status_code == 200
    assert wire.tell(name, 1, value=1)["state"] == "complete"
    assert wire.study(name)["best"]["number"] == 1


def test_o_what_an_old_server_stored_as_minus_infinity_breaks_no_study(wire: Wire) -> None:
    name = wire.new_name()
    old = optuna.create_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    trial = old.ask()
    trial.suggest_float("x", 0, 1)
    old.tell(trial, float("-inf"))
    assert wire.trial(name, 0)["values"] == [None]
    assert wire.study(name)["best"]["values"] == [None]
    assert wire.ask(name)["number"] == 1
    assert wire.tell(name, 1, value=1)["state"] == "complete"


def test_o_a_duplicate_score_is_no_fault_of_the_server(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    first = wire.tell(name, 0, value=1)
    assert wire.tell(name, 0, value=1) == first
    path = f"/studies/{name}/trials/0/tell"
    wire.refused("POST", path, 409, "trial-finished", json={"value": 2})


def test_o_an_unknown_trial_is_no_fault_of_the_server(wire: Wire) -> None:
    path = f"/studies/{wire.put()}/trials/7/tell"
    wire.refused("POST", path, 404, "trial-not-found", json={"value": 1})


def test_o_a_missing_configuration_is_no_fault_of_the_server(wire: Wire) -> None:
    wire.refused("POST", "/studies/unconfigured/trials", 404, "study-not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/trials"),
        ("GET", "/trials/0"),
        ("GET", "/best"),
        ("PATCH", ""),
        ("DELETE", ""),
        ("DELETE", "/trials?state=running"),
        ("POST", "/trials"),
        ("POST", "/trials/0/tell"),
        ("POST", "/trials/0/stop"),
    ],
)
def test_o_an_unknown_name_creates_no_database(wire: Wire, method: str, path: str) -> None:
    with wire.unchanged():
        wire.refused(method, f"/studies/unknown{path}", 404, "study-not-found")


def test_o_a_configuration_without_step_or_log_leaves_no_orphan(wire: Wire) -> None:
    name = wire.configure(
        "x:\n  type: float\n  low: 0\n  high: 1\nn: {type: int, low: 1, high: 3}\n"
    )
    assert set(wire.ask(name)["params"]) == {"x", "n"}
    assert states(wire, name) == {"running": 1}


def test_o_pandas_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from optunapi.app import create_app; create_app\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


# V: OSS Vizier


def test_v_a_rejected_duplicate_result_overwrites_nothing(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    wire.tell(name, 0, value=1.0)
    with wire.unchanged(name):
        path = f"/studies/{name}/trials/0/tell"
        document = wire.refused("POST", path, 409, "trial-finished", json={"value": 999.0})
    assert document["trial"]["values"] == [1.0]
    assert wire.trial(name, 0)["values"] == [1.0]


def test_v_a_rejected_delete_deletes_nothing(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    with wire.unchanged(name):
        wire.refused("DELETE", f"/studies/{name}", 409, "study-busy")
    assert wire.trial(name, 0)["state"] == "running"


@pytest.mark.parametrize("how", ["max_trials", "stopped", "target"])
def test_v_asking_a_finished_study_makes_no_orphans(wire: Wire, how: str) -> None:
    limits = {"max_trials": {"max_trials": 1}, "target": {"target": 5}}.get(how, {})
    name = wire.put(SPACE, **limits)
    wire.tell(name, wire.ask(name)["number"], value=1)
    if how == "stopped":
        wire.ok("PATCH", f"/studies/{name}", json={"state": "finished"})
    with wire.unchanged(name):
        for _ in range(3):
            document = wire.refused("POST", f"/studies/{name}/trials", 409, "study-finished")
            assert document["finished_reason"] == how
    assert states(wire, name) == {"complete": 1}


def test_v_page_tokens_are_not_ignored(wire: Wire) -> None:
    name = wire.put()
    for _ in range(5):
        wire.ask(name)
    seen, path = [], f"/studies/{name}/trials?limit=2"
    page = wire.ok("GET", path)
    while True:
        seen.append([trial["number"] for trial in page["items"]])
        if page["next"] is None:
            break
        page = wire.ok("GET", f"{path}&page={page['next']}")
    assert seen == [[0, 1], [2, 3], [4]]


# S: SigOpt's server


def test_s_no_two_open_trials_are_alike_while_there_is_another_point(wire: Wire) -> None:
    points = {"parameters": {"n": {"type": "int", "low": 1, "high": WORKERS}}}
    name = wire.put(points)
    trials = together(lambda _: wire.ask(name))
    assert sorted(trial["params"]["n"] for trial in trials) == list(range(1, WORKERS + 1))


def test_s_of_several_results_for_one_trial_one_is_taken(wire: Wire) -> None:
    name = wire.put()
    wire.ask(name)
    path = f"{V1}/studies/{name}/trials/0/tell"
    replies: list[httpx.Response] = together(lambda i: wire.client.post(path, json={"value": i}))
    kept = [reply for reply in replies if reply.status_code == 200]
    assert len(kept) == 1
    for reply in replies:
        if reply is not kept[0]:
            document = problem(reply, 409, "trial-finished")
            assert document["trial"]["values"] == kept[0].json()["values"]
    assert wire.trial(name, 0) == kept[0].json()


# T: Ray Tune's server


def test_t_replies_are_json_and_nothing_that_runs(wire: Wire, study: str) -> None:
    for path in (f"/studies/{study}", f"/studies/{study}/trials", "/studies/absent"):
        media = wire.request("GET", path).headers["Content-Type"]
        assert media in ("application/json", "application/problem+json")


def test_t_an_unknown_id_is_not_answered_with_200(wire: Wire) -> None:
    name = wire.put()
    for method, route in [("GET", ""), ("POST", "/stop"), ("POST", "/release"), ("POST", "/tell")]:
        body = {"value": 1} if route == "/tell" else None
        path = f"/studies/{name}/trials/12345{route}"
        wire.refused(method, path, 404, "trial-not-found", json=body)


# H: HOPAAS


def test_h_an_interrupt_tells_no_last_loss_as_final(wire: Wire) -> None:
    name = wire.put()
    lease = wire.ask(name, lease_seconds=600)["lease"]["id"]
    path = f"/studies/{name}/trials/0"
    wire.ok("POST", f"{path}/report", json={"step": 1, "value": 0.1, "lease": lease})
    told = wire.tell(name, 0, state="fail", reason="KeyboardInterrupt", lease=lease)
    assert (told["values"], told["fail_reason"]) == (None, "KeyboardInterrupt")
    assert wire.study(name)["best"] is None


# Optuna alone


def test_optuna_n_workers_do_not_overshoot_the_number_of_trials(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=10)
    path = f"{V1}/studies/{name}/trials"
    replies = together(lambda _: wire.client.post(path))
    assert Counter(reply.status_code for reply in replies) == {201: 10, 409: WORKERS - 10}
    assert states(wire, name) == {"running": 10}


def test_optuna_a_queued_trial_is_not_popped_twice(wire: Wire) -> None:
    points = [{"n": n} for n in range(1, 10)]
    name = wire.put(SPACE, enqueue=points)
    trials = together(lambda _: wire.ask(name), count=9)
    assert sorted(trial["number"] for trial in trials) == list(range(9))
    assert sorted(trial["params"]["n"] for trial in trials) == list(range(1, 10))


def test_optuna_a_lease_works_with_ask_and_tell_and_leaves_no_zombie(wire: Wire) -> None:
    name = wire.put(SPACE, max_attempts=2)
    first = wire.ask(name, worker="dead", lease_seconds=1e-6)
    second = wire.ask(name, worker="living", lease_seconds=600)
    # The first lease expired during the request, so the same trial is handed on.
    assert (second["number"], second["attempt"], second["params"]) == (0, 2, first["params"])
    path = f"/studies/{name}/trials/0/tell"
    lost = {"state": "fail", "lease": first["lease"]["id"]}
    wire.refused("POST", path, 409, "lease-lost", json=lost)
    assert states(wire, name) == {"running": 1}


def test_optuna_sqlite_does_not_lock_under_load(wire: Wire) -> None:
    name = wire.put()

    def work(_: int) -> None:
        for _ in range(5):
            number = wire.ask(name)["number"]
            wire.ok("POST", f"/studies/{name}/trials/{number}/report", json={"step": 1, "value": 1})
            wire.tell(name, number, value=number)

    together(work)
    assert states(wire, name) == {"complete": 5 * WORKERS}


def test_optuna_reads_the_study_while_the_server_serves_it(wire: Wire) -> None:
    name = wire.put()
    wire.tell(name, wire.ask(name)["number"], value=3)
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    assert stored.best_value == 3
    assert wire.ask(name)["number"] == 1


# Users of other services


def test_others_a_failed_run_can_be_run_again(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=1)
    failed = wire.ask(name)
    wire.tell(name, 0, state="fail", reason="bad node")
    again = wire.ask(name, params=failed["params"])  # its slot is free again
    assert (again["number"], again["params"]) == (1, failed["params"])


def test_others_one_bad_node_does_not_burn_a_study(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=5, max_failed_trials=3)
    for number in range(3):
        wire.ask(name, worker="bad")
        wire.tell(name, number, state="fail", reason="broken GPU")
    with wire.unchanged(name):
        document = wire.refused("POST", f"/studies/{name}/trials", 409, "study-finished")
    assert document["finished_reason"] == "max_failed_trials"
    wire.ok("PATCH", f"/studies/{name}", json={"limits": {"max_failed_trials": None}})
    assert [wire.ask(name)["number"] for _ in range(5)] == [3, 4, 5, 6, 7]


def test_others_a_search_ends_and_one_failed_trial_ends_it_not(wire: Wire) -> None:
    name = wire.put(SPACE, max_trials=2)
    wire.tell(name, wire.ask(name)["number"], state="fail")
    for _ in range(2):
        wire.tell(name, wire.ask(name)["number"], value=1)
    assert wire.study(name)["finished_reason"] == "max_trials"


def test_others_no_batch_is_waited_for(wire: Wire) -> None:
    name = wire.put()
    slow = wire.ask(name)
    for _ in range(3):
        wire.tell(name, wire.ask(name)["number"], value=1)
    assert wire.trial(name, slow["number"])["state"] == "running"


def test_others_nothing_of_the_internet_is_needed(tmp_path: Path) -> None:
    import socket

    reached: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        if not str(address[0]).startswith("127."):
            reached.append(address)
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", watched)
        with wire_of(tmp_path) as wire:
            name = wire.put()
            wire.tell(name, wire.ask(name)["number"], value=1)
    assert reached == []
