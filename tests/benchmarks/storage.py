"""The storage alone: pairs a second for 1, 8, 32 and 100 callers, and what a large study costs.

    python -m tests.benchmarks.storage [--seconds S] [--trials N]

A pair is a trial added with seven parameters and then completed, each waited for: two durable
commits. Prints a table and, as the last line, the same as JSON.
"""

import argparse
import gc
import json
import random
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.storage import WriteThroughStorage, open_storage

DISTRIBUTIONS = {
    "optimizer": CategoricalDistribution(("sgd", "adam", "rmsprop")),
    "layers": IntDistribution(1, 8),
    "units": IntDistribution(16, 1024, log=True),
    "batch": IntDistribution(16, 256, step=16),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "momentum": FloatDistribution(0, 1),
    "dropout": FloatDistribution(0, 0.5),
}


def template(source: random.Random, *, finished: bool = False) -> FrozenTrial:
    """A trial with the seven parameters."""
    now = datetime.now()
    return FrozenTrial(
        number=-1,
        state=TrialState.COMPLETE if finished else TrialState.RUNNING,
        value=source.random() if finished else None,
        datetime_start=now,
        datetime_complete=now if finished else None,
        params={
            "optimizer": source.choice(("sgd", "adam", "rmsprop")),
            "layers": source.randint(1, 8),
            "units": source.randint(16, 1024),
            "batch": 16 * source.randint(1, 16),
            "lr": source.uniform(1e-5, 1e-1),
            "momentum": source.random(),
            "dropout": source.random() / 2,
        },
        distributions=DISTRIBUTIONS,
        user_attrs={},
        system_attrs={"optunapi:worker": f"host-{source.randint(0, 99)}"},
        intermediate_values={},
        trial_id=-1,
    )


def pairs_per_second(storage: WriteThroughStorage, callers: int, seconds: float) -> float:
    """Closed loop: each caller adds a trial, waits, completes it, waits."""
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    done = [0] * callers
    start = threading.Barrier(callers + 1)
    end = threading.Event()

    def call(caller: int) -> None:
        source = random.Random(caller)
        start.wait()
        while not end.is_set():
            trial_id = storage.create_new_trial(study_id, template(source))
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [source.random()])
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


def resident_mb() -> float:
    """This process's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def large_study(folder: Path, trials: int) -> dict[str, float]:
    """Write a study, open it again: seconds and megabytes."""
    url = f"sqlite:///{folder}/large.db"
    storage = open_storage(url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    source = random.Random(0)
    began = time.perf_counter()
    for first in range(0, trials, 1000):
        with storage.unit():
            for _ in range(first, min(first + 1000, trials)):
                storage.add_trial(study_id, template(source, finished=True))
    storage.committed().result()
    wrote = time.perf_counter() - began
    storage.close()
    del storage
    gc.collect()
    before = resident_mb()
    began = time.perf_counter()
    storage = open_storage(url)
    loaded = time.perf_counter() - began
    gc.collect()
    memory = resident_mb() - before
    storage.close()
    return {"write_s": round(wrote, 2), "load_s": round(loaded, 2), "memory_mb": round(memory, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--trials", type=int, default=100_000)
    options = parser.parse_args()
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        # First, so that the memory freed by the other part does not hide what this one takes.
        result["large_study"] = large = large_study(Path(folder), options.trials)
        storage = open_storage(f"sqlite:///{folder}/pairs.db")
        rates = {n: round(pairs_per_second(storage, n, options.seconds)) for n in (1, 8, 32, 100)}
        storage.close()
        result["pairs_per_second"] = rates
    print(f"{'callers':>8} {'pairs/s':>8}")
    for callers, rate in rates.items():
        print(f"{callers:>8} {rate:>8}")
    print(
        f"{options.trials} trials x {len(DISTRIBUTIONS)} parameters: "
        f"written in {large['write_s']} s, loaded in {large['load_s']} s, {large['memory_mb']} MB"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
