"""The routes of OptunAPI 0.1: what they answer, and that a refusal changes nothing."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from fastapi import FastAPI
from httpx import Client

from tests.api.conftest import Snapshot
from tests.api.server import serving
from tests.api.wire import ids_of_failures
from tests.support import write_config

HPARAMS = ["model_name", "trial_id", "params", "running_trials", "completed_trials"]
SCORE = [
    "model_name",
    "trial_id",
    "params",
    "score",
    "best_trial",
    "best_trial_id",
    "best_score_id",
    "best_params",
    "best_score",
    "running_trials",
    "completed_trials",
    "state",
]


def ask(client: Client, name: str = "m", **query: Any) -> Any:
    response = client.get(f"/optunapi/hparams/{name}", params=query)
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    return response.json()


def tell(client: Client, trial_id: int, score: Any, name: str = "m") -> Any:
    response = client.get(f"/optunapi/score/{name}", params={"trial_id": trial_id, "score": score})
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    return response.json()


def configure(home: Path, name: str, text: str) -> None:
    write_config(home / "config" / f"{name}.yaml", text)


def stored(home: Path, name: str = "m") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{home}/db/{name}.db")


def test_ping_answers_what_it_always_did(client: Client) -> None:
    response = client.get("/optunapi/ping")
    assert (response.status_code, response.json()) == (200, "The Optuna-server is alive!")


def test_the_documented_loop_has_the_documented_keys_in_their_order(client: Client) -> None:
    asked = ask(client)
    assert list(asked) == HPARAMS
    assert asked["trial_id"] == 0
    assert set(asked["params"]) == {"x", "y"}
    assert (asked["running_trials"], asked["completed_trials"]) == (1, 0)
    told = tell(client, 0, 0.5)
    assert list(told) == SCORE
    assert told["best_trial"] == told["best_trial_id"] == told["best_score_id"] == 0
    assert told["params"] == told["best_params"] == asked["params"]
    assert told["score"] == told["best_score"] == 0.5
    assert (told["running_trials"], told["completed_trials"]) == (0, 1)
    assert told["state"] == "complete"


def test_the_best_is_of_all_trials(client: Client) -> None:
    first, second = ask(client), ask(client)
    tell(client, second["trial_id"], 1.0)
    told = tell(client, first["trial_id"], 2.0)
    assert told["score"] == 2.0
    assert told["best_score"] == 1.0
    assert told["best_trial"] == second["trial_id"]
    assert told["best_params"] == second["params"]


def test_nothing_is_best_while_no_trial_is_complete(client: Client) -> None:
    told = tell(client, ask(client)["trial_id"], "nan")
    assert told["best_trial"] is None
    assert told["best_params"] is None
    assert told["best_score"] is None


@pytest.mark.parametrize("path", ["/optuna/hparams/m", "/optunapi/hparams/m"])
def test_the_older_spellings_work(client: Client, path: str) -> None:
    trial_id = client.get(path).json()["trial_id"]
    prefix = path.split("/")[1]
    response = client.get(f"/{prefix}/score/m?trail_id={trial_id}&score=3")
    assert response.json()["score"] == 3.0


def test_the_older_spellings_are_not_in_the_documentation(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert "/optunapi/score/{model_name}" in paths
    assert not [path for path in paths if path.startswith("/optuna/")]


def test_optuna_sees_the_same_study(client: Client, home: Path) -> None:
    asked = [ask(client) for _ in range(3)]
    tell(client, 0, 4.0)
    tell(client, 1, "inf")
    trials = stored(home).trials
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "RUNNING"]
    assert [trial.params for trial in trials] == [each["params"] for each in asked]
    assert trials[0].value == 4.0


def test_a_study_goes_on_after_a_restart(home: Path) -> None:
    with serving(home) as client:
        first = ask(client)
    with serving(home) as again:
        assert ask(again)["trial_id"] == 1
        assert tell(again, 0, 1.0)["params"] == first["params"]


@pytest.mark.parametrize("score", ["nan", "inf", "-inf", "NaN", "Infinity", "1e999"])
def test_a_training_that_diverged_is_a_failed_trial(client: Client, score: str) -> None:
    told = tell(client, ask(client)["trial_id"], score)
    assert (told["state"], told["score"]) == ("fail", None)
    assert tell(client, ask(client)["trial_id"], 1.0)["best_score"] == 1.0


def test_a_plus_that_was_not_encoded_is_a_plus(client: Client) -> None:
    ask(client)
    assert client.get("/optunapi/score/m?trial_id=0&score=1e+3").json()["score"] == 1000.0


@pytest.mark.timeout(60)
def test_a_score_of_very_many_digits_delays_no_other_request(client: Client) -> None:
    client.get("/optunapi/hparams/m")
    response = client.get("/optunapi/score/m", params={"trial_id": 0, "score": "1" * 60_000 + "x"})
    assert response.status_code == 422
    assert len(response.text) < 1_000
    assert client.get("/optunapi/score/m?trial_id=0&score=1.").json()["score"] == 1.0


def test_the_same_score_twice_gets_the_same_answer(client: Client) -> None:
    ask(client)
    assert tell(client, 0, 0.25) == tell(client, 0, 0.25)
    ask(client)
    assert tell(client, 1, "nan") == tell(client, 1, "inf")


def test_the_same_key_gets_the_same_trial_also_after_a_restart(home: Path) -> None:
    with serving(home) as client:
        first = ask(client, key="k")
        ask(client)
        assert ask(client, key="k")["trial_id"] == first["trial_id"]
    with serving(home) as client:
        again = ask(client, key="k")
        assert (again["trial_id"], again["params"]) == (first["trial_id"], first["params"])
        assert len(stored(home).trials) == 2


def test_several_objectives_take_several_scores(client: Client, home: Path) -> None:
    configure(
        home,
        "two",
        "objectives: {accuracy: maximize, latency: minimize}\n"
        "parameters: {x: {type: float, low: 0, high: 1}}\n",
    )
    ask(client, "two")
    response = client.get("/optunapi/score/two?trial_id=0&score=0.91&score=12.5")
    assert response.json()["score"] == response.json()["best_score"] == [0.91, 12.5]
    ask(client, "two")
    told = client.get("/optunapi/score/two?trial_id=1&score=0.5&score=20").json()
    assert (told["best_trial"], told["best_score"]) == (0, [0.91, 12.5])
    assert stored(home, "two").trials[0].values == [0.91, 12.5]


def test_points_of_the_configuration_come_first(client: Client, home: Path) -> None:
    configure(
        home,
        "queued",
        "enqueue: [{x: 3}, {x: 4, y: 5}]\n"
        "parameters: {x: {type: int, low: 0, high: 9}, y: {type: int, low: 0, high: 9}}\n",
    )
    first, second = ask(client, "queued"), ask(client, "queued")
    assert (first["trial_id"], first["params"]["x"]) == (0, 3)
    assert (second["trial_id"], second["params"]) == (1, {"x": 4, "y": 5})
    assert ask(client, "queued")["trial_id"] == 2


def test_conditional_parameters_are_asked_where_they_apply(client: Client, home: Path) -> None:
    configure(
        home,
        "conditional",
        "parameters:\n"
        "  kind: {type: categorical, choices: [a, b]}\n"
        "  depth: {type: int, low: 1, high: 3, when: {kind: b}}\n",
    )
    seen = [ask(client, "conditional")["params"] for _ in range(20)]
    assert {params["kind"] for params in seen} == {"a", "b"}
    assert all(("depth" in params) == (params["kind"] == "b") for params in seen)


def test_a_configuration_is_followed_without_a_restart(client: Client, home: Path) -> None:
    assert -10 <= ask(client)["params"]["x"] <= 10
    configure(home, "m", "x: {type: float, low: 20, high: 30}\n")
    assert 20 <= ask(client)["params"]["x"] <= 30
    assert set(ask(client)["params"]) == {"x"}


def test_a_broken_edit_leaves_the_last_good_configuration_in_force(
    home: Path,
) -> None:
    with serving(home) as client:
        ask(client)
        configure(home, "m", "x: {type: flaot}\n")
        assert set(ask(client)["params"]) == {"x", "y"}
    with serving(home) as again:
        assert set(ask(again)["params"]) == {"x", "y"}


def test_an_edit_that_the_history_cannot_live_with_is_refused_with_the_difference(
    client: Client, home: Path, snapshot: Snapshot
) -> None:
    configure(home, "c", "kind: {type: categorical, choices: [a, b]}\n")
    ask(client, "c")
    configure(home, "c", "kind: {type: categorical, choices: [a, b, c]}\n")
    before = snapshot()
    response = client.get("/optunapi/hparams/c")
    assert_problem(response, 409, "spec-conflict")
    assert response.json()["diff"][0]["key"] == "parameters.kind.choices"
    assert "optunapi fork" in response.json()["detail"]
    assert snapshot() == before
    assert tell(client, 0, 1.0, "c")["state"] == "complete"  # running work is kept
    configure(home, "c", "kind: {type: categorical, choices: [a, b]}\n")
    assert ask(client, "c")["trial_id"] == 1


def test_a_study_made_by_optuna_is_served_as_it_is(client: Client, home: Path) -> None:
    (home / "db").mkdir(exist_ok=True)
    study = optuna.create_study(
        study_name="own", storage=f"sqlite:///{home}/db/own.db", direction="maximize"
    )
    study.optimize(lambda trial: trial.suggest_float("lr", 0.1, 0.2), n_trials=3)
    asked = ask(client, "own")
    assert asked["trial_id"] == 3
    assert 0.1 <= asked["params"]["lr"] <= 0.2
    assert tell(client, 3, 9.0, "own")["best_trial"] == 3


# Refusals: each changes nothing.


def assert_problem(response: Any, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    document = response.json()
    assert document["type"] == f"urn:optunapi:error:{code}"
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/optunapi/hparams/unknown", 404, "study-not-found"),
        ("/optunapi/score/unknown?trial_id=0&score=1", 404, "study-not-found"),
        ("/optunapi/hparams/.hidden", 404, "study-not-found"),
        ("/optunapi/hparams/a%20b", 404, "study-not-found"),
        ("/optunapi/hparams/" + "a" * 129, 404, "study-not-found"),
        ("/optunapi/hparams/%2e%2e%2fm", 404, "route-not-found"),
        ("/optunapi/nothing", 404, "route-not-found"),
        ("/optunapi/score/m?trial_id=99&score=1", 404, "trial-not-found"),
        ("/optunapi/score/m?trial_id=99999999999999999&score=1", 404, "trial-not-found"),
        ("/optunapi/score/m?trial_id=0", 422, "request-invalid"),
        ("/optunapi/score/m?score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&trial_id=0&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&trail_id=0&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=zero&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=-1&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0.0&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=\N{ARABIC-INDIC DIGIT ZERO}&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=" + "9" * 5000 + "&score=1", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&score=", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&score=good", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&score=1_0", 422, "request-invalid"),
        ("/optunapi/score/m?trial_id=0&score=1&score=2", 422, "value-invalid"),
        ("/optunapi/score/m?trial_id=1&score=1&score=nan", 409, "trial-finished"),
        ("/optunapi/score/m?trial_id=1&score=2", 409, "trial-finished"),
        ("/optunapi/score/m?trial_id=1&score=nan", 409, "trial-finished"),
        ("/optunapi/hparams/m?key=a&key=b", 422, "request-invalid"),
        ("/optunapi/hparams/m?worker=" + "w" * 256, 422, "request-invalid"),
        ("/optunapi/hparams/m?key=k&worker=other", 422, "key-reused"),
        ("/optunapi/hparams/broken", 422, "config-invalid"),
        ("/optunapi/hparams/full", 409, "study-finished"),
    ],
)
def test_a_refused_request_changes_nothing(
    client: Client, home: Path, snapshot: Snapshot, path: str, status: int, code: str
) -> None:
    configure(home, "broken", "x: {type: float, low: 3, high: 1}\ny: {type: integer}\n")
    configure(home, "full", "max_trials: 1\nparameters: {x: {type: float, low: 0, high: 1}}\n")
    ask(client, key="k", worker="mine")
    ask(client)
    tell(client, 1, 1.0)
    ask(client, "full")
    before = snapshot()
    assert_problem(client.get(path), status, code)
    assert snapshot() == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/optunapi/hparams/m", "/optunapi/score/m?trial_id=0&score=1"])
def test_other_methods_are_refused(
    client: Client, snapshot: Snapshot, method: str, path: str
) -> None:
    ask(client)
    before = snapshot()
    response = client.request(method, path)
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert snapshot() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:81"},
        {"Referer": "http://evil.example/page"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
    ],
)
@pytest.mark.parametrize("path", ["/optunapi/hparams/m", "/optunapi/score/m?trial_id=0&score=1"])
def test_another_site_or_a_prefetch_changes_nothing(
    client: Client, snapshot: Snapshot, headers: dict[str, str], path: str
) -> None:
    ask(client)
    before = snapshot()
    assert_problem(client.get(path, headers=headers), 403, "cross-site")
    assert snapshot() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "head", "Origin": "http://head"},
        {"Host": "head", "Origin": "http://head:80"},
        {"Host": "head:8000", "Referer": "http://head:8000/optunapi/"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
    ],
)
def test_a_page_of_our_own_may_ask(client: Client, headers: dict[str, str]) -> None:
    assert client.get("/optunapi/hparams/m", headers=headers).status_code == 200


def test_a_name_that_exists_nowhere_creates_no_file(client: Client, home: Path) -> None:
    client.get("/optunapi/hparams/unknown")
    client.get("/optunapi/score/m?trial_id=0&score=1")
    assert not list((home / "db").glob("*.db"))


def test_every_error_of_a_configuration_is_named_without_the_servers_paths(
    client: Client, home: Path
) -> None:
    configure(home, "bad", "x: {type: float, low: 3, high: 1}\ny: {type: integer}\n")
    response = client.get("/optunapi/hparams/bad")
    assert_problem(response, 422, "config-invalid")
    errors = response.json()["errors"]
    assert [(error["file"], error["line"]) for error in errors] == [
        ("bad.yaml", 1),
        ("bad.yaml", 2),
    ]
    assert str(home) not in response.text


def test_a_trial_that_waits_in_the_queue_takes_no_score(client: Client, home: Path) -> None:
    configure(
        home, "q", "enqueue: [{x: 1}, {x: 2}]\nparameters: {x: {type: int, low: 0, high: 9}}\n"
    )
    ask(client, "q")
    response = client.get("/optunapi/score/q?trial_id=1&score=1")
    assert_problem(response, 409, "trial-waiting")


def test_a_conflicting_score_shows_the_stored_trial(client: Client) -> None:
    ask(client)
    tell(client, 0, 1.0)
    document = client.get("/optunapi/score/m?trial_id=0&score=2").json()
    assert document["trial"]["values"] == [1.0]
    assert document["trial"]["number"] == 0


def test_a_finished_study_says_why(client: Client, home: Path) -> None:
    configure(home, "target", "target: 0.5\nparameters: {x: {type: float, low: 0, high: 1}}\n")
    ask(client, "target")
    tell(client, 0, 0.4, "target")
    response = client.get("/optunapi/hparams/target")
    assert_problem(response, 409, "study-finished")
    assert response.json()["finished_reason"] == "target"


def test_replies_are_strict_json(client: Client) -> None:
    ask(client)
    body = client.get("/optunapi/score/m?trial_id=0&score=-inf").text

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(body, parse_constant=refuse)


def test_a_fault_of_the_server_is_a_problem_with_an_id_that_is_in_the_log(
    client: Client, app: FastAPI, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ask(client)
    # Nothing that a client can send makes the engine fail like this.
    study = app.state.catalog.find("m")
    study._sampling.policy = None
    response = client.get("/optunapi/hparams/m")
    assert_problem(response, 500, "internal")
    assert [response.json()["request_id"]] == ids_of_failures(caplog)
    assert str(home) not in response.text
    assert "Traceback" not in response.text


def test_a_fault_before_asks_are_served_together_is_a_problem_to_each(
    client: Client, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    ask(client)
    app.state.catalog._studies._configs = None  # as above
    response = client.get("/optunapi/hparams/m")
    assert_problem(response, 500, "internal")
    assert [response.json()["request_id"]] == ids_of_failures(caplog)
