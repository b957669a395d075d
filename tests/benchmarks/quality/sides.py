"""The sides that are compared: Optuna by itself, and OptunAPI's server over HTTP."""

from collections.abc import Mapping
from typing import Any

import optuna
import requests
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from optunapi.engine.spec import parse_distribution
from tests.benchmarks.quality.problems import Params, Problem


class OptunaStudy:
    """A study of Optuna's in this process's memory."""

    def __init__(self, problem: Problem, sampler: BaseSampler) -> None:
        self._study = optuna.create_study(sampler=sampler)
        self._space = {
            name: parse_distribution(parameter) for name, parameter in problem.parameters.items()
        }

    def ask(self) -> tuple[int, Params]:
        trial = self._study.ask(self._space)
        return trial.number, trial.params

    def tell(self, number: int, loss: float) -> None:
        self._study.tell(number, loss)


def optuna_tpe(problem: Problem, seed: int) -> OptunaStudy:
    """Optuna's default sampler."""
    return OptunaStudy(problem, TPESampler(seed=seed))


def optuna_random(problem: Problem, seed: int) -> OptunaStudy:
    """Random search, the scale of all regrets."""
    return OptunaStudy(problem, RandomSampler(seed=seed))


class ServedStudy:
    """A study on a server, reached as a trainer reaches it."""

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
