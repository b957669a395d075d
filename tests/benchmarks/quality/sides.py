"""The sides that are compared: Optuna by itself, and OptunAPI as engine or over HTTP."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import requests
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from optunapi.engine.clock import Clock
from optunapi.engine.creation import create_study
from optunapi.engine.identity import identify
from optunapi.engine.lifecycle import Result
from optunapi.engine.samplers.native.engine import native_sampler
from optunapi.engine.spec.distributions import parse_distribution
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.state.state import StudyState
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest
from optunapi.storage import WriteThroughStorage, open_storage
from tests.benchmarks.quality.problems import Params, Problem

N_STARTUP_TRIALS = 10  # the default of both


class OptunaStudy:
    """An Optuna study in this process's memory.

    Until N_STARTUP_TRIALS results are told, trials get the points of `start`, by their number.
    """

    def __init__(
        self, problem: Problem, sampler: BaseSampler, start: "RandomPoints | None" = None
    ) -> None:
        self._study = optuna.create_study(sampler=sampler)
        self._start = start
        self._asked = self._told = 0
        self._space = {
            name: parse_distribution(parameter) for name, parameter in problem.parameters.items()
        }

    def ask(self) -> tuple[int, Params]:
        if self._start is not None and self._told < N_STARTUP_TRIALS:
            self._study.enqueue_trial(self._start.point(self._asked))
        self._asked += 1
        trial = self._study.ask(self._space)
        return trial.number, trial.params

    def tell(self, number: int, loss: float) -> None:
        self._study.tell(number, loss)
        self._told += 1


class RandomPoints:
    """The random points that the server's TPE starts with, from the same distribution as Optuna's.

    Both sides get the same points and the same times, so only the samplers' randomness differs.
    """

    def __init__(self, spec: StudySpec) -> None:
        found = native_sampler(spec.problem)
        assert found is not None, "rustuna is not installed"
        self._sampler = found  # is never given a trial, so it stays at its random start

    def point(self, number: int) -> dict[str, Any]:
        """The point of trial `number`."""
        return self._sampler.sample(number, {})


def spec_of(problem: Problem, seed: int) -> dict[str, Any]:
    """The study's configuration: the default sampler, and a seed."""
    return {"parameters": problem.parameters, "sampler": {"name": "tpe", "seed": seed}}


def optuna_tpe(problem: Problem, seed: int) -> OptunaStudy:
    """Optuna's default sampler."""
    start = RandomPoints(spec_from_mapping(spec_of(problem, seed)))
    return OptunaStudy(problem, TPESampler(seed=seed), start)


def optuna_random(problem: Problem, seed: int) -> OptunaStudy:
    """Random search, the unit of all regrets."""
    return OptunaStudy(problem, RandomSampler(seed=seed))


class EngineStudy:
    """A study as the server holds it, without HTTP: its lifecycle, its sampler, its storage."""

    def __init__(
        self, storage: WriteThroughStorage, name: str, problem: Problem, seed: int
    ) -> None:
        spec = spec_from_mapping(spec_of(problem, seed))
        clock = Clock(moment=lambda: 0.0, time=lambda: 1_800_000_000.0)
        ids = iter(range(10**9))

        def new_id() -> str:
            return str(next(ids))

        study_id = create_study(storage, name, spec, clock.time(), new_id=new_id)
        state = StudyState(
            storage,
            study_id,
            name=name,
            uid=identify(storage, study_id, name, new_id),
            spec=spec,
            clock=clock,
            new_id=new_id,
        )
        self._study = Study(state)
        self._commits: list[Commit] = []

    def ask(self) -> tuple[int, Params]:
        view, commit = self._study.ask(AskRequest(leased=False))
        self._wait_for(commit)
        return view.trial.number, view.trial.params

    def tell(self, number: int, loss: float) -> None:
        _, commit = self._study.tell(number, Result(state=TrialState.COMPLETE, values=(loss,)))
        self._wait_for(commit)

    def _wait_for(self, commit: Commit) -> None:
        # The next decisions are made in memory, so there is no need to wait for each commit.
        self._commits.append(commit)
        if len(self._commits) >= 50:
            for each in self._commits:
                each.result()
            self._commits.clear()


@contextmanager
def engine(folder: Path) -> Iterator[WriteThroughStorage]:
    """A SQLite file for studies."""
    storage = open_storage(f"sqlite:///{folder / 'quality.db'}")
    try:
        yield storage
    finally:
        storage.close()


class ServedStudy:
    """A study on a server, over HTTP like a trainer."""

    def __init__(
        self, session: requests.Session, url: str, name: str, spec: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._study = f"{url}/optunapi/v1/studies/{name}"
        session.put(self._study, json=spec, timeout=60).raise_for_status()

    def ask(self) -> tuple[int, Params]:
        trial = self._post(f"{self._study}/trials", {})
        return trial["number"], trial["params"]

    def tell(self, number: int, loss: float) -> None:
        self._post(f"{self._study}/trials/{number}/tell", {"value": loss})

    def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        reply = self._session.post(url, json=body, timeout=60)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found
