"""Trainers of OptunAPI 0.1 in several languages run their loop until the study's budget is spent."""

import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
from optuna.trial import TrialState

from tests.acceptance.old_trainers.as_r_prints import NA, as_r_prints
from tests.acceptance.test_examples import run
from tests.support import Server, missing, running_server, scaled, write_config

PROGRAMS = Path(__file__).with_name("old_trainers")
BUDGET = scaled(12, 200)
# A score is `lr`, or `lr * n + sqrt(x)`, which is not a number for a quarter of the values of x.
SPACE = f"""
max_trials: {BUDGET}
sampler: {{name: random, seed: 1}}
parameters:
  lr: {{type: categorical, choices: [0.0001, 0.00001, 0.1, 100000.0]}}
  n: {{type: int, low: 0, high: 3}}
  x: {{type: float, low: -1, high: 3}}
"""

Command = list[str | Path]


class Served(NamedTuple):
    """A running server, its home, and a folder for programs."""

    server: Server
    home: Path
    programs: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    (home / "config").mkdir()
    with running_server(home) as server:
        yield Served(server, home, tmp_path_factory.mktemp("programs"))


def with_python(name: str) -> Callable[[Served, str, str], Command]:
    def command(served: Served, ask: str, score: str) -> Command:
        url = served.server.url
        return [sys.executable, PROGRAMS / name, url + ask, url + score]

    return command


def with_curl(served: Served, ask: str, score: str) -> Command:
    if shutil.which("curl") is None:
        missing("there is no curl (apt-get install curl)")
    return [PROGRAMS / "with_curl.sh", served.server.url + ask, served.server.url + score]


def with_sockets(served: Served, ask: str, score: str) -> Command:
    if shutil.which("cc") is None:
        missing("there is no C compiler (apt-get install gcc libc6-dev)")
    program = served.programs / "with_sockets"
    if not program.exists():
        strict = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
        run("cc", *strict, "-o", program, PROGRAMS / "with_sockets.c", "-lm")
    return [program, "127.0.0.1", str(served.server.port), ask, score]


def with_r(served: Served, ask: str, score: str) -> Command:
    if shutil.which("Rscript") is None:
        missing("there is no R (apt-get install r-base-core)")
    url = served.server.url
    return ["Rscript", PROGRAMS / "with_r.R", url + ask, url + score]


def exact(score: float) -> float:
    return score


def with_15_digits(score: float) -> float:
    return float(f"{score:.15g}")


TRAINERS = [
    pytest.param(with_python("with_requests.py"), exact, id="requests"),
    pytest.param(with_python("with_urllib.py"), exact, id="urllib"),
    pytest.param(with_curl, exact, id="curl"),
    pytest.param(with_sockets, exact, id="sockets"),
    pytest.param(with_r, with_15_digits, id="R"),
    pytest.param(with_python("as_r_prints.py"), with_15_digits, id="as R prints"),
]


@pytest.mark.parametrize("slash", ["", "/"], ids=["no slash", "slash"])
@pytest.mark.parametrize(("root", "id_name"), [("optunapi", "trial_id"), ("optuna", "trail_id")])
@pytest.mark.parametrize(("command", "sent"), TRAINERS)
def test_an_old_trainer_runs_until_the_budget_is_spent(
    served: Served,
    command: Callable[[Served, str, str], Command],
    sent: Callable[[float], float],
    root: str,
    id_name: str,
    slash: str,
) -> None:
    n_studies = len(list((served.home / "config").iterdir()))
    study = f"old-{n_studies}"
    write_config(served.home / "config" / f"{study}.yaml", SPACE)
    ask, score = (f"/{root}/{word}/{study}{slash}" for word in ("hparams", "score"))
    assert run(*command(served, ask, score), id_name).stdout == "study-finished\n"

    trials = optuna.load_study(
        study_name=study, storage=f"sqlite:///{served.home}/db/{study}.db"
    ).trials
    for trial in trials:
        lr, n, x = (trial.params[name] for name in ("lr", "n", "x"))
        if n > 0 and x < 0:
            assert (trial.state, trial.values) == (TrialState.FAIL, None)
        else:
            loss = lr if n == 0 else lr * n + math.sqrt(x)
            assert (trial.state, trial.values) == (TrialState.COMPLETE, [sent(loss)])
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) == BUDGET
    assert len(trials) > BUDGET  # some diverged


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e-4, "1e-04"),
        (1e5, "1e+05"),
        (123456, "123456"),
        (0.1 + 0.2, "0.3"),
        (math.pi, "3.14159265358979"),
        (-1.5e-300, "-1.5e-300"),
        (0, "0"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
        (NA, "NA"),
    ],
)
def test_the_program_in_place_of_r_writes_a_number_as_r_does(
    number: float | None, text: str
) -> None:
    assert as_r_prints(number) == text
