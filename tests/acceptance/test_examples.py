"""Every example runs as its docstring says, against a real server."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from tests.acceptance.gateway import Gateway, known_hosts_line, make_key
from tests.support import ROOT, Server, clean_environment, missing, running_server

EXAMPLES = ROOT / "examples"
PARABOLOID = "optunapi-test"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the test fails if the command does."""
    finished = run_unchecked(*command)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


def run_unchecked(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )


def completed(home: Path, study: str) -> list[optuna.trial.FrozenTrial]:
    """Return the study's trials, after checking that all are complete."""
    trials = optuna.load_study(study_name=study, storage=f"sqlite:///{home}/db/{study}.db").trials
    assert all(t.state is optuna.trial.TrialState.COMPLETE for t in trials)
    return trials


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_begins_with_what_it_shows(example: Path) -> None:
    assert ast.get_docstring(ast.parse(example.read_text()))


def test_the_simple_trainer_is_written_in_python_3_6() -> None:
    ast.parse((EXAMPLES / "simple_trainer.py").read_text(), feature_version=(3, 6))


def test_the_simple_trainer_does_its_trials_and_prints_the_best(home: Path) -> None:
    with running_server(home) as server:
        trainer = run(
            sys.executable, EXAMPLES / "simple_trainer.py", "--url", server.url, "--trials", "7"
        )
    trials = completed(home, PARABOLOID)
    assert len(trials) == 7
    best = min(trials, key=lambda trial: trial.value or 0.0)
    last_line = trainer.stdout.splitlines()[-1]
    assert last_line == f"best: trial {best.number}, score {best.value:.4g}, {best.params}"


def test_the_shell_trainer_hands_in_the_exact_score_of_its_parameters(home: Path) -> None:
    if shutil.which("curl") is None:
        missing("there is no curl (apt-get install curl)")
    with running_server(home) as server:
        run(EXAMPLES / "trainer.sh", server.url, PARABOLOID, "5")
    trials = completed(home, PARABOLOID)
    assert len(trials) == 5
    for trial in trials:
        assert trial.value == pytest.approx(trial.params["x"] ** 2 + trial.params["y"] ** 2)


def command_of(example: str, folder: Path, server: Server) -> list[str | Path]:
    """Return the command that starts an example, compiled if it has to be, up to the server's place."""
    if example.endswith(".sh"):
        if shutil.which("curl") is None:
            missing("there is no curl (apt-get install curl)")
        return [EXAMPLES / example, server.url]
    if shutil.which("cc") is None:
        missing("there is no C compiler (apt-get install gcc libc6-dev)")
    program = folder / "program"
    strict = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    run("cc", *strict, "-o", program, EXAMPLES / example, "-lm")
    return [program, "127.0.0.1", str(server.port)]


@pytest.mark.parametrize("example", ["pruning.sh", "pruning.c"])
def test_a_trainer_without_python_reports_and_stops_when_the_server_says_so(
    home: Path, tmp_path: Path, example: str
) -> None:
    with running_server(home) as server:
        trainer = run(*command_of(example, tmp_path, server), "from-afar", "12")
    trials = optuna.load_study(
        study_name="from-afar", storage=f"sqlite:///{home}/db/from-afar.db"
    ).trials
    pruned = [trial for trial in trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert len(trials) == 12
    assert pruned
    for trial in trials:
        lr, last_epoch = trial.params["lr"], trial.last_step
        assert last_epoch == 10 or trial in pruned
        assert list(trial.intermediate_values) == list(range(1, (last_epoch or 0) + 1))
        assert trial.value == pytest.approx((1 - lr) ** last_epoch + 4 * lr**2)
        assert f"trial {trial.number}: {trial.state.name.lower()} at" in trainer.stdout


def test_a_refusal_ends_the_shell_trainer_with_the_servers_words(home: Path) -> None:
    with running_server(home) as server:
        trainer = run_unchecked(EXAMPLES / "trainer.sh", server.url, "no-such-study", "1")
    assert trainer.returncode != 0
    assert "404" in trainer.stderr


def test_the_clients_example_shares_a_study_between_machines_and_prints_the_best(
    home: Path,
) -> None:
    command = (sys.executable, EXAMPLES / "optimize_with_client.py", "--trials", "8", "--url")
    with running_server(home) as server:
        printed = [run(*command, server.url).stdout for _ in range(2)][-1]
    study = optuna.load_study(study_name="layers", storage=f"sqlite:///{home}/db/layers.db")
    assert len(study.trials) == 16
    assert all(trial.state.is_finished() for trial in study.trials)
    best = f"best: trial {study.best_trial.number}, loss {study.best_value:.4g}"
    assert printed.startswith(best)


def test_the_tuned_classifier_beats_its_defaults_on_images_it_never_saw(home: Path) -> None:
    with running_server(home) as server:
        trainer = run(sys.executable, EXAMPLES / "train_digits.py", "--url", server.url)
    accuracy = {
        part: float(value)
        for part, value in re.findall(r"^(.* accuracy of .*): ([\d.]+)$", trainer.stdout, re.M)
    }
    best = accuracy["test accuracy of the best"]
    assert best > accuracy["test accuracy of the classifier's defaults"]

    trials = completed(home, "digits")
    values = [trial.value or 0.0 for trial in trials]
    assert len(trials) == 30
    assert accuracy["validation accuracy of the best"] == pytest.approx(max(values), abs=1e-4)
    for trial in trials:
        assert ("l1_ratio" in trial.params) == (trial.params["penalty"] == "elasticnet")
        assert ("eta0" in trial.params) == (trial.params["learning_rate"] != "optimal")


SECURED = {"secured_trainer.py": PARABOLOID, "ssh_gateway.py": "behind-a-gateway"}


def through(
    gateway: Gateway, server: str, known_hosts: Path, example: str
) -> tuple[str | Path, ...]:
    """Return the command of a trainer that reaches the server through the gateway only."""
    files = ("--key", gateway.key, "--known-hosts", known_hosts)
    return (sys.executable, EXAMPLES / example, gateway.address, server, *files, "--trials", "3")


@pytest.mark.parametrize("example", SECURED)
def test_a_secured_trainer_works_through_a_gateway(
    home: Path, gateway: Gateway, example: str
) -> None:
    with running_server(home) as server:
        run(*through(gateway, f"127.0.0.1:{server.port}", gateway.known_hosts, example))
    assert len(completed(home, SECURED[example])) == 3
    assert "Accepted publickey" in gateway.log.read_text()


@pytest.mark.parametrize("known", ["nothing", "another key"])
@pytest.mark.parametrize("example", SECURED)
def test_a_secured_trainer_refuses_a_gateway_whose_host_key_it_does_not_know(
    home: Path, tmp_path: Path, gateway: Gateway, example: str, known: str
) -> None:
    known_hosts = tmp_path / "known"
    line = known_hosts_line(gateway.port, make_key(tmp_path / "other_key"))
    known_hosts.write_text(line if known == "another key" else "")
    with running_server(home) as server:
        trainer = run_unchecked(*through(gateway, f"127.0.0.1:{server.port}", known_hosts, example))
    assert trainer.returncode != 0
    assert "host key" in trainer.stderr
    assert "Accepted publickey" not in gateway.log.read_text()
    assert not os.path.exists(home / "db" / f"{SECURED[example]}.db")
