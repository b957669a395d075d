"""Objectives written for Optuna have the same results over HTTP: distributions, values, states."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.client.objectives import CASES, SEED, Case
from tests.support import ROOT, Server, clean_environment, running_server


def locally(case: Case) -> optuna.Study:
    """Run the same objective, sampler and pruner in this process, without a server."""
    pruners = {"none": optuna.pruners.NopPruner, "median": optuna.pruners.MedianPruner}
    study = optuna.create_study(
        directions=case.directions,
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=pruners[case.pruner](),
    )
    study.optimize(case.objective, n_trials=case.n_trials)
    return study


def assert_same_studies(home: Path) -> None:
    """Check that each case's stored study is equal to a local run."""
    for name, case in CASES.items():
        url = f"sqlite:///{home}/db/{name}.db"
        stored = optuna.load_study(study_name=name, storage=url).trials
        for ours, theirs in zip(stored, locally(case).trials, strict=True):
            assert ours.distributions == theirs.distributions
            assert ours.params == theirs.params
            assert (ours.state, ours.values) == (theirs.state, theirs.values)
            assert ours.intermediate_values == theirs.intermediate_values
            assert ours.user_attrs == theirs.user_attrs
            assert ours.constraints == theirs.constraints


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    with running_server(home) as server:
        yield server, home


def test_unchanged_objectives_have_the_same_results_over_http(
    empty_server: tuple[Server, Path], tmp_path: Path
) -> None:
    server, home = empty_server
    trainer = subprocess.run(
        [sys.executable, "-m", "tests.client.unchanged", server.url],
        cwd=ROOT,
        env=clean_environment(OPTUNAPI_SPOOL=str(tmp_path / "spool")),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert trainer.stdout == "done\n", trainer.stderr
    assert_same_studies(home)
