"""One Optuna worker: asks and tells for some seconds, and prints how often. Needs Optuna alone.

    python optuna_worker.py STORAGE STUDY SECONDS PARAMETERS

STORAGE is a database's URL or `grpc://HOST:PORT`. Prints `ready`, and begins at a line on stdin.
"""

import json
import sys
import time
import warnings

import optuna
from optuna.distributions import json_to_distribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, get_storage


def opened(url: str) -> BaseStorage:
    if not url.startswith("grpc://"):
        return get_storage(url)
    host, _, port = url.removeprefix("grpc://").partition(":")
    proxy = GrpcStorageProxy(host=host, port=int(port))
    proxy.wait_server_ready(timeout=60)
    return proxy


def main(url: str, name: str, seconds: str, parameters: str) -> None:
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=name, storage=opened(url), load_if_exists=True)
    wires = json.loads(parameters).items()
    distributions = {key: json_to_distribution(json.dumps(wire)) for key, wire in wires}
    print("ready", flush=True)
    sys.stdin.readline()
    pairs, ends_at = 0, time.perf_counter() + float(seconds)
    while time.perf_counter() < ends_at:
        trial = study.ask(distributions)
        study.tell(trial, sum(x * x for x in trial.params.values() if isinstance(x, int | float)))
        pairs += 1
    print(pairs)


if __name__ == "__main__":
    main(*sys.argv[1:])
