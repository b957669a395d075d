"""`optunapi demo`: it finds a point and leaves no process behind."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import optuna
import pytest

from tests.acceptance.commands import OPTUNAPI, optunapi, serving
from tests.support import clean_environment


def port_in(text: str) -> int:
    """Read the port of the demo's server from its first message."""
    found = re.search(r"http://127\.0\.0\.1:(\d+)", text)
    assert found, text
    return int(found[1])


def assert_nobody_listens_on(port: int) -> None:
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


def test_the_demo_keeps_a_study_that_optuna_opens(tmp_path: Path) -> None:
    finished = optunapi("demo", "--trials", "12", "--json", OPTUNAPI_HOME=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    study = optuna.load_study(study_name=document["study"], storage=document["storage"])
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 12
    assert document["trials"] == 12
    assert document["best"] == {
        "number": study.best_trial.number,
        "values": [study.best_value],
        "params": study.best_params,
    }
    assert_nobody_listens_on(port_in(finished.stderr))


def test_a_second_demo_goes_on_with_the_study_and_the_next_server_has_it(tmp_path: Path) -> None:
    for already in (0, 12):
        finished = optunapi("demo", "--trials", "12", OPTUNAPI_HOME=str(tmp_path))
        assert finished.returncode == 0, finished.stderr
        assert f"Best of {already + 12}: " in finished.stdout
        assert ("it has 12 trials" in finished.stderr) == bool(already)
    with serving(tmp_path) as server:
        study = httpx.get(f"{server.url}/optunapi/v1/studies/paraboloid", timeout=60).json()
    assert study["trials"]["complete"] == 24


def test_beside_a_running_server_the_demo_says_why_it_cannot_start(tmp_path: Path) -> None:
    with serving(tmp_path):
        finished = optunapi("demo", OPTUNAPI_HOME=str(tmp_path))
    assert finished.returncode == 3
    assert "is in use by process" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_without_a_terminal_the_demo_prints_a_few_plain_lines(tmp_path: Path) -> None:
    finished = optunapi("demo", "--trials", "12", OPTUNAPI_HOME=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    progress = [line for line in finished.stderr.splitlines() if " trials, best score " in line]
    assert [line.split(" trials")[0] for line in progress] == ["10 of 12", "12 of 12"]
    assert "\x1b" not in finished.stdout + finished.stderr
    load_study = re.search(r"optuna\.load_study\(.*\)", finished.stdout)
    assert load_study
    assert len(eval(load_study[0]).trials) == 12


def test_on_a_terminal_the_demo_draws_a_progress_bar(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    environment = clean_environment(OPTUNAPI_HOME=str(tmp_path), TERM="xterm", COLUMNS="100")
    command = [OPTUNAPI, "demo", "--trials", "4"]
    with subprocess.Popen(command, stdout=its, stderr=its, env=environment) as process:
        os.close(its)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # EIO: on Linux, a terminal whose other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert "━" in shown.decode()
    assert "4/4 best score" in re.sub(r"\x1b\[[\d;?]*\w", "", shown.decode())


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_demo_that_is_interrupted_ends_its_server_and_keeps_its_study(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [OPTUNAPI, "demo", "--trials", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(OPTUNAPI_HOME=str(tmp_path)),
    )
    assert process.stderr is not None
    port = port_in(process.stderr.readline())
    process.stderr.readline()  # ten trials are done
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == ""
    assert_nobody_listens_on(port)
    storage = f"sqlite:///{tmp_path}/db/paraboloid.db"
    study = optuna.load_study(study_name="paraboloid", storage=storage)
    assert len(study.trials) >= 10


def test_a_server_that_cannot_start_is_not_reached(tmp_path: Path) -> None:
    # A module that Python finds before the real one, and that ends the server when it starts.
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('no server today')")
    finished = optunapi("demo", OPTUNAPI_HOME=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert finished.returncode == 3
    assert "The server did not start." in finished.stderr
    assert "no server today" in finished.stderr
