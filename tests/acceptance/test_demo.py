"""`optunapi demo`: it finds a point and leaves no process behind."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
from pathlib import Path

import optuna
import pytest

from tests.acceptance.commands import OPTUNAPI, optunapi
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
    finished = optunapi("demo", "--trials", "12", "--json", TMPDIR=str(tmp_path))
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


def test_without_a_terminal_the_demo_prints_a_few_plain_lines(tmp_path: Path) -> None:
    finished = optunapi("demo", "--trials", "12", TMPDIR=str(tmp_path))
    assert finished.returncode == 0, finished.stderr
    progress = [line for line in finished.stderr.splitlines() if " trials, best score " in line]
    assert [line.split(" trials")[0] for line in progress] == ["10 of 12", "12 of 12"]
    assert "\x1b" not in finished.stdout + finished.stderr
    load_study = re.search(r"optuna\.load_study\(.*\)", finished.stdout)
    assert load_study
    assert len(eval(load_study[0]).trials) == 12


def test_on_a_terminal_the_demo_draws_a_progress_bar(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    environment = clean_environment(TMPDIR=str(tmp_path), TERM="xterm", COLUMNS="100")
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
        env=clean_environment(TMPDIR=str(tmp_path)),
    )
    assert process.stderr is not None
    port = port_in(process.stderr.readline())
    process.stderr.readline()  # ten trials are done
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == ""
    assert_nobody_listens_on(port)
    (database,) = tmp_path.glob("optunapi-demo-*/db/paraboloid.db")
    study = optuna.load_study(study_name="paraboloid", storage=f"sqlite:///{database}")
    assert len(study.trials) >= 10


def test_a_server_that_cannot_start_is_not_reached(tmp_path: Path) -> None:
    # A module that Python finds before the real one, and that ends the server when it starts.
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('no server today')")
    finished = optunapi("demo", TMPDIR=str(tmp_path), PYTHONPATH=str(tmp_path))
    assert finished.returncode == 3
    assert "The server did not start." in finished.stderr
    assert "no server today" in finished.stderr
