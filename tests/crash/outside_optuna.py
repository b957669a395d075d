"""Optuna itself on a study that a server has open: asks, tells, enqueues and sets attributes.

    python -m tests.crash.outside_optuna FILE STUDY TRIALS

Prints a JSON line for everything it did, after that was committed.
"""

import json
import sys
import time
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState


def did(what: str, **facts: Any) -> None:
    print(json.dumps({"did": what, **facts}), flush=True)


def main(path: str, name: str, n_trials: int) -> None:
    # Optuna waits 5 s for a lock by default, which is little on a busy machine.
    storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
    study = optuna.load_study(
        study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler(seed=1)
    )
    for i in range(n_trials):
        if i % 2:
            # Optuna finds a waiting trial and takes it in two steps. On SQLite two processes can then get
            # the same one, with or without a server. So it asks only when the queue is empty again.
            point = {"x": i / 1000, "n": i + 1, "kind": "b"}
            study.enqueue_trial(point, user_attrs={"enqueued": i})
            did("enqueue", i=i, params=point)
            deadline = time.monotonic() + 60
            while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{point} was not handed out")
                time.sleep(0.02)
        study.set_user_attr(f"outside-{i}", i)
        did("study attribute", i=i)
        trial = study.ask()
        params = {
            "x": trial.suggest_float("x", -10, 10),
            "n": trial.suggest_int("n", 1, 1000),
            "kind": trial.suggest_categorical("kind", ["a", "b", "c"]),
        }
        trial.set_user_attr("outside", i)
        trial.report(i / 2, step=1)
        did("ask", i=i, number=trial.number, params=params)
        if i % 8:
            study.tell(trial, float(i))
            did("tell", i=i, number=trial.number, value=float(i))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
