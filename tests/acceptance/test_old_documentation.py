"""Trainers written for OptunAPI 0.1 run unchanged, many at once, however the server is started."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from tests.support import ROOT, running_server, scaled

STUDY = "optunapi-test"
TRAINERS = 16
TRIALS = scaled(250, 2500)
OLD_TRAINER = Path(__file__).with_name("old_trainer.py")


def run_trainers(url: str) -> list[dict[str, Any]]:
    """Run TRAINERS parallel processes of TRIALS trials; return their replies by trial number."""
    shares = [(TRIALS + i) // TRAINERS for i in range(TRAINERS)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(OLD_TRAINER), url, STUDY, str(share)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for share in shares
    ]
    answers = []
    for process in processes:
        output, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
        answers += [json.loads(line) for line in output.splitlines()]
    return sorted(answers, key=lambda answer: answer["hparams"]["trial_id"])


@pytest.mark.parametrize(
    ("folder", "target"),
    [(ROOT / "optunapi", "server:optunapi"), (ROOT, "optunapi.server:optunapi")],
    ids=["inside the package", "at the root"],
)
def test_sixteen_trainers_share_a_study_without_losing_or_repeating_a_trial(
    home: Path, folder: Path, target: str
) -> None:
    storage = f"sqlite:///{home}/db/{STUDY}.db"
    with running_server(home, cwd=folder, target=target) as server:
        answers = run_trainers(server.url)
        while_serving = optuna.load_study(study_name=STUDY, storage=storage).trials
    trials = optuna.load_study(study_name=STUDY, storage=storage).trials

    assert [a["hparams"]["trial_id"] for a in answers] == list(range(TRIALS))
    assert [t.number for t in trials] == list(range(TRIALS))
    assert while_serving == trials
    for answer, trial in zip(answers, trials, strict=True):
        asked, told = answer["hparams"], answer["score"]
        x, y = asked["params"]["x"], asked["params"]["y"]
        assert trial.state is TrialState.COMPLETE
        assert trial.values == [x**2 + y**2] == [told["score"]]
        assert trial.params == asked["params"] == told["params"]
        assert trial.distributions == dict.fromkeys("xy", FloatDistribution(-10, 10))
        assert told["state"] == "complete"
        best = trials[told["best_trial"]]
        assert told["best_trial"] == told["best_trial_id"] == told["best_score_id"]
        assert (told["best_score"], told["best_params"]) == (best.value, best.params)
        assert best.values is not None
        assert best.values <= trial.values
    last = max(answers, key=lambda answer: answer["score"]["completed_trials"])["score"]
    assert last["completed_trials"] == TRIALS
    assert last["running_trials"] == 0
    assert [last["best_score"]] == min(t.values for t in trials)
