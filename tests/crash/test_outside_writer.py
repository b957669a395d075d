"""Optuna works on the file of a running server, under load: the work of both is there, once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from optunapi.engine.records import TrialRecord
from tests.crash.support import (
    STUDY,
    Trainers,
    assert_kept,
    assert_memory_equals_database,
    database,
)
from tests.support import ROOT, running_server, scaled


def test_optuna_and_a_server_under_load_lose_nothing_and_double_nothing(home: Path) -> None:
    path, n_trials = database(home), scaled(40, 400)
    with running_server(home) as server, Trainers(server.port, clients=8) as trainers:
        trainers.wait_for_acknowledged(20)
        optuna_beside = subprocess.run(
            [
                sys.executable,
                *("-m", "tests.crash.outside_optuna", str(path), STUDY, str(n_trials)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert optuna_beside.returncode == 0, optuna_beside.stderr[-2000:]
        trainers.wait_for_each()
        trainers.finish()
        assert not trainers.refusals, trainers.refusals[0]
        ledger, trials = trainers.ledger(), assert_kept(path, trainers.ledger())
        assert_memory_equals_database(server, path)

    done = [json.loads(line) for line in optuna_beside.stdout.splitlines()]
    theirs = {fact["number"]: fact for fact in done if fact["did"] == "ask"}
    told = {fact["number"]: fact["value"] for fact in done if fact["did"] == "tell"}
    enqueued = {fact["i"]: fact["params"] for fact in done if fact["did"] == "enqueue"}
    assert len(theirs) == n_trials

    assert not theirs.keys() & {asked.number for asked in ledger.asked}, "handed out on both sides"
    for number, fact in theirs.items():
        trial = trials[number]
        assert trial.params == fact["params"]
        assert trial.user_attrs["outside"] == fact["i"]
        assert trial.intermediate_values == {1: fact["i"] / 2}
        if number in told:
            assert (trial.state, trial.value) == (TrialState.COMPLETE, told[number])
        else:
            assert trial.state == TrialState.RUNNING
        assert not TrialRecord.of(trial).keys

    copies = Counter(trial.user_attrs.get("enqueued") for trial in trials)
    for i, point in enqueued.items():
        assert copies[i] == 1
        (trial,) = (trial for trial in trials if trial.user_attrs.get("enqueued") == i)
        assert trial.params == point
        assert trial.number in {asked.number for asked in ledger.asked}
    assert len(ledger.asked) == len(trials) - len(theirs)

    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"poolclass": NullPool})
    try:
        attrs = optuna.load_study(study_name=STUDY, storage=storage).user_attrs
    finally:
        storage.remove_session()
        storage.engine.dispose()
    assert {f"outside-{i}": i for i in range(n_trials)}.items() <= attrs.items()
