"""Studies with a history: seven parameters, and any number of finished trials."""

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.driver import Connection
from tests.benchmarks.run import Run
from tests.benchmarks.servers import ours, put_study

PARAMETERS: dict[str, dict[str, Any]] = {
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "rmsprop"]},
    "layers": {"type": "int", "low": 1, "high": 8},
    "units": {"type": "int", "low": 16, "high": 1024, "log": True},
    "batch": {"type": "int", "low": 16, "high": 256, "step": 16},
    "lr": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "momentum": {"type": "float", "low": 0.0, "high": 1.0},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
}
IMPORTED_AT_ONCE = 2000


def spec(sampler: str, **more: Any) -> dict[str, Any]:
    """A study over the seven parameters."""
    return {"parameters": PARAMETERS, "sampler": {"name": sampler}, **more}


@dataclass(frozen=True, kw_only=True)
class History:
    """A study that is created once per run."""

    trials: int
    steps: int = 0
    spec: dict[str, Any] = field(default_factory=lambda: spec("tpe"))

    @property
    def study(self) -> str:
        """Its name, the same in every home."""
        sampler = self.spec["sampler"]["name"]
        return f"{sampler}-{self.trials}-{self.steps}"


def home_with(run: Run, *histories: History) -> Path:
    """Return a server's home with these studies; those not created yet are created now."""
    made = run.folder / "made"
    if lacking := [h for h in histories if not (made / f"{h.study}.db").exists()]:
        _make(run, made, lacking)
    home = run.new_folder("home")
    (home / "db").mkdir()
    for history in histories:
        for file in made.glob(f"{history.study}.db*"):
            shutil.copy(file, home / "db")
    return home


def _make(run: Run, made: Path, histories: list[History]) -> None:
    """Create the studies' databases in a folder, all or none."""
    begun = run.new_folder("begun")
    with ours(begun) as server:
        connection = Connection(server.port)
        for history in histories:
            run.say(f"Making the study {history.study}: {history.trials:,} trials")
            put_study(server, history.study, history.spec)
            import_trials(connection, history)
        connection.close()
    made.mkdir(exist_ok=True)
    for file in begun.glob("db/*.db*"):
        shutil.move(file, made)


def import_trials(connection: Connection, history: History) -> None:
    """Import finished trials into a study, in a few large requests."""
    chance = random.Random(0)
    path = f"/optunapi/v1/studies/{history.study}/import"
    at_once = max(1, IMPORTED_AT_ONCE // max(1, history.steps // 5))
    for first in range(0, history.trials, at_once):
        count = min(at_once, history.trials - first)
        items = [_trial(chance, history.steps) for _ in range(count)]
        connection.request("POST", path, {"items": items})


def some_params(chance: random.Random) -> dict[str, Any]:
    """A point of the space."""
    return {
        "optimizer": chance.choice(["sgd", "adam", "rmsprop"]),
        "layers": chance.randint(1, 8),
        "units": chance.randint(16, 1024),
        "batch": 16 * chance.randint(1, 16),
        "lr": 10 ** chance.uniform(-5, -1),
        "momentum": chance.random(),
        "dropout": chance.random() / 2,
    }


def _trial(chance: random.Random, steps: int) -> dict[str, Any]:
    params = some_params(chance)
    value = params["momentum"] ** 2 + params["dropout"] + chance.random() / 10
    reports = {str(step): value + 1 / (step + 1) for step in range(steps)}
    return {"params": params, "value": value, "intermediate_values": reports}


def database(home: Path, history: History) -> Path:
    """The study's file."""
    return home / "db" / f"{history.study}.db"
