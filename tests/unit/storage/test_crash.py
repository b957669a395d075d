"""A killed process loses nothing that it acknowledged."""

import json
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

from optuna.trial import TrialState

from tests.support import scaled
from tests.unit.storage.support import (
    MINIMIZE,
    assert_database_equals_memory,
    assert_kept_is_true,
    opened,
    python,
    sql,
)

WORK = """
import json, os, sys, threading
from optuna.trial import TrialState
from optunapi.storage import open_storage
from tests.unit.storage.support import template
storage = open_storage(sys.argv[1])
study_id = storage.get_study_id_from_name("study")
def say(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())  # one write, whole or not at all
def work(worker):
    i = 0
    while True:
        name = f"{os.getpid()}-{worker}-{i}"
        i += 1
        with storage.unit() as unit:
            trial = storage.add_trial(
                study_id, template(params={"x": 0.5, "n": 3}, user_attrs={"name": name})
            )
        unit.commit.result()
        say("asked", trial.number, name)
        storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [i])
        say("told", trial.number, name, i)
for worker in range(16):
    threading.Thread(target=work, args=(worker,)).start()
"""


def acknowledged(url: str, lines: int) -> Iterator[list[Any]]:
    """The lines a process wrote before it was killed: `lines` of them or a few more."""
    with python(WORK, url) as worker:
        assert worker.stdout is not None
        for _ in range(lines):
            yield json.loads(worker.stdout.readline())
        os.kill(worker.pid, signal.SIGKILL)
        for line in worker.stdout:
            if line.endswith("\n"):
                yield json.loads(line)


def test_what_was_acknowledged_survives_kill_9(url: str) -> None:
    source = random.Random(7)
    with opened(url) as storage:
        study_id = storage.create_new_study(MINIMIZE, "study")
    asked: dict[int, str] = {}
    told: dict[int, list[float]] = {}
    for _ in range(scaled(3, 40)):
        for kind, number, name, *value in acknowledged(url, source.randint(1, 400)):
            if kind == "asked":
                assert number not in asked  # handed out twice
                asked[number] = name
            else:
                told[number] = value
        with sql(url) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with opened(url) as storage:
            trials = storage.get_all_trials(study_id)
            assert_kept_is_true(storage, study_id)
            assert_database_equals_memory(storage)
        assert len({trial.user_attrs["name"] for trial in trials}) == len(trials)
        for number, name in asked.items():
            assert trials[number].user_attrs["name"] == name
        for number, value in told.items():
            assert trials[number].values == value
        for trial in trials:  # a trial is stored whole or not at all
            assert trial.params == {"x": 0.5, "n": 3}
            assert (trial.values is None) == (trial.state == TrialState.RUNNING)
