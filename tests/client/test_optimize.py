"""Optuna's loop over HTTP: what ends it, what does not, and what each trial becomes."""

import logging
import os
import re
import threading
import time
from typing import Any

import optuna
import pytest
import requests

from optunapi import Client, Study, Trial, TrialPruned
from optunapi.client import optimize
from optunapi.client.optuna_types.frozen import FrozenTrial
from tests.client.conftest import MakeStudy
from tests.support import Server


def parabola(trial: Any) -> float:
    x = trial.suggest_float("x", -10, 10)
    return float(x * x + trial.suggest_int("n", 1, 9))


def states(study: Study) -> list[str]:
    return [str(trial.state) for trial in study.trials()]


def test_n_trials_are_this_calls_share(study: Study) -> None:
    study.optimize(parabola, n_trials=3)
    study.optimize(parabola, n_trials=2)
    assert states(study) == ["complete"] * 5
    assert study.best_value == min(trial.value or 0 for trial in study.trials())


def test_with_several_threads_the_share_is_the_same(study: Study) -> None:
    together = threading.Barrier(4)

    def objective(trial: Trial) -> float:
        if trial.number < 4:
            together.wait(30)
        return parabola(trial)

    study.optimize(objective, n_trials=11, n_jobs=4)
    assert states(study) == ["complete"] * 11


def test_minus_one_means_a_thread_for_each_processor_and_other_numbers_below_one_are_refused(
    study: Study,
) -> None:
    processors = os.cpu_count() or 1
    together = threading.Barrier(processors)

    def objective(trial: Trial) -> float:
        together.wait(30)
        return parabola(trial)

    study.optimize(objective, n_trials=processors, n_jobs=-1)
    assert states(study) == ["complete"] * processors
    for n_jobs in (0, -2):
        with pytest.raises(ValueError, match="n_jobs"):
            study.optimize(parabola, n_trials=1, n_jobs=n_jobs)
    assert len(states(study)) == processors


def test_the_studys_limits_end_all_machines_together_and_normally(make_study: MakeStudy) -> None:
    study = make_study(max_trials=10)
    machines = [
        threading.Thread(target=study.optimize, args=(parabola,), kwargs={"n_jobs": 2})
        for _ in range(3)
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join()
    assert states(study) == ["complete"] * 10
    study.optimize(parabola)  # nothing to do is not an error


def test_optimize_waits_for_a_place_however_short_retry_for_is(
    make_study: MakeStudy, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimize, "LONG_POLL", 0.05)
    study = make_study(max_trials=1)
    other = study.ask()
    there = Client(server.url, retry_for=0).study(study.name)
    machine = threading.Thread(target=there.optimize, args=(parabola,))
    machine.start()
    machine.join(0.5)
    assert machine.is_alive()
    other.fail("out of memory")
    machine.join(30)
    assert states(study) == ["fail", "complete"]


def test_a_paused_study_is_waited_for(study: Study) -> None:
    study.pause()
    machine = threading.Thread(target=study.optimize, args=(parabola,), kwargs={"n_trials": 1})
    machine.start()
    machine.join(0.5)
    assert machine.is_alive()
    study.resume()
    machine.join(30)
    assert states(study) == ["complete"]


def test_after_the_time_no_trial_is_begun(make_study: MakeStudy) -> None:
    study = make_study(max_running=1)
    study.optimize(parabola, timeout=0)
    assert states(study) == []
    study.ask(lease_seconds=None)
    study.optimize(parabola, timeout=0.3)  # it does not wait either
    assert states(study) == ["running"]


def test_an_exception_fails_its_trial_and_ends_the_call(study: Study) -> None:
    def objective(trial: Trial) -> float:
        if trial.number == 1:
            raise RuntimeError("no memory")
        return parabola(trial)

    with pytest.raises(RuntimeError, match="no memory"):
        study.optimize(objective, n_trials=5)
    assert states(study) == ["complete", "fail"]
    assert study.trial(1).fail_reason == "RuntimeError: no memory"


def test_an_exception_in_a_thread_ends_the_call_when_the_others_are_done(study: Study) -> None:
    together = threading.Barrier(3)

    def objective(trial: Trial) -> float:
        together.wait(30)
        if trial.number == 1:
            raise RuntimeError("no memory")
        return parabola(trial)

    with pytest.raises(RuntimeError, match="no memory"):
        study.optimize(objective, n_trials=3, n_jobs=3)
    assert sorted(states(study)) == ["complete", "complete", "fail"]


@pytest.mark.parametrize("catch", [ZeroDivisionError, (KeyError, ZeroDivisionError)])
def test_a_caught_exception_fails_its_trial_alone(study: Study, catch: Any) -> None:
    def objective(trial: Trial) -> float:
        return 1 / trial.number

    study.optimize(objective, n_trials=3, catch=catch)
    assert states(study) == ["fail", "complete", "complete"]


@pytest.mark.parametrize("pruned", [TrialPruned, optuna.TrialPruned])
def test_a_pruned_trial_does_not_end_the_call(study: Study, pruned: type[Exception]) -> None:
    def objective(trial: Trial) -> float:
        trial.report(trial.number, 0)
        raise pruned

    study.optimize(objective, n_trials=2)
    assert states(study) == ["pruned", "pruned"]
    assert study.trial(1).values == [1.0]


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "None is not a number"),
        ("good", "'good' is not a number"),
        ([1.0, 2.0], "2 value(s) returned for 1 objective(s)"),
        ([], "0 value(s) returned for 1 objective(s)"),
        (float("nan"), "nan is not finite"),
    ],
)
def test_an_invalid_value_fails_its_trial_and_the_call_goes_on(
    study: Study, returned: Any, reason: str
) -> None:
    with pytest.warns(RuntimeWarning, match=re.escape(reason)):
        study.optimize(lambda trial: returned if trial.number == 0 else 1.0, n_trials=2)
    assert states(study) == ["fail", "complete"]
    assert study.trial(0).fail_reason == reason


def test_callbacks_get_the_study_and_the_finished_trial(study: Study) -> None:
    seen: list[FrozenTrial] = []

    def callback(of: Study, trial: FrozenTrial) -> None:
        assert of is study is trial.study
        assert trial.study.directions == ["minimize"]
        seen.append(trial)

    def objective(trial: Trial) -> float:
        trial.set_user_attr("number", trial.number)
        trial.suggest_float("own", 0, 1)
        return parabola(trial)

    study.optimize(objective, n_trials=2, callbacks=[callback])
    assert [trial.user_attrs for trial in seen] == [{"number": 0}, {"number": 1}]
    assert seen[0].distributions.keys() == {"x", "n", "own"}
    assert [trial.values for trial in seen] == [trial.values for trial in study.trials()]


def test_stop_within_the_call_ends_it_and_leaves_the_study_open(study: Study) -> None:
    def callback(study: Study, trial: FrozenTrial) -> None:
        if trial.number == 2:
            study.stop()

    study.optimize(parabola, callbacks=[callback])
    assert states(study) == ["complete"] * 3
    study.optimize(lambda trial: trial.study.stop() or 1.0)
    assert states(study) == ["complete"] * 4
    assert study.state == "open"


def test_the_call_within_itself_is_refused(study: Study) -> None:
    def objective(trial: Trial) -> float:
        trial.study.optimize(parabola, n_trials=1)
        return 1.0

    with pytest.raises(RuntimeError, match="its own objective"):
        study.optimize(objective, n_trials=1)


def test_a_trial_that_was_taken_away_does_not_end_the_call(
    study: Study, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"{server.url}/optunapi/v1/studies/{study.name}/trials?state=running"

    def objective(trial: Trial) -> float:
        if trial.number == 0:
            requests.delete(url, timeout=10).raise_for_status()
            trial.report(1.0, 1)
        return parabola(trial)

    study.optimize(objective, n_trials=2)
    assert states(study) == ["fail", "complete"]
    assert "was taken away" in caplog.text


def test_a_result_that_somebody_else_told_first_does_not_end_the_call(
    study: Study, server: Server
) -> None:
    def objective(trial: Trial) -> float:
        if trial.number == 0:
            Client(server.url).study(study.name).tell(0, 0.5)
        return parabola(trial)

    study.optimize(objective, n_trials=2)
    assert study.trial(0).values == [0.5]
    assert states(study) == ["complete", "complete"]


def test_an_objective_may_tell_or_give_back_its_trial_itself(study: Study) -> None:
    def objective(trial: Trial) -> None:
        trial.tell(1.0) if trial.number == 0 else trial.fail("by hand")

    study.optimize(objective, n_trials=2)
    assert states(study) == ["complete", "fail"]


def test_a_stopped_study_ends_the_call_and_its_trial(study: Study, server: Server) -> None:
    def objective(trial: Trial) -> float:
        Client(server.url).study(study.name).stop()
        for step in range(1000):
            if trial.report(1.0, step).should_prune():
                raise TrialPruned
        return 1.0

    study.optimize(objective)
    assert states(study) == ["fail"]
    assert study.trial(0).fail_reason == "stopped"


def test_every_thread_of_the_call_ends_with_it(study: Study) -> None:
    study.optimize(parabola, n_trials=4, n_jobs=2)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [each.name for each in threading.enumerate() if "optunapi-job" in each.name]
        if not left:
            return
    pytest.fail(f"{left} are left")


# The progress bar


def test_without_a_terminal_nothing_is_shown(
    study: Study, capfd: pytest.CaptureFixture[str]
) -> None:
    study.optimize(parabola, n_trials=2)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_a_bar_shows_the_trials_and_the_best_value(study: Study) -> None:
    import pty
    import subprocess
    import sys

    code = f"""
from optunapi import Client
study = Client({study.connection.url!r}).study({study.name!r})
study.optimize(lambda trial: 7.0 - trial.number, n_trials=3)
"""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env=os.environ)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # a terminal reports the end of the other side like this
            break
    os.close(ours)
    assert process.wait(60) == 0
    assert b"3/3" in shown
    assert b"best 5" in shown


def test_the_loop_logs_each_trial(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="optunapi"):
        study.optimize(lambda _: 1.5, n_trials=1)
    assert "complete [1.5]" in caplog.text
