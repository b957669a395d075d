"""A trial in hand: parameters, reports, attributes, and how a `with` block ends."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
import requests

from optunapi import Study, Trial, TrialPruned
from optunapi.client.optuna_types.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optunapi.client.optuna_types.states import TrialState
from optunapi.errors import LeaseLost, TrialFinished, ValueInvalid
from tests.client.conftest import MakeStudy
from tests.client.proxy import Proxy


@pytest.fixture
def trial(study: Study) -> Trial:
    return study.ask()


def requests_of(proxy: Proxy) -> list[str]:
    return [f"{method} {path.rpartition('/')[2]}" for method, path in proxy.seen]


# Parameters


def test_a_parameter_of_the_configuration_costs_no_request_and_another_costs_one(
    study: Study, disturbed: Any, proxy: Proxy
) -> None:
    trial = disturbed.study(study.name).ask()
    proxy.seen.clear()
    assert trial.suggest_float("x", -10, 10) == trial.params["x"]
    assert trial.suggest_int("n", 1, 9) == trial.params["n"]
    assert not proxy.seen
    units = trial.suggest_int("units", 8, 64, log=True)
    assert requests_of(proxy) == ["POST suggest"]
    assert trial.suggest_int("units", 8, 64, log=True) == units == trial.params["units"]
    assert len(proxy.seen) == 1
    assert trial.distributions == {
        "x": FloatDistribution(-10, 10),
        "n": IntDistribution(1, 9),
        "units": IntDistribution(8, 64, log=True),
    }


def test_a_configured_value_outside_the_objectives_own_range_is_refused_with_both(
    study: Study, trial: Trial
) -> None:
    with pytest.raises(ValueInvalid) as raised:
        trial.suggest_float("x", 20, 30)
    assert str(raised.value) == (
        f'"x": the objective asks for float 20 … 30, and in the study\'s configuration, which gave '
        f"{trial.params['x']}, it is float -10 … 10: change one of them, or use another name"
    )
    asked: list[int] = []

    def objective(trial: Trial) -> float:
        asked.append(trial.number)
        return trial.suggest_float("x", 20, 30)

    with pytest.raises(ValueInvalid):
        study.optimize(objective, n_trials=3)
    assert len(asked) == 1
    failed = study.trial(asked[0])
    assert failed.state == "fail"
    assert "the objective asks for float 20 … 30" in str(failed.fail_reason)


def test_another_range_gives_the_first_value_with_a_warning(trial: Trial) -> None:
    x = trial.suggest_float("x", -20, 20)  # the configuration has a part of this range
    assert x == trial.params["x"]
    with pytest.warns(RuntimeWarning, match=r"from float -10 … 10 .* float 5 … 9 is ignored"):
        assert trial.suggest_float("x", 5, 9) == x
    width = trial.suggest_float("width", 0, 1)
    with pytest.warns(RuntimeWarning, match=r"from float 0 … 1 .* float 5 … 9 is ignored"):
        assert trial.suggest_float("width", 5, 9) == width


def test_another_kind_of_parameter_is_refused_by_the_server(trial: Trial) -> None:
    for again in (
        lambda: trial.suggest_int("x", -10, 10),
        lambda: trial.suggest_float("x", 1, 10, log=True),
        lambda: trial.suggest_categorical("n", [1, 2]),
    ):
        with pytest.raises(ValueInvalid) as raised:
            again()
        assert raised.value.status == 422
    trial.suggest_categorical("kind", ["a", "b"])
    with pytest.raises(ValueInvalid):
        trial.suggest_categorical("kind", ["a", "c"])


CHOICES = (None, True, 1.5, "a", 7)


def test_a_choice_is_the_callers_own_object(study: Study) -> None:
    found = set()
    for _ in range(30):
        with study.ask() as trial:
            choice = trial.suggest_categorical("choice", CHOICES)
            assert any(choice is each for each in CHOICES)
            assert trial.params["choice"] is choice
            found.add(choice)
            trial.tell(0)
    assert found == set(CHOICES)
    assert isinstance(trial.distributions["choice"], CategoricalDistribution)


def test_numbers_have_the_type_that_was_asked_for(trial: Trial) -> None:
    assert type(trial.suggest_float("whole", 1, 3, step=1)) is float
    assert type(trial.suggest_int("count", 1, 3)) is int


def test_a_fixed_value_of_a_parameter_that_no_configuration_names_is_given(
    make_study: MakeStudy,
) -> None:
    trial = make_study({"parameters": {}}).ask(fixed_params={"free": 0.25})
    assert trial.suggest_float("free", 0, 1) == 0.25


def test_deprecated_names_of_optuna_still_work(trial: Trial) -> None:
    for old, arguments in (
        (trial.suggest_uniform, (0, 1)),
        (trial.suggest_loguniform, (0.5, 1)),
        (trial.suggest_discrete_uniform, (0, 1, 0.25)),
    ):
        with pytest.warns(FutureWarning, match="suggest_float"):
            assert 0 <= old(old.__name__, *arguments) <= 1


# Reports and attributes


def test_the_pruners_answer_comes_with_the_report(make_study: MakeStudy) -> None:
    study = make_study(pruner={"name": "threshold", "upper": 1.0})
    trial = study.ask()
    assert trial.should_prune() is False
    assert trial.report(0.5, 1).should_prune() is False
    assert trial.report(9.0, 2) is trial
    assert trial.should_prune() is True
    assert trial.prune().values == [9.0]


def test_a_step_keeps_its_first_value(trial: Trial, study: Study) -> None:
    trial.report(1.0, 0)
    with pytest.warns(RuntimeWarning, match="step 0 was reported before"):
        trial.report(2.0, 0)
    assert study.trial(trial.number).intermediate_values == {0: 1.0}


@pytest.mark.parametrize(
    ("value", "step", "error"),
    [
        ("high", 1, TypeError),
        (1.0, "one", TypeError),
        (1.0, None, TypeError),
        (1.0, -1, ValueError),
    ],
)
def test_a_report_that_optuna_refuses_is_refused(
    trial: Trial, value: Any, step: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        trial.report(value, step)


def test_a_report_that_is_not_finite_is_kept_and_the_pruner_alone_decides(
    make_study: MakeStudy,
) -> None:
    study = make_study(pruner={"name": "median", "n_startup_trials": 1, "n_warmup_steps": 2})
    study.ask().report(0.5, 2).tell(1.0)
    trial = study.ask()
    assert not trial.report(float("nan"), 0).should_prune()
    assert trial.report(float("nan"), 2).should_prune()
    trial.report(float("inf"), 3)
    kept = study.trial(trial.number).intermediate_values
    assert all(map(math.isnan, kept.values()))
    assert kept.keys() == {0, 2, 3}


def test_with_several_objectives_nothing_is_reported_as_in_optuna(make_study: MakeStudy) -> None:
    trial = make_study(objectives={"a": "minimize", "b": "minimize"}).ask()
    with pytest.raises(NotImplementedError):
        trial.report(1.0, 1)
    with pytest.raises(NotImplementedError):
        trial.should_prune()


def test_a_report_brings_the_request_to_stop(study: Study, trial: Trial) -> None:
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}/trials/{trial.number}/stop"
    requests.post(url, timeout=10).raise_for_status()
    with trial:
        assert not trial.stop_requested
        if trial.report(1.0, 1).should_prune():
            raise TrialPruned
    closed = study.trial(trial.number)
    assert (closed.state, closed.fail_reason) == (TrialState.FAIL, "stopped")


def test_attributes_are_sent_at_once(study: Study, trial: Trial) -> None:
    trial.set_user_attr("epochs", 3)
    assert study.trial(trial.number).user_attrs == {"epochs": 3} == trial.user_attrs


def test_constraints_go_with_the_result_and_the_first_value_is_kept(
    study: Study, trial: Trial
) -> None:
    trial.set_constraint("memory", 0.5)
    with pytest.warns(RuntimeWarning, match="set before"):
        trial.set_constraint("memory", -1)
    with pytest.raises(ValueError, match="NaN"):
        trial.set_constraint("time", float("nan"))
    assert study.tell(trial.number, 1.0).constraints == {"memory": 0.5} == trial.constraints
    assert study.best_trials == []  # it is not feasible


def test_a_file_is_kept_with_its_trial(study: Study, trial: Trial, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights" * 100_000)
    assert trial.upload_artifact(path) == "model.pt"
    assert trial.upload_artifact(path, "best model.pt") == "best model.pt"
    place = f"{study.connection.url}/optunapi/v1/studies/{study.name}/trials/0/artifacts"
    assert requests.get(f"{place}/model.pt", timeout=10).content == path.read_bytes()
    names = [each["filename"] for each in requests.get(place, timeout=10).json()["items"]]
    assert sorted(names) == ["best model.pt", "model.pt"]
    with pytest.raises(FileNotFoundError):
        trial.upload_artifact(tmp_path / "none.pt")


# The end of a block


def test_a_block_that_told_a_result_does_nothing_more(study: Study) -> None:
    with study.ask() as trial:
        trial.tell(1.0)
    with study.ask() as other:
        study.tell(other.number, 2.0)
    assert [each.value for each in study.trials()] == [1.0, 2.0]


def test_an_exception_fails_the_trial_with_its_type_and_message(study: Study) -> None:
    with pytest.raises(ZeroDivisionError), study.ask():
        _ = 1 / 0
    closed = study.trial(0)
    assert (closed.state, closed.fail_reason) == (
        TrialState.FAIL,
        "ZeroDivisionError: division by zero",
    )


def test_a_message_that_cannot_be_sent_unchanged_fails_the_trial_too(study: Study) -> None:
    with pytest.raises(RuntimeError), study.ask():
        raise RuntimeError("half a pair: \ud800, a NUL: \0, and much more" + "x" * 20_000)
    reason = study.trial(0).fail_reason
    assert reason is not None
    assert reason.startswith("RuntimeError: half a pair: ?, a NUL: \ufffd, and")


@pytest.mark.parametrize("pruned", [TrialPruned, optuna.TrialPruned])
def test_trial_pruned_prunes_and_does_not_leave_the_block(
    study: Study, pruned: type[BaseException]
) -> None:
    with study.ask() as trial:
        trial.report(0.5, 1)
        raise pruned
    closed = study.trial(0)
    assert (closed.state, closed.values) == (TrialState.PRUNED, [0.5])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_gives_the_trial_back(study: Study, interrupt: type[BaseException]) -> None:
    with pytest.raises(interrupt), study.ask() as trial:
        raise interrupt
    assert study.trial(0).state == "waiting"
    again = study.ask()
    assert (again.number, again.params, again.attempt) == (0, trial.params, 2)


def test_a_lost_lease_tells_nothing(study: Study) -> None:
    other: list[Trial] = []

    def lose() -> None:
        with study.ask(worker="gpu-03") as trial:
            other.append(study.ask(worker="gpu-03", resume=True))
            trial.report(1.0, 1)

    with pytest.raises(LeaseLost):
        lose()
    assert study.trial(0).state == "running"


def test_a_block_without_a_result_fails_and_no_value_is_invented(study: Study) -> None:
    with pytest.warns(RuntimeWarning, match="ended without a result"), study.ask():
        pass
    closed = study.trial(0)
    assert closed.state == "fail"
    assert (closed.values, closed.fail_reason) == (None, "no-score")


def test_a_refusal_of_the_server_does_not_hide_the_exception(study: Study) -> None:
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}/trials/0/tell"

    def fail() -> None:
        with study.ask():
            requests.post(url, json={"value": 1.0}, timeout=10).raise_for_status()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as raised:
        fail()
    assert "the server was not told: trial 0 is finished" in raised.value.__notes__[0]


def test_a_cancelled_trial_is_told_nothing(study: Study) -> None:
    url = f"{study.connection.url}/optunapi/v1/studies/{study.name}/trials?state=running"

    def cancelled() -> None:
        with study.ask() as trial:
            requests.delete(url, timeout=10).raise_for_status()
            trial.report(1.0, 1)

    with pytest.raises(TrialFinished):
        cancelled()
    assert study.trial(0).fail_reason == "cancelled"


def test_a_trial_is_given_back_by_hand(study: Study) -> None:
    with study.ask() as trial:
        trial.release()
    assert study.trial(0).state == "waiting"
    assert not trial.is_open
