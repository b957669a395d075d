"""Replies of v1: strict JSON for all that Optuna stores, times in UTC, no internals of the server."""

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from tests.api.wire import Wire, ids_of_failures
from tests.support import running_server

INF, NAN = math.inf, math.nan


def made_by_optuna(wire: Wire, **options: Any) -> optuna.Study:
    """A new study in a file that the server has not opened yet."""
    name = wire.new_name()
    return optuna.create_study(
        study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db", **options
    )


def close(study: optuna.Study) -> str:
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    return study.study_name


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def read(wire: Wire, path: str) -> Any:
    response = wire.request("GET", path)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/json"
    return strict(response.text)


@pytest.fixture(scope="module")
def infinite(wire: Wire) -> str:
    """A study made by Optuna with numbers that JSON lacks, wherever Optuna allows them."""
    study = made_by_optuna(wire)
    odd = CategoricalDistribution((INF, 1.5))
    for value in (INF, -INF, 2.0):
        study.add_trial(
            create_trial(
                value=value,
                params={"c": INF},
                distributions={"c": odd},
                intermediate_values={0: INF, 1: -INF, 2: NAN, 3: 0.5},
                user_attrs={"inf": INF, "nan": NAN, "deep": {"list": [1, -INF, {"a": NAN}]}},
                system_attrs={"constraints:c": -INF},
            )
        )
    study.set_user_attr("nan", [NAN, 1])
    return close(study)


def test_what_is_not_finite_shows_as_null(wire: Wire, infinite: str) -> None:
    trial = read(wire, f"/studies/{infinite}/trials/0")
    assert trial["values"] == [None]
    assert trial["params"] == {"c": None}
    assert trial["intermediate_values"] == {"0": None, "1": None, "2": None, "3": 0.5}
    assert trial["user_attrs"] == {
        "inf": None,
        "nan": None,
        "deep": {"list": [1, None, {"a": None}]},
    }
    assert trial["constraints"] == {"c": None}


def test_what_is_not_finite_breaks_no_route(wire: Wire, infinite: str) -> None:
    study = read(wire, f"/studies/{infinite}")
    assert study["best"] == {"number": 1, "values": [None], "params": {"c": None}}
    assert study["user_attrs"] == {"nan": [None, 1]}
    assert study["parameters"]["c"]["choices"] == [None, 1.5]
    for order in ("number", "-number", "value", "-value"):
        assert len(read(wire, f"/studies/{infinite}/trials?order={order}")["items"]) == 3
    assert [t["number"] for t in read(wire, f"/studies/{infinite}/best?n=3")["items"]] == [1, 2, 0]
    assert infinite in {s["name"] for s in read(wire, "/studies?limit=1000")["items"]}


def test_a_problem_is_strict_json_too(wire: Wire, infinite: str) -> None:
    path = f"/studies/{infinite}/trials/0/tell"
    response = wire.request("POST", path, json={"value": 3})
    assert response.status_code == 409
    assert strict(response.text)["trial"]["user_attrs"]["nan"] is None


def test_a_trial_of_optunas_own_has_every_field(wire: Wire) -> None:
    study = made_by_optuna(wire, direction="maximize")
    trial = study.ask({"x": FloatDistribution(0, 1)})
    trial.report(0.5, 3)
    trial.set_user_attr("a", 1)
    study.tell(trial, 0.75)
    found = wire.trial(close(study), 0)
    assert found["params"] == trial.params
    assert (found["values"], found["intermediate_values"]) == ([0.75], {"3": 0.5})
    assert (found["worker"], found["lease"], found["attempt"]) == (None, None, 0)
    assert found["created_at"] == found["started_at"]


CHOICES: list[tuple[Any, ...]] = [
    (None, True, "None", "True", ""),
    (1, "1", 1.5, "1.5", "1e5", "0x1", "1_0", "nan", "null", "~", "on"),
    (0.1, -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1, -(2**63)),
    ("é", "\N{GRINNING FACE}", " ", "a\nb", "\u2028", '"', "\\", "a\0b", "x" * 1000),
    (True, False),
    (1, 0),
    (1.0, 0.0),
]


def exact(values: Any) -> list[tuple[type, str]]:
    """Values with their types: 1, 1.0 and true are equal in Python."""
    return [(type(value), repr(value)) for value in values]


@pytest.mark.parametrize("choices", CHOICES, ids=lambda c: repr(c)[:40])
def test_a_categorical_scalar_comes_back_as_what_went_in(
    wire: Wire, choices: tuple[Any, ...]
) -> None:
    name = wire.put({"parameters": {"c": {"type": "categorical", "choices": list(choices)}}})
    shown = wire.study(name)["parameters"]["c"]["choices"]
    assert exact(shown) == exact(choices)
    for number, choice in enumerate(choices):
        asked = wire.ask(name, params={"c": choice})["params"]["c"]
        again = wire.trial(name, number)["params"]["c"]
        assert exact([asked, again]) == exact([choice, choice])


def test_1_and_1_0_and_true_are_three_choices_or_an_error_but_never_one_for_another(
    wire: Wire,
) -> None:
    choices = [1, 1.0, True]
    name = wire.new_name()
    spec = {"parameters": {"c": {"type": "categorical", "choices": choices}}}
    response = wire.request("PUT", f"/studies/{name}", json=spec)
    if response.status_code == 422:
        assert response.json()["code"] == "config-invalid"
        return
    for number, choice in enumerate(choices):
        wire.ask(name, params={"c": choice})
        assert exact([wire.trial(name, number)["params"]["c"]]) == exact([choice])


def test_a_choice_of_another_type_is_not_a_choice(wire: Wire) -> None:
    name = wire.put({"parameters": {"c": {"type": "categorical", "choices": [1, "1", None]}}})
    for other in (True, "None", "", 2, 0):
        body = {"params": {"c": other}}
        with wire.unchanged(name):
            wire.refused("POST", f"/studies/{name}/trials", 422, "value-invalid", json=body)


def test_scalars_survive_a_restart_of_nothing_but_the_database(wire: Wire) -> None:
    choices = [None, True, 1.5, "1", "é"]
    name = wire.put({"parameters": {"c": {"type": "categorical", "choices": choices}}})
    for choice in choices:
        wire.ask(name, params={"c": choice})
    stored = optuna.load_study(study_name=name, storage=f"sqlite:///{wire.home}/db/{name}.db")
    assert exact(trial.params["c"] for trial in stored.trials) == exact(choices)


def test_numpy_scalars_that_optuna_stored_come_back_as_numbers(wire: Wire) -> None:
    study = made_by_optuna(wire)
    study.enqueue_trial({"x": np.float64(0.25)})
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("c", [np.float64(0.5), "b"])
    trial.report(np.float32(0.5), np.int64(3))  # type: ignore[arg-type]
    trial.set_user_attr("a", np.float64(1.5))
    study.tell(trial, np.float64(2.5))
    other = study.ask()
    study.tell(other, np.int64(3))  # type: ignore[arg-type]
    name = close(study)
    found = read(wire, f"/studies/{name}/trials/0")
    assert found["params"]["x"] == 0.25
    assert (found["values"], found["user_attrs"]) == ([2.5], {"a": 1.5})
    assert found["intermediate_values"] == {"3": 0.5}
    assert read(wire, f"/studies/{name}/trials/1")["values"] == [3.0]


def test_times_are_utc_wherever_the_server_is(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    start = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=timezone(timedelta(hours=5)))
    local = start.astimezone().replace(tzinfo=None)  # as Optuna stores it
    trial = create_trial(state=TrialState.COMPLETE, value=1.0)
    trial.datetime_start, trial.datetime_complete = local, local + timedelta(seconds=90)
    url = f"sqlite:///{tmp_path}/db/s.db"
    optuna.create_study(study_name="s", storage=url).add_trial(trial)
    with (
        running_server(tmp_path, environment={"TZ": "America/St_Johns"}) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        wire = Wire(client=client, home=tmp_path)
        found, asked = wire.trial("s", 0), wire.ask("s", lease_seconds=60)
        last = wire.study("s")["last_activity_at"]
    assert found["started_at"] == found["created_at"] == "2026-03-01T07:30:15.250Z"
    assert found["finished_at"] == "2026-03-01T07:31:45.250Z"
    now = datetime.now(UTC)
    for time in (asked["created_at"], asked["started_at"], asked["lease"]["expires_at"], last):
        assert abs(datetime.fromisoformat(time) - now) < timedelta(minutes=30)


def test_a_study_that_came_without_a_specification_has_one_made_of_its_trials(wire: Wire) -> None:
    study = made_by_optuna(wire, directions=["minimize", "maximize"])
    trial = study.ask({"lr": FloatDistribution(1e-5, 1e-1, log=True)})
    study.tell(trial, [1.0, 2.0])
    found = wire.study(close(study))
    assert [o["direction"] for o in found["objectives"]] == ["minimize", "maximize"]
    assert found["parameters"]["lr"] == {
        "type": "float",
        "low": 1e-5,
        "high": 0.1,
        "log": True,
        "step": None,
    }
    assert found["best"]["values"] == [1.0, 2.0]
    assert re.fullmatch("[0-9a-f]{12}", found["spec_version"])


def test_errors_say_nothing_of_the_server_or_of_other_studies(wire: Wire, study: str) -> None:
    other = wire.put()
    replies = [
        wire.request(method, path, **options)
        for method, path, options in (
            ("GET", "/studies/absent", {}),
            ("GET", "/studies/a%20b", {}),
            ("GET", "/nothing", {}),
            ("PUT", "/studies", {}),
            ("GET", f"/studies/{study}/trials/999", {}),
            ("GET", f"/studies/{study}/trials/x", {}),
            ("POST", f"/studies/{study}/trials", {"content": b"{"}),
            ("POST", f"/studies/{study}/trials", {"json": {"params": {"z": 1}}}),
            ("POST", f"/studies/{study}/trials/0/tell", {"json": {"value": 7}}),
            ("PUT", f"/studies/{study}", {"json": {"parameters": {}}}),
            ("PUT", "/studies/absent", {"json": {"parameters": {"x": {"type": "?"}}}}),
            ("DELETE", f"/studies/{study}", {}),
        )
    ]
    for response in replies:
        assert 400 <= response.status_code < 500, response.text
        for secret in (str(wire.home), "sqlite", ".db", "Traceback", 'File "', other):
            assert secret not in response.text


def test_a_fault_of_the_server_shows_an_id_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from optunapi.app import create_app
    from optunapi.settings import Settings
    from tests.api.server import serving_app

    app = create_app(Settings(home=tmp_path))
    with serving_app(app) as client:
        wire = Wire(client=client, home=tmp_path)
        (tmp_path / "config").mkdir()
        name = wire.put()
        # Nothing that a client can send makes the engine fail like this.
        app.state.catalog.find(name)._sampling.policy = None
        document = wire.refused("POST", f"/studies/{name}/trials", 500, "internal")
    assert [document["request_id"]] == ids_of_failures(caplog)
    assert set(document) == {"type", "title", "status", "detail", "code", "request_id"}
    assert "NoneType" not in str(document)
