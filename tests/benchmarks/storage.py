"""The storage alone: pairs a second for 1, 8, 32 and 100 callers, which wait for each durable commit.

A pair is one trial: it is added with seven parameters, and then completed.
"""

import random
import threading
import time
from datetime import datetime

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.spec.distributions import parse_distribution
from optunapi.storage import WriteThroughStorage, open_storage
from tests.benchmarks.findings import Found, Line
from tests.benchmarks.histories import PARAMETERS, some_params
from tests.benchmarks.run import Run

CALLERS = (1, 8, 32, 100)
DISTRIBUTIONS = {name: parse_distribution(wire) for name, wire in PARAMETERS.items()}


def measure(run: Run) -> Found:
    """Pairs a second for each number of callers."""
    seconds = float(run.size(5, 1))
    storage = open_storage(f"sqlite:///{run.new_folder('storage')}/pairs.db")
    lines = []
    for callers in CALLERS:
        run.say(f"The storage alone, {callers} callers")
        line = Line(
            name=f"storage-{callers}",
            work=f"pairs/s of the storage alone, callers: {callers}",
            value=_pairs_per_second(storage, callers, seconds),
            detail="a pair is a trial added and then completed; no HTTP, no sampling",
        )
        lines.append(line)
    storage.close()
    return Found(lines=tuple(lines))


def _pairs_per_second(storage: WriteThroughStorage, callers: int, seconds: float) -> float:
    """Closed loop: each caller adds a trial, waits, completes it, waits."""
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    done = [0] * callers
    start, end = threading.Barrier(callers + 1), threading.Event()

    def call(caller: int) -> None:
        chance = random.Random(caller)
        start.wait()
        while not end.is_set():
            trial_id = storage.create_new_trial(study_id, _running(chance))
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [chance.random()])
            done[caller] += 1

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    end.set()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def _running(chance: random.Random) -> FrozenTrial:
    return FrozenTrial(
        number=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params=some_params(chance),
        distributions=DISTRIBUTIONS,
        user_attrs={},
        system_attrs={"optunapi:worker": f"host-{chance.randint(0, 99)}"},
        intermediate_values={},
        trial_id=-1,
    )
