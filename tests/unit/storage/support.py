"""What the storage's tests share: templates, Optuna's own storage beside ours, other processes."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from optunapi.storage import Commit, WriteThroughStorage, open_storage
from tests.support import ROOT

MINIMIZE = [StudyDirection.MINIMIZE]
DISTRIBUTIONS = {
    "x": FloatDistribution(0, 1),
    "n": IntDistribution(1, 9),
    "c": CategoricalDistribution(("a", None, True, 1, 1.0, 0.5)),
}


def template(
    state: TrialState = TrialState.RUNNING,
    *,
    values: list[float] | None = None,
    params: Mapping[str, Any] | None = None,
    reports: Mapping[int, float] | None = None,
    user_attrs: Mapping[str, Any] | None = None,
    system_attrs: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A trial to add; its parameters are some of `DISTRIBUTIONS`."""
    chosen = dict(params or {})
    return FrozenTrial(
        number=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=None if state == TrialState.WAITING else datetime.now(),
        datetime_complete=datetime.now() if state.is_finished() else None,
        params=chosen,
        distributions={name: DISTRIBUTIONS[name] for name in chosen},
        user_attrs=dict(user_attrs or {}),
        system_attrs=dict(system_attrs or {}),
        intermediate_values=dict(reports or {}),
        trial_id=-1,
    )


@contextmanager
def opened(url: str) -> Iterator[WriteThroughStorage]:
    """Our storage, closed at the end."""
    storage = open_storage(url)
    try:
        yield storage
    finally:
        storage.close()


@contextmanager
def optuna_storage(url: str) -> Iterator[RDBStorage]:
    """Optuna's storage on the same database: another writer, or the reference for what we wrote."""
    storage = RDBStorage(
        url, engine_kwargs={"poolclass": NullPool, "connect_args": {"timeout": 30}}
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def take_in_foreign_writes(storage: WriteThroughStorage) -> None:
    """Make the storage load what others have written, as it does before each commit."""
    storage.delete_study(storage.create_new_study(MINIMIZE))


def assert_pending(commit: Commit) -> None:
    """The commit has not happened yet."""
    with pytest.raises(TimeoutError):
        commit.result(timeout=0)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def sql(url: str) -> Iterator[sqlite3.Connection]:
    """A plain connection, in autocommit, that waits for locks."""
    with closing(sqlite3.connect(path_of(url), isolation_level=None, timeout=30)) as connection:
        yield connection


@contextmanager
def python(
    code: str, *arguments: str, under: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A Python process running `code`; it is killed when the block ends."""
    process = subprocess.Popen(
        [*under, sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def assert_database_equals_memory(storage: WriteThroughStorage) -> None:
    """Optuna reads from the file what our memory holds."""
    storage.committed().result()
    with optuna_storage(storage.url) as judge:
        ours = {s.study_name: s for s in storage.get_all_studies()}
        theirs = {s.study_name: s for s in judge.get_all_studies()}
        assert ours.keys() == theirs.keys()
        for name, study in theirs.items():
            assert ours[name]._study_id == study._study_id
            assert ours[name].directions == study.directions
            assert repr(sorted(ours[name].user_attrs.items())) == repr(
                sorted(study.user_attrs.items())
            )
            assert repr(sorted(ours[name].system_attrs.items())) == repr(
                sorted(study.system_attrs.items())
            )
            assert [plain(t) for t in storage.get_all_trials(study._study_id)] == [
                plain(t) for t in judge.get_all_trials(study._study_id)
            ]


def plain(trial: FrozenTrial) -> dict[str, str]:
    """A trial as text, in which NaN equals NaN and 1, 1.0 and True differ.

    Times are without the fold, which Optuna drops when it reads them.
    """
    plain = {
        key: sorted(value.items()) if isinstance(value, dict) and key != "_params" else value
        for key, value in vars(trial).items()
    }
    return {
        key: repr(value.replace(fold=0) if isinstance(value, datetime) else value)
        for key, value in plain.items()
    }


def assert_kept_is_true(storage: WriteThroughStorage, study_id: int) -> None:
    """Counters and indexes agree with what counting and sorting would return."""
    trials = storage.get_all_trials(study_id, deepcopy=False)
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert storage.n_trials(study_id) == len(trials)
    assert storage.counts(study_id) == {
        state: sum(trial.state == state for trial in trials) for state in TrialState
    }
    assert storage.open_trials(study_id) == [t for t in trials if not t.state.is_finished()]
    if len(storage.get_study_directions(study_id)) == 1:
        sign = 1 if storage.get_study_directions(study_id) == MINIMIZE else -1
        ranked = sorted(
            (t for t in trials if t.state == TrialState.COMPLETE),
            key=lambda t: (sign * t.values[0], t.number),
        )
        best_first = storage.trials_by_value(study_id, descending=sign < 0, limit=len(trials) + 1)
        assert best_first == ranked
        worst_first = storage.trials_by_value(study_id, descending=sign > 0, limit=len(trials) + 1)
        assert worst_first == ranked[::-1]
        feasible = [t for t in ranked if all(c <= 0 for c in t.constraints.values())]
        assert storage.best_trials(study_id) == feasible[:1]
