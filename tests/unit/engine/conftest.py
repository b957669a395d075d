import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optunapi.storage import open_storage
from tests.unit.engine.support import Clock, Life

NewLife = Callable[..., Life]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's schema and no study; made once, since that is slow."""
    path = tmp_path_factory.mktemp("schema") / "empty.db"
    open_storage(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_life(tmp_path: Path, empty_database: Path, clock: Clock) -> Iterator[NewLife]:
    """A function that makes a study from a specification and serves it until the test ends."""
    lives: list[Life] = []

    def make(**spec: Any) -> Life:
        path = tmp_path / f"{len(lives)}.db"
        shutil.copy(empty_database, path)
        lives.append(Life(path, clock, {"sampler": {"name": "random", "seed": 1}} | spec))
        return lives[-1]

    yield make
    for life in lives:
        life.close()
