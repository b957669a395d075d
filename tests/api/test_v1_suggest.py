"""Define-by-run over HTTP: `POST …/trials/{n}/suggest`."""

from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler

from tests.api.wire import Wire, problem

LONG = "y" * 513
UNIT = {"type": "float", "low": 0, "high": 1}
BY_RUN: dict[str, Any] = {"parameters": {}, "sampler": {"name": "tpe", "seed": 3}}


def path(study: str, number: int) -> str:
    return f"/studies/{study}/trials/{number}/suggest"


def suggest(wire: Wire, study: str, number: int, name: str, **distribution: Any) -> Any:
    body = {"name": name, "distribution": distribution}
    reply = wire.ok("POST", path(study, number), json=body)
    assert set(reply) == {"value"}
    return reply["value"]


@pytest.fixture(scope="module")
def by_run(wire: Wire) -> str:
    """A define-by-run study: trial 0 running with a float x, 1 complete with a choice c, 2 queued."""
    study = wire.put(BY_RUN, enqueue=[{"x": 0.5}, {"c": "p"}, {"x": 0.25}])
    wire.ask(study)
    suggest(wire, study, 0, "x", **UNIT)
    wire.ask(study)
    suggest(wire, study, 1, "c", type="categorical", choices=["p", "q", None, 2.5, True])
    wire.tell(study, 1, value=1)
    return study


def test_a_loop_over_layers_gets_what_a_local_study_gets(wire: Wire) -> None:
    study = wire.put(BY_RUN)
    local = optuna.create_study(sampler=TPESampler(seed=3))
    for number in range(15):
        assert wire.ask(study)["params"] == {}
        trial, score = local.ask(), 0.0
        layers = suggest(wire, study, number, "layers", type="int", low=1, high=3)
        assert layers == trial.suggest_int("layers", 1, 3)
        for i in range(layers):
            units = suggest(wire, study, number, f"units_{i}", type="int", low=8, high=64, log=True)
            assert units == trial.suggest_int(f"units_{i}", 8, 64, log=True)
            score += units
        act = suggest(wire, study, number, "act", type="categorical", choices=["relu", None, 3])
        assert act == trial.suggest_categorical("act", ["relu", None, 3])
        keep = suggest(wire, study, number, "keep", type="float", low=0.5, high=1, step=0.25)
        assert keep == trial.suggest_float("keep", 0.5, 1, step=0.25)
        rate = suggest(wire, study, number, "lr", type="float", low=1e-5, high=0.1, log=True)
        assert rate == trial.suggest_float("lr", 1e-5, 0.1, log=True)
        told = wire.tell(study, number, value=score * rate)
        local.tell(trial, score * rate)
        assert told["params"] == trial.params
    assert wire.study(study)["parameters"] == {}


def test_the_same_name_again_gives_the_same_value(wire: Wire, by_run: str) -> None:
    with wire.unchanged(by_run):
        assert suggest(wire, by_run, 0, "x", **UNIT) == 0.5
        assert suggest(wire, by_run, 0, "x", type="float", low=7, high=8) == 0.5


def test_a_configured_study_takes_further_parameters(wire: Wire) -> None:
    study = wire.put(avoid_duplicates="all")
    asked = wire.ask(study, params={"n": 3})
    assert suggest(wire, study, 0, "n", type="int", low=1, high=9) == 3
    extra = suggest(wire, study, 0, "extra", **UNIT)
    assert wire.trial(study, 0)["params"] == {**asked["params"], "extra": extra}


@pytest.mark.parametrize("kind", ["float", "int"])
def test_whole_numbers_may_be_written_with_a_point(wire: Wire, by_run: str, kind: str) -> None:
    value = suggest(wire, by_run, 0, f"w-{kind}", type=kind, low=2.0, high=2)
    assert (value, type(value).__name__) == (2, kind)


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("x", {"type": "int", "low": 0, "high": 1}),
        ("x", {"type": "float", "low": 0.5, "high": 1, "log": True}),
        ("c", {"type": "categorical", "choices": ["p", "q"]}),
        ("c", UNIT),
        ("y", {"type": "float", "low": 1, "high": 0}),
        ("y", {"type": "float", "low": 0, "high": 1, "log": True}),
        ("y", {"type": "float", "low": 1, "high": 2, "step": 0.5, "log": True}),
        ("y", {"type": "float", "low": -1e308, "high": 1e308}),
        ("y", {"type": "int", "low": 0, "high": 10**400}),
        ("y", {"type": "int", "low": 0, "high": 5, "step": 0}),
        ("y", {"type": "categorical", "choices": ["a", "a"]}),
        ("y", {"type": "categorical", "choices": [1, True]}),
    ],
)
def test_a_distribution_that_cannot_be_is_refused(
    wire: Wire, by_run: str, name: str, distribution: dict[str, Any]
) -> None:
    with wire.unchanged(by_run):
        found = wire.refused(
            "POST",
            path(by_run, 0),
            422,
            "value-invalid",
            json={"name": name, "distribution": distribution},
        )
    assert name in found["detail"]
    if name == "y":
        for error in found["errors"]:
            assert error["location"][:2] == ["body", "distribution"]
            assert error["location"][2] in distribution


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "y"},
        {"distribution": UNIT},
        {"name": "", "distribution": UNIT},
        {"name": 1, "distribution": UNIT},
        {"name": LONG, "distribution": UNIT},
        {"name": "a\0", "distribution": UNIT},
        {"name": "y", "distribution": UNIT, "value": 1},
        {"name": "y", "distribution": None},
        {"name": "y", "distribution": {"low": 0, "high": 1}},
        {"name": "y", "distribution": {"type": "normal", "low": 0, "high": 1}},
        {"name": "y", "distribution": {"type": "float", "low": 0}},
        {"name": "y", "distribution": {**UNIT, "high": "1"}},
        {"name": "y", "distribution": {**UNIT, "high": True}},
        {"name": "y", "distribution": {**UNIT, "log": 1}},
        {"name": "y", "distribution": {**UNIT, "choices": [1]}},
        {"name": "y", "distribution": {"type": "int", "low": 0, "high": 1.5}},
        {"name": "y", "distribution": {"type": "categorical", "choices": []}},
        {"name": "y", "distribution": {"type": "categorical", "choices": [[1]]}},
        {"name": "y", "distribution": {"type": "categorical", "choices": "ab"}},
    ],
    ids=lambda body: str(body)[:60],
)
def test_a_body_of_another_shape_is_refused(wire: Wire, by_run: str, body: Any) -> None:
    with wire.unchanged(by_run):
        wire.refused("POST", path(by_run, 0), 422, "request-invalid", json=body)


def test_only_a_running_trial_s_holder_is_given_anything(wire: Wire, by_run: str) -> None:
    body = {"name": "z", "distribution": UNIT}
    leased = wire.put(BY_RUN)
    lease = wire.ask(leased, lease_seconds=60)["lease"]["id"]
    with wire.unchanged(by_run, leased):
        found = wire.refused("POST", path(by_run, 1), 409, "trial-finished", json=body)
        assert found["trial"]["number"] == 1
        wire.refused("POST", path(by_run, 2), 409, "trial-waiting", json=body)
        wire.refused("POST", path(by_run, 9), 404, "trial-not-found", json=body)
        wire.refused("POST", path(leased, 0), 409, "lease-lost", json=body)
        wire.refused("POST", path(leased, 0), 409, "lease-lost", json={**body, "lease": "x"})
        wire.refused("POST", path("none", 0), 404, "study-not-found", json=body)
        wire.refused("POST", path("-", 0), 422, "name-invalid", json=body)
    assert 0 <= wire.ok("POST", path(leased, 0), json={**body, "lease": lease})["value"] <= 1


def test_a_study_never_asked_from_has_no_trial_and_stays_so(wire: Wire) -> None:
    study = wire.configure("parameters: {}")
    body = {"name": "x", "distribution": UNIT}
    with wire.unchanged():
        wire.refused("POST", path(study, 0), 404, "trial-not-found", json=body)


def test_another_site_may_not(wire: Wire, by_run: str) -> None:
    response = wire.request(
        "POST",
        path(by_run, 0),
        json={"name": "z", "distribution": UNIT},
        headers={"Sec-Fetch-Site": "cross-site"},
    )
    problem(response, 403, "cross-site")
