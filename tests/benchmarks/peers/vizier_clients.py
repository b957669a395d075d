"""Clients of OSS Vizier in a closed loop, a thread each; prints pairs a second. Needs google-vizier alone.

python vizier_clients.py ADDRESS STUDY CLIENTS SECONDS PARAMETERS
"""

import json
import sys
import threading
import time
from typing import Any

from vizier.service import clients  # type: ignore[import-not-found]
from vizier.service import pyvizier as vz


def study_config(parameters: dict[str, dict[str, Any]]) -> Any:
    """Random search over our parameters; an integer with a step becomes a list of values."""
    config = vz.StudyConfig(algorithm="RANDOM_SEARCH")
    config.metric_information.append(
        vz.MetricInformation("score", goal=vz.ObjectiveMetricGoal.MINIMIZE)
    )
    root = config.search_space.root
    for name, wire in parameters.items():
        scale = vz.ScaleType.LOG if wire.get("log") else vz.ScaleType.LINEAR
        if wire["type"] == "categorical":
            root.add_categorical_param(name, wire["choices"])
        elif "step" in wire:
            values = range(wire["low"], wire["high"] + 1, wire["step"])
            root.add_discrete_param(name, list(values))
        elif wire["type"] == "int":
            root.add_int_param(name, wire["low"], wire["high"], scale_type=scale)
        else:
            root.add_float_param(name, wire["low"], wire["high"], scale_type=scale)
    return config


def main(address: str, name: str, number: str, seconds: str, parameters: str) -> None:
    clients.environment_variables.server_endpoint = address
    config = study_config(json.loads(parameters))
    study = clients.Study.from_study_config(config, owner="benchmark", study_id=name)
    done: list[float] = []
    faults: list[Exception] = []
    began = time.perf_counter()
    ends_at = began + float(seconds)

    def client(client_id: str) -> None:
        try:
            while time.perf_counter() < ends_at:
                (trial,) = study.suggest(count=1, client_id=client_id)
                values = trial.materialize().parameters.as_dict().values()
                score = sum(x * x for x in values if isinstance(x, int | float))
                trial.complete(vz.Measurement(metrics={"score": score}))
                done.append(time.perf_counter())
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=client, args=(f"c{n}",)) for n in range(int(number))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    print(len(done) / (max(done) - began))


if __name__ == "__main__":
    main(*sys.argv[1:])
