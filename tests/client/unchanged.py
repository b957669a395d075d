"""For a trainer's machine: run the objectives of `objectives.py` unchanged with `study.optimize`.

    python -m tests.client.unchanged URL [--alone]

With --alone it first checks that nothing is installed that a trainer does not need.
"""

import importlib.util
import logging
import sys
from typing import Any

import optunapi
from tests.client.objectives import CASES, SEED, Case

NOT_NEEDED = ("optuna", "fastapi", "numpy", "sqlalchemy", "yaml", "pydantic", "uvicorn", "scipy")


def spec_of(case: Case) -> dict[str, Any]:
    return {
        "parameters": {},
        "objectives": [
            {"name": f"value_{n}", "direction": each} for n, each in enumerate(case.directions)
        ],
        "sampler": {"name": "tpe", "engine": "optuna", "seed": SEED},
        "pruner": {"name": case.pruner},
    }


def run(client: optunapi.Client, name: str, case: Case) -> None:
    """Run the case's trials, and check that callbacks get what Optuna's would."""
    study = client.create_study(name, spec_of(case))
    seen: list[int] = []

    def callback(study: Any, trial: Any) -> None:
        seen.append(trial.number)
        assert study.directions == list(case.directions)
        assert trial.state.is_finished()
        assert set(trial.distributions) == set(trial.params)
        if trial.state.name == "COMPLETE" and len(case.directions) == 1:
            assert isinstance(trial.value, float)
        if name == "layers":
            assert "size" in trial.user_attrs
            best = min if case.directions == ("minimize",) else max
            assert study.best_value == best(study.best_value, trial.value)

    study.optimize(case.objective, n_trials=case.n_trials, callbacks=[callback])
    assert seen == list(range(case.n_trials))


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    if "--alone" in sys.argv:
        found = [name for name in NOT_NEEDED if importlib.util.find_spec(name)]
        assert not found, f"{found} can be imported here"
        assert "site-packages" in str(optunapi.__file__)
    client = optunapi.Client(sys.argv[1])
    assert client.ping()
    for name, case in CASES.items():
        run(client, name, case)
    print("done")


if __name__ == "__main__":
    main()
