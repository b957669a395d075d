"""`upgrade` from each revision of Optuna's schema: everything is kept, as Optuna's own upgrade keeps it.

A database of the oldest revision is made by Optuna's first migration and the SQL below. Optuna's further
migrations bring it to the revision that is tested.
"""

import json
import math
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from optunapi.storage.tables.schema import versions
from optunapi.storage.upgrade import upgrade

LARGEST = 3.4028234663852886e38  # stood for infinity, a float of 32 bits
STARTED, ENDED = "2019-05-04 03:02:01.000000", "2019-05-04 04:02:01.500000"

# By parameter: the distribution as it was written then, what it is now, and the stored and the real value.
PARAMETERS: dict[str, tuple[str, dict[str, Any], Any, float, Any]] = {
    "uniform": (
        *("UniformDistribution", {"low": -1.5, "high": 2.0}, FloatDistribution(-1.5, 2.0)),
        *(0.1 + 0.2, 0.1 + 0.2),
    ),
    "log": (
        *("LogUniformDistribution", {"low": 1e-300, "high": 1.0}),
        *(FloatDistribution(1e-300, 1.0, log=True), 1e-200, 1e-200),
    ),
    "stepped": (
        *("DiscreteUniformDistribution", {"low": 0.0, "high": 1.0, "q": 0.25}),
        *(FloatDistribution(0.0, 1.0, step=0.25), 0.75, 0.75),
    ),
    "whole": (
        *("IntUniformDistribution", {"low": -3, "high": 2**40}, IntDistribution(-3, 2**40)),
        *(float(2**40 - 1), 2**40 - 1),
    ),
    "choice": (
        *("CategoricalDistribution", {"choices": ["a", None, True, 0.5]}),
        *(CategoricalDistribution(["a", None, True, 0.5]), 1.0, None),
    ),
}
VALUES = [0.5, -1e-320, LARGEST, -LARGEST, math.inf, -math.inf, 1.7e308, None, None]
STATES = ["COMPLETE"] * 7 + ["RUNNING", "FAIL"]


@contextmanager
def optuna_of(path: Path) -> Iterator[RDBStorage]:
    storage = RDBStorage(
        f"sqlite:///{path}",
        engine_kwargs={"poolclass": NullPool},
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def migrate(path: Path, revision: str) -> None:
    """Bring a database to a revision with Optuna's migrations."""
    storage = RDBStorage("sqlite://")
    config = storage._version_manager._create_alembic_config()
    storage.remove_session()
    storage.engine.dispose()
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    with warnings.catch_warnings(action="ignore"):
        alembic.command.upgrade(config, revision)


def fill(path: Path) -> None:
    """Write what Optuna 0.9 could store: two studies, with trials in every state that there was."""
    with closing(sqlite3.connect(path)) as connection, connection:

        def insert(table: str, *rows: tuple[Any, ...]) -> None:
            for row in rows:
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)

        insert("version_info", (1, 12, "0.9.0"))
        insert("studies", (1, "one", "MINIMIZE"), (2, "zwei: ü", "MAXIMIZE"))
        insert("study_user_attributes", (1, 1, "who", '{"ü": [1, null]}'))
        insert("study_system_attributes", (1, 2, "kept", '"x"'))
        for number, (value, state) in enumerate(zip(VALUES, STATES, strict=True)):
            trial, ended = number + 1, None if state == "RUNNING" else ENDED
            insert("trials", (trial, 1, state, value, STARTED, ended))
            insert("trial_system_attributes", (trial, trial, "_number", str(number)))
            insert("trial_user_attributes", (trial, trial, "nan", "NaN"))
            for step, reported in enumerate([1.25, LARGEST, -LARGEST, math.inf, -math.inf]):
                insert("trial_values", (5 * trial + step, trial, step, reported))
            for place, (name, (kind, attributes, _, stored, _)) in enumerate(PARAMETERS.items()):
                written = json.dumps({"name": kind, "attributes": attributes})
                insert("trial_params", (10 * trial + place, trial, name, stored, written))
        insert("trials", (99, 2, "PRUNED", None, STARTED, ENDED))
        insert("trial_system_attributes", (99, 99, "_number", "0"))


@pytest.fixture(scope="module")
def old_databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A database of each revision but the newest."""
    folder = tmp_path_factory.mktemp("old")
    path = folder / "work.db"
    found: dict[str, Path] = {}
    for revision in versions()[:-1]:
        migrate(path, revision)
        if not found:
            fill(path)
        if revision == "v3.0.0.b":  # the first that can hold NaN in every table
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute(
                    "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value) "
                    "VALUES (1, 9, NULL)"
                )
        found[revision] = folder / f"{revision}.db"
        shutil.copy(path, found[revision])
    return found


def studies_of(path: Path) -> dict[str, Any]:
    """Everything that Optuna reads from a database."""
    with optuna_of(path) as storage:
        found: dict[str, Any] = {}
        for study in storage.get_all_studies():
            trials = storage.get_all_trials(study._study_id)
            facts = (study.directions, study.user_attrs, study.system_attrs)
            found[study.study_name] = (*facts, [repr(trial) for trial in trials])
        return found


def trials_of(path: Path, name: str) -> list[FrozenTrial]:
    with optuna_of(path) as storage:
        return optuna.load_study(study_name=name, storage=storage).trials


@pytest.mark.parametrize("revision", versions()[:-1])
def test_an_upgrade_keeps_everything_as_optunas_own(
    tmp_path: Path, old_databases: dict[str, Path], revision: str
) -> None:
    path, theirs = tmp_path / "study.db", tmp_path / "theirs.db"
    for copy in (path, theirs):
        shutil.copy(old_databases[revision], copy)
    before = path.read_bytes()
    with optuna_of(theirs) as storage, warnings.catch_warnings(action="ignore"):
        storage.upgrade()
    kept = upgrade(path)
    assert kept is not None
    assert kept.read_bytes() == before
    assert studies_of(path) == studies_of(theirs)

    trials = trials_of(path, "one")
    infinite = {LARGEST: math.inf, -LARGEST: -math.inf}
    for trial, value, state in zip(trials, VALUES, STATES, strict=True):
        assert trial.state == TrialState[state]
        assert trial.values == (None if value is None else [infinite.get(value, value)])
        reports = trial.intermediate_values
        if trial.number == 0 and revision >= "v3.0.0.b":
            assert math.isnan(reports.pop(9))
        assert list(reports.values()) == [1.25, math.inf, -math.inf, math.inf, -math.inf]
        assert trial.params == {name: real for name, (*_, real) in PARAMETERS.items()}
        assert trial.distributions == {name: now for name, (_, _, now, _, _) in PARAMETERS.items()}
        assert math.isnan(trial.user_attrs["nan"])
        assert trial.system_attrs == {}
    assert [trial.number for trial in trials] == list(range(len(VALUES)))
    (pruned,) = trials_of(path, "zwei: ü")
    assert (pruned.state, pruned.values) == (TrialState.PRUNED, None)
    assert upgrade(path) is None
