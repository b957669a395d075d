"""The client and its studies, against a real server."""

import multiprocessing
import pickle
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import requests
import torch

from optunapi import Client, Study
from optunapi.client import connection
from optunapi.client.optuna_types.states import StudyDirection, TrialState
from optunapi.client.study_handle import this_worker
from optunapi.errors import (
    ConfigInvalid,
    LeaseLost,
    NameInvalid,
    NoSlot,
    OptunAPIError,
    SpecConflict,
    StudyExists,
    StudyFinished,
    StudyNotFound,
    StudyPaused,
    TrialFinished,
    TrialNotFound,
    ValueInvalid,
)
from tests.client.conftest import XY, MakeStudy
from tests.support import Server, free_port


def test_ping_says_whether_a_server_is_there(client: Client) -> None:
    assert client.ping() is True
    assert Client(f"http://127.0.0.1:{free_port()}").ping() is False


def test_another_url_of_the_server_is_not_taken_for_it(server: Server) -> None:
    elsewhere = Client(f"{server.url}/optunapi/v1", retry_for=0)
    assert elsewhere.ping() is False
    with pytest.raises(OptunAPIError) as raised:
        elsewhere.study("x")
    assert raised.value.code == "route-not-found"


@pytest.mark.parametrize(
    "url",
    [
        "head:8000",
        "ftp://head",
        "http://",
        "http://head:port",
        "head",
        "http://h:80000",
        "http://[::1",
    ],
)
def test_an_invalid_url_is_refused_with_the_form_of_a_valid_one(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not the URL of a server: write it as http://HOST:PORT"
    ):
        Client(url)


def test_a_token_in_the_url_is_not_shown() -> None:
    client = Client("http://:secret@head:8000/")
    assert client.url == "http://head:8000"
    assert "secret" not in repr(client)
    with pytest.raises(ValueError, match="the token has characters") as raised:
        Client("http://head:8000", token="sec ret")
    assert "ret" not in str(raised.value)


def test_a_study_that_does_not_exist_is_an_error_and_never_a_new_study(client: Client) -> None:
    with pytest.raises(StudyNotFound) as raised:
        client.study("nobody-made-this")
    assert (raised.value.code, raised.value.status) == ("study-not-found", 404)
    assert "nobody-made-this" not in [study.name for study in client.studies()]


@pytest.mark.parametrize("name", ["no/name", "..", "", "é", "x" * 129])
def test_an_invalid_study_name_is_refused(client: Client, name: str) -> None:
    with pytest.raises(NameInvalid):
        client.study(name)


def test_studies_are_listed_page_by_page(
    client: Client, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {make_study().name for _ in range(3)}
    assert made <= {study.name for study in client.studies()}
    assert made <= {study.name for study in client.studies("open")}
    monkeypatch.setattr(connection, "PAGE", 1)
    assert made <= {study.name for study in client.studies()}


def test_a_study_is_made_from_a_mapping_and_from_a_yaml_file(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "objectives: {accuracy: maximize}\nparameters:\n  x: {type: int, low: 1, high: 9}"
    )
    from_file = client.create_study("from-file", path)
    assert from_file.directions == ["maximize"]
    assert from_file.directions == [optuna.study.StudyDirection.MAXIMIZE]
    assert client.create_study("from-file", str(path)).name == "from-file"
    assert from_file.ask().params.keys() == {"x"}
    as_mapping = client.create_study("as-mapping", {"parameters": {}}, direction="maximize")
    assert as_mapping.direction is StudyDirection.MAXIMIZE


def test_a_study_without_a_spec_is_created_once(client: Client) -> None:
    first = client.create_study("defined-by-run", direction="maximize")
    assert client.create_study("defined-by-run", direction="maximize").name == first.name
    with pytest.raises(SpecConflict):
        client.create_study("defined-by-run")
    assert client.create_study("several", directions=["minimize", "maximize"]).directions == [
        StudyDirection.MINIMIZE,
        StudyDirection.MAXIMIZE,
    ]
    spec = {"objectives": {"a": "maximize"}, "parameters": {}}
    assert client.create_study("its-own", spec).directions == ["maximize"]  # not the default


def test_without_a_spec_an_existing_study_of_the_same_direction_is_returned(
    study: Study, client: Client
) -> None:
    assert client.create_study(study.name).ask().params.keys() == {"x", "n"}
    with pytest.raises(SpecConflict):
        client.create_study(study.name, direction="maximize")


def test_another_spec_of_an_existing_study_is_refused_with_the_difference(
    study: Study, client: Client
) -> None:
    with pytest.raises(SpecConflict) as raised:
        client.create_study(study.name, {**XY, "max_trials": 3})
    assert [each["key"] for each in raised.value.extra["diff"]] == ["max_trials"]


def test_a_study_that_must_be_new_is_refused_if_it_exists(study: Study, client: Client) -> None:
    with pytest.raises(StudyExists):
        client.create_study(study.name, XY, load_if_exists=False)
    assert client.create_study("brand-new", XY, load_if_exists=False).name == "brand-new"


def test_a_bad_spec_is_refused_with_every_error(client: Client) -> None:
    with pytest.raises(ConfigInvalid) as raised:
        client.create_study("bad", {"parameters": {"x": {"type": "flaot", "low": 2, "high": 1}}})
    assert raised.value.extra["errors"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"direction": "maximize", "directions": ["minimize"]},
        {"directions": []},
        {"spec": {"direction": "minimize", "parameters": {}}, "direction": "maximize"},
        {
            "spec": {"objectives": {"a": "minimize"}, "parameters": {}},
            "directions": ["minimize"] * 2,
        },
        {"spec": "study.yaml", "direction": "maximize"},
        {"direction": "upwards"},
    ],
)
def test_a_direction_is_valid_and_given_once(client: Client, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"direction|upwards"):
        client.create_study("never-made", **arguments)


# Ask and tell


def test_a_trial_is_asked_for_told_and_stored(study: Study) -> None:
    trial = study.ask(user_attrs={"host": "gpu-03"})
    assert trial.params.keys() == {"x", "n"}
    assert (trial.number, trial.attempt, trial.worker) == (0, 1, this_worker())
    closed = trial.tell(0.25)
    assert (closed.number, closed.state, closed.value) == (0, TrialState.COMPLETE, 0.25)
    assert closed.params == trial.params
    assert study.trial(0) == closed
    assert closed.user_attrs == {"host": "gpu-03"}
    assert closed.duration is not None
    assert study.best_trial == closed
    assert (study.best_value, study.best_params) == (0.25, trial.params)


@pytest.mark.parametrize(
    "value", [3, np.float32(3), np.array(3.0), torch.tensor(3.0), [3], (np.int64(3),)]
)
def test_numbers_of_any_library_are_values(study: Study, value: Any) -> None:
    assert study.ask().tell(value).values == [3.0]


def test_metric_names_are_as_in_optuna(client: Client, make_study: MakeStudy) -> None:
    spec = {"objectives": {"loss": "minimize", "acc": "maximize"}, "parameters": {}}
    assert make_study(spec).metric_names == ["loss", "acc"]
    assert make_study().metric_names is None
    directions = ["minimize", "maximize"]
    study = client.create_study("metric-names", directions=directions)
    assert study.metric_names is None
    study.set_metric_names(("loss", "acc"))
    again = client.create_study("metric-names", directions=directions)
    assert again.metric_names == ["loss", "acc"]
    with pytest.raises(ValueError, match=r"1 names for 2 objective\(s\)"):
        study.set_metric_names(["loss"])
    with pytest.raises(OptunAPIError, match='two objectives called "loss"'):
        study.set_metric_names(["loss", "loss"])
    assert study.metric_names == ["loss", "acc"]


@pytest.mark.parametrize(
    "number", [np.float32, np.longdouble, np.array, torch.tensor, Decimal, Fraction]
)
def test_a_number_of_any_library_is_a_number_wherever_the_client_takes_one(
    make_study: MakeStudy, number: Callable[[float], Any]
) -> None:
    study = make_study(max_running=9)
    study.set_limits(max_cost=number(50), max_trials=number(20))
    assert study.limits["max_cost"] == 50
    assert study.enqueue({"x": number(0.5), "n": number(3)}).params == {"x": 0.5, "n": 3}
    asked = study.ask(wait=number(0.5), lease_seconds=number(60))
    assert asked.params == {"x": 0.5, "n": 3}
    fixed = study.ask(fixed_params={"x": number(2)})
    assert fixed.params["x"] == 2.0
    assert study.import_trials([{"params": {"x": number(1), "n": 2}, "values": [number(3)]}]) == 1
    study.optimize(lambda _: number(0.25), n_trials=1, timeout=number(60))
    assert [trial.values for trial in study.trials("complete")] == [[3.0], [0.25]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, torch.tensor(torch.nan)])
def test_a_value_that_is_not_finite_fails_the_trial_with_a_warning(
    study: Study, value: Any
) -> None:
    trial = study.ask()
    with pytest.warns(RuntimeWarning, match="is not finite"):
        closed = trial.tell(value)
    assert closed.state == TrialState.FAIL
    assert closed.fail_reason is not None
    assert "is not finite" in closed.fail_reason


@pytest.mark.parametrize("value", ["3", {}, object()])
def test_a_value_that_is_not_a_number_is_refused_and_the_trial_stays_open(
    study: Study, value: Any
) -> None:
    trial = study.ask()
    with pytest.raises(TypeError):
        trial.tell(value)
    assert trial.is_open
    assert study.trial(trial.number).state == "running"


def test_a_wrong_number_of_values_is_refused_and_the_trial_stays_open(study: Study) -> None:
    trial = study.ask()
    with pytest.raises(ValueInvalid):
        trial.tell([1.0, 2.0])
    assert trial.is_open
    assert trial.tell(1.0).state == "complete"


def test_a_refused_tell_of_another_clients_trial_does_not_hold_it(
    study: Study, server: Server
) -> None:
    trial = study.ask()
    elsewhere = Client(server.url).study(study.name)
    with pytest.raises(ValueInvalid):
        elsewhere.tell(trial.number, [1.0, 2.0], "pruned", lease=trial.lease)
    assert elsewhere.connection.held.get(study.slug, trial.number) is None


def test_a_trial_is_told_by_its_number_with_the_lease_this_client_holds(study: Study) -> None:
    states = ["complete", optuna.trial.TrialState.PRUNED, "fail"]
    trials = [study.ask() for _ in states]
    closed = [
        study.tell(trial.number, 1.0 if state == "complete" else None, state)
        for trial, state in zip(trials, states, strict=True)
    ]
    assert [trial.state for trial in closed] == ["complete", "pruned", "fail"]
    assert list(study.trials("pruned")) == closed[1:2]
    assert [trial.number for trial in study.trials()] == [trial.number for trial in trials]


def test_a_trial_is_told_from_another_process_with_its_lease(study: Study, server: Server) -> None:
    trial = study.ask()
    elsewhere = Client(server.url).study(study.name)
    with pytest.raises(LeaseLost):
        elsewhere.tell(trial.number, state="fail")
    closed = elsewhere.tell(trial.number, state="fail", lease=trial.lease, reason="no disk")
    assert closed.fail_reason == "no disk"


def test_the_same_result_twice_is_harmless_and_another_is_refused(study: Study) -> None:
    trial = study.ask()
    assert trial.tell(1.0) == trial.tell(1.0)
    with pytest.raises(TrialFinished) as raised:
        trial.tell(2.0)
    assert raised.value.extra["trial"]["values"] == [1.0]


def test_several_objectives_have_a_value_each_and_a_front(make_study: MakeStudy) -> None:
    study = make_study(objectives={"loss": "minimize", "size": "minimize"})
    for values in [(1, 2), (2, 1), (2, 2)]:
        study.ask().tell(values)
    assert [trial.values for trial in study.best_trials] == [[1.0, 2.0], [2.0, 1.0]]
    for name in ("best_trial", "best_value", "best_params", "direction"):
        with pytest.raises(RuntimeError, match="several objectives"):
            getattr(study, name)
    with pytest.raises(RuntimeError):
        _ = study.trial(0).value


def test_without_a_complete_trial_there_is_no_best_one(study: Study) -> None:
    assert study.best_trials == []
    with pytest.raises(ValueError, match="no trial is complete"):
        _ = study.best_value


def test_fixed_parameters_are_what_the_trial_gets(study: Study) -> None:
    assert study.ask(fixed_params={"n": 7}).params["n"] == 7
    with pytest.raises(ValueInvalid):
        study.ask(fixed_params={"n": 99})
    assert len(list(study.trials())) == 1


def test_a_batch_has_as_many_trials_as_the_limits_allow(make_study: MakeStudy) -> None:
    study = make_study(max_trials=5)
    trials = study.ask_batch(9)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    for trial in trials:
        trial.tell(trial.number)
    with pytest.raises(StudyFinished) as raised:
        study.ask()
    assert raised.value.extra["finished_reason"] == "max_trials"
    assert (study.state, study.finished_reason) == ("finished", "max_trials")


def test_an_ask_with_wait_gets_the_place_that_becomes_free(
    make_study: MakeStudy,
) -> None:
    study = make_study(max_running=1)
    first = study.ask()
    with pytest.raises(NoSlot):
        study.ask()
    with pytest.raises(NoSlot):
        study.ask(wait=0.2)
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.append(study.ask(wait=60).number))
    waiting.start()
    first.tell(1.0)
    waiting.join()
    assert got == [1]


def test_a_restarted_worker_gets_its_own_trial_back_with_its_reports(
    study: Study, server: Server
) -> None:
    first = study.ask(worker="gpu-03")
    first.report(0.5, 3)
    again = Client(server.url).study(study.name).ask(worker="gpu-03", resume=True)
    assert (again.number, again.attempt) == (first.number, 2)
    assert study.trial(first.number).intermediate_values == {3: 0.5}
    with pytest.raises(LeaseLost):
        first.report(0.4, 4)
    assert first.stop_requested


def test_a_trial_may_have_no_lease_or_the_studys_own(make_study: MakeStudy) -> None:
    assert make_study().ask(lease_seconds=None).lease is None
    assert make_study(lease="30s").ask(lease_seconds=None).lease is not None


# The queue, imports, the study itself


def test_queued_points_come_first(study: Study) -> None:
    queued = study.enqueue({"x": 1.0, "n": 3}, user_attrs={"by": "hand"})
    study.enqueue_trial({"n": 4})
    assert queued.state == "waiting"
    first, second = study.ask(), study.ask()
    assert (first.params, first.user_attrs) == ({"x": 1.0, "n": 3}, {"by": "hand"})
    assert second.params["n"] == 4
    with pytest.raises(ValueInvalid):
        study.enqueue({"y": 1})


def test_trials_are_imported_all_or_none(study: Study) -> None:
    items: list[dict[str, Any]] = [
        {"params": {"x": 1.0, "n": 1}, "values": [1.0]},
        {"params": {"x": 2.0, "n": 1}, "state": "fail", "reason": "diverged"},
    ]
    assert study.import_trials(items) == 2
    assert [trial.state for trial in study.trials()] == ["complete", "fail"]
    with pytest.raises(ValueInvalid):
        study.import_trials([*items, {"params": {"y": 1.0}, "values": [1.0]}])
    assert len(list(study.trials())) == 2


def test_a_study_is_paused_opened_and_stopped(study: Study) -> None:
    running = study.ask()
    study.pause()
    assert study.state == "paused"
    with pytest.raises(StudyPaused):
        study.ask()
    study.resume()
    assert study.state == "open"
    study.stop()
    assert study.finished_reason == "stopped"
    assert running.report(1.0, 1).stop_requested
    assert study.wait_until_finished(timeout=10) is True


def test_waiting_for_the_end_ends_when_the_time_is_up(study: Study) -> None:
    assert study.wait_until_finished(timeout=0.2) is False


def test_attributes_of_a_study_are_kept(study: Study) -> None:
    study.set_user_attr("team", "vision")
    assert study.user_attrs == {"team": "vision"}


def test_events_tell_what_happens(study: Study) -> None:
    events = study.events()
    got: list[tuple[str, Any]] = []
    listening = threading.Event()

    def listen() -> None:
        for event in events:
            got.append((event.type, event.data.get("state")))
            listening.set()
            if event.type == "trial" and event.data["state"] == "complete":
                return

    thread = threading.Thread(target=listen)
    thread.start()
    while not listening.wait(0.05):
        study.set_user_attr("knock", 1)  # only an event shows that the stream is open
    study.ask().tell(1.0)
    thread.join(30)
    assert got[-1] == ("trial", "complete")


def test_the_events_of_a_deleted_study_end(study: Study) -> None:
    ended = threading.Event()
    knocked = threading.Event()

    def listen() -> None:
        for _ in study.events():
            knocked.set()
        ended.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    while not knocked.wait(0.05):
        study.set_user_attr("knock", 1)
    requests.delete(
        f"{study.connection.url}/optunapi/v1/studies/{study.name}", timeout=10
    ).raise_for_status()
    assert ended.wait(30)


def test_trials_of_a_study_that_vanished_are_errors(study: Study) -> None:
    with pytest.raises(TrialNotFound):
        study.trial(7)
    with pytest.raises(TrialNotFound):
        study.tell(7, 1.0)


# Threads and processes


def ask_and_tell(study: Study, count: int) -> list[int]:
    numbers = []
    for _ in range(count):
        with study.ask() as trial:
            numbers.append(trial.number)
            trial.tell(trial.params["x"])
    return numbers


def test_one_client_serves_many_threads(study: Study) -> None:
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.extend(ask_and_tell(study, 5))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(40))


def test_a_study_goes_to_a_spawned_process(study: Study) -> None:
    copy = pickle.loads(pickle.dumps(study))
    assert (copy.name, copy.ask().number) == (study.name, 0)


def test_a_used_client_goes_on_in_forks_and_in_their_parent(study: Study) -> None:
    ask_and_tell(study, 1)  # now there are connections and a renewing thread
    held = study.ask()
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        found = pool.starmap(ask_and_tell, [(study, 4)] * 3)
    numbers = sorted(number for each in found for number in each)
    assert numbers == list(range(2, 14))
    assert held.tell(1.0).state == "complete"
    assert ask_and_tell(study, 1) == [14]
