"""What a client knows of a study that was deleted and made again while it worked."""

import logging
import warnings
from pathlib import Path

import pytest

from optunapi import Client, Study
from optunapi.errors import ServerUnavailable, StudyReplaced, TrialFinished
from tests.client.conftest import XY
from tests.client.proxy import Proxy
from tests.support import Server


def remade(study: Study) -> Study:
    """Another study of this name."""
    study.connection.call("DELETE", "studies", study.slug, query={"force": "true"})
    put = study.connection.call("PUT", "studies", study.slug, body=XY)
    return Study(study.connection, put)


def test_no_request_of_a_trial_reaches_the_trial_of_another_study(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"weights")
    trials = [study.ask(lease_seconds=None), study.ask()]
    new = remade(study)
    for _ in trials:
        new.ask(lease_seconds=None)
    before = list(new.trials())
    for trial in trials:
        with pytest.raises(StudyReplaced):
            trial.report(1.0, 1)
        with pytest.raises(StudyReplaced):
            trial.suggest_float("another", 0, 1)
        with pytest.raises(StudyReplaced):
            trial.set_user_attr("a", 1)
        with pytest.raises(StudyReplaced):
            trial.upload_artifact(file)
        with caplog.at_level(logging.WARNING), pytest.raises(StudyReplaced):
            trial.tell(0.25)
        assert trial.stop_requested
        assert "0.25" in caplog.text
    for number in range(2):
        for call in (study.cancel, study.retry, lambda n: study.tell(n, 0.5)):
            with pytest.raises(StudyReplaced):
                call(number)
    study.ask().release()
    assert list(new.trials())[:2] == before


def test_giving_back_a_trial_of_a_study_that_is_gone_does_nothing(study: Study) -> None:
    trial = study.ask(lease_seconds=None)
    new = remade(study)
    new.ask(lease_seconds=None)
    trial.release()
    assert new.trial(0).state.name == "RUNNING"


def test_optimize_goes_on_with_the_study_that_was_made_meanwhile(study: Study) -> None:
    calls = []

    def objective(trial: object) -> float:
        calls.append(trial)
        if len(calls) == 1:
            remade(study)
        return float(len(calls))

    study.optimize(objective, n_trials=2)
    assert [trial.values for trial in study.trials()] == [[2.0]]


def test_a_kept_result_is_not_delivered_to_another_study_and_is_said_to_be_kept(
    study: Study, proxy: Proxy, spool: Path
) -> None:
    through = Client(proxy.url, timeout=5, retry_for=0).study(study.name)
    trial = through.ask(lease_seconds=None)
    proxy.disturb("", "reset")
    with pytest.warns(UserWarning, match="is kept in"):
        trial.tell(0.25)
    proxy.calm()
    new = remade(study)
    # The same parameters: without the uid only the time would tell the two trials apart.
    new.ask(lease_seconds=None, fixed_params=trial.params)
    with pytest.warns(UserWarning, match="study-replaced.*it is now in"):
        Client(proxy.url)
    assert new.trial(0).state.name == "RUNNING"
    (refused,) = spool.glob("*/*.refused")
    assert '"values": [0.25]' in refused.read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Client(proxy.url)  # it is said once


def test_one_trial_is_cancelled_and_tried_again(study: Study) -> None:
    trial = study.ask()
    assert study.cancel(0).fail_reason == "cancelled"
    with pytest.raises(TrialFinished):
        study.cancel(0)
    again = study.retry(0)
    assert (again.number, again.params) == (1, trial.params)
    assert study.ask().params == trial.params


def test_attributes_are_set_after_the_end(study: Study, server: Server, proxy: Proxy) -> None:
    trial = Client(proxy.url, timeout=5, retry_for=0).study(study.name).ask()
    trial.tell(1.0)
    trial.set_user_attr("cost", 2.5)
    assert Client(server.url).study(study.name).trial(0).user_attrs == {"cost": 2.5}
    proxy.disturb("", "reset")
    with pytest.raises(ServerUnavailable):
        trial.set_user_attr("note", "late")
    assert trial.user_attrs == {"cost": 2.5}
