"""Real processes: killed, interrupted, forked, and a server that is killed and comes back."""

import multiprocessing
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from optunapi import Client, Study
from tests.client.conftest import XY, MakeStudy
from tests.client.trainer import STEPS, value_of
from tests.support import ROOT, Server, clean_environment, free_port, running_server, scaled, until

PATIENCE = 60.0  # seconds; the machine may be busy


@contextmanager
def trainer(url: str, study: str, folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A trainer's process; its spool and its list of trials are in `folder`."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.client.trainer", url, study, folder / "done", *options],
            cwd=ROOT,
            env=clean_environment(OPTUNAPI_SPOOL=str(folder / "spool")),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_for_line(process: "subprocess.Popen[str]", start: str) -> None:
    assert process.stdout is not None
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        for line in process.stdout:
            if line.startswith(start):
                return
    finally:
        patience.cancel()
    pytest.fail(f"the process ended with {process.wait()} without saying {start!r}")


def test_a_trainer_that_is_killed_loses_its_trial_to_another(
    make_study: MakeStudy, server: Server, tmp_path: Path
) -> None:
    study = make_study(max_trials=1)
    with trainer(server.url, study.name, tmp_path / "t", "--lease", "1", "--hang") as process:
        wait_for_line(process, "hangs")
        process.kill()
        process.wait()
        trial = study.ask(wait=30)
    assert (trial.number, trial.attempt) == (0, 2)
    trial.tell(value_of(trial.params))


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_a_trainer_that_is_asked_to_end_gives_its_trials_back(
    study: Study, server: Server, tmp_path: Path, jobs: int, number: signal.Signals
) -> None:
    with trainer(server.url, study.name, tmp_path / "t", "--hang", "--jobs", str(jobs)) as process:
        for _ in range(jobs):
            wait_for_line(process, "hangs")
        process.send_signal(number)
        status = process.wait(60)
    assert status == (143 if number == signal.SIGTERM else -signal.SIGINT)
    assert [trial.state for trial in study.trials()] == ["waiting"] * jobs


def run_here(code: str, study: Study) -> "subprocess.CompletedProcess[str]":
    """Run code in a process that has a `study` and can send itself signals."""
    begin = f"""
import os, signal, sys, threading
from optunapi import Client
study = Client({study.connection.url!r}).study({study.name!r})
def terminate(wait=30): os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait(wait)
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", begin + textwrap.dedent(code)],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_sigterm_in_a_block_gives_the_trial_back_and_after_it_kills_as_usual(
    study: Study,
) -> None:
    ended = run_here("with study.ask(): terminate()", study)
    assert ended.returncode == 143, ended.stderr
    assert study.trial(0).state == "waiting"
    ended = run_here(
        """
        with study.ask() as first, study.ask() as second:
            first.tell(1.0)
            second.tell(1.0)
        terminate()
        """,
        study,
    )
    assert ended.returncode == -signal.SIGTERM


def test_sigterm_between_blocks_that_overlap_still_gives_the_open_trial_back(
    study: Study,
) -> None:
    ended = run_here(
        """
        first, second = study.ask().__enter__(), study.ask()
        with second:
            first.tell(1.0)
            first.__exit__(None, None, None)
            terminate()
        """,
        study,
    )
    assert ended.returncode == 143, ended.stderr
    assert [trial.state for trial in study.trials()] == ["complete", "waiting"]


def test_a_sigterm_handler_of_the_program_is_called_and_restored(study: Study) -> None:
    ended = run_here(
        """
        def theirs(*_): print("theirs", flush=True); sys.exit(7)
        signal.signal(signal.SIGTERM, theirs)
        try:
            with study.ask(): terminate()
        finally:
            assert signal.getsignal(signal.SIGTERM) is theirs
        """,
        study,
    )
    assert (ended.returncode, ended.stdout) == (7, "theirs\n"), ended.stderr
    assert study.trial(0).state == "waiting"


def test_a_handler_of_sigterm_that_returns_is_called_and_the_trial_given_back_when_it_stops(
    study: Study,
) -> None:
    ended = run_here(
        """
        def theirs(*_): print("theirs", flush=True)
        signal.signal(signal.SIGTERM, theirs)
        with study.ask() as trial:
            assert not trial.stop_requested
            terminate(wait=0)
            assert trial.stop_requested
            if trial.report(1.0, 1).should_prune():
                from optunapi import TrialPruned
                raise TrialPruned
        with study.ask() as trial:
            terminate(wait=0)  # a training that ends anyway has a result
            trial.tell(1.0)
        assert signal.getsignal(signal.SIGTERM) is theirs
        print("goes on")
        """,
        study,
    )
    assert (ended.returncode, ended.stdout) == (0, "theirs\ntheirs\ngoes on\n"), ended.stderr
    (trial,) = study.trials()
    assert (trial.number, trial.attempt, trial.values) == (0, 2, [1.0])


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_handler_of_sigterm_that_returns_ends_optimize_after_the_trials_it_has_begun(
    study: Study, jobs: int
) -> None:
    ended = run_here(
        f"""
        signal.signal(signal.SIGTERM, lambda *_: print("theirs", flush=True))
        together = threading.Barrier({jobs})
        def objective(trial):
            together.wait(30)
            if trial.number == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            while not trial.stop_requested:
                threading.Event().wait(0.01)
            return 1.0 if trial.number == 0 else None
        study.optimize(objective, n_jobs={jobs})
        print("goes on")
        """,
        study,
    )
    assert (ended.returncode, ended.stdout) == (0, "theirs\ngoes on\n"), ended.stderr
    assert [trial.state for trial in study.trials()] == ["complete"] + ["waiting"] * (jobs - 1)


def test_a_handler_of_sigterm_that_is_set_in_the_block_and_calls_ours_is_called_once(
    study: Study,
) -> None:
    ended = run_here(
        """
        with study.ask() as first:
            ours = signal.getsignal(signal.SIGTERM)
            def theirs(*arguments): print("theirs", flush=True); ours(*arguments)
            signal.signal(signal.SIGTERM, theirs)
            with study.ask() as second:
                terminate()
        """,
        study,
    )
    assert (ended.returncode, ended.stdout) == (143, "theirs\n"), ended.stderr
    assert [trial.state for trial in study.trials()] == ["waiting"] * 2


def test_a_fork_may_ask_for_trials_of_its_own_and_gives_them_back_alone(study: Study) -> None:
    ended = run_here(
        """
        with study.ask() as trial:
            child = os.fork()
            if not child:
                with study.ask() as own:
                    own.tell(1.0)
                assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
                with study.ask():
                    terminate()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
            assert [each.state for each in study.trials()] == ["running", "complete", "waiting"]
            trial.tell(1.0)
        """,
        study,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_signals_handler_that_stops_the_study_ends_its_own_call_alone(
    study: Study, jobs: int
) -> None:
    ended = run_here(
        f"""
        signal.signal(signal.SIGUSR1, lambda *_: study.stop())
        def objective(trial):
            if trial.number == 5:
                os.kill(os.getpid(), signal.SIGUSR1)
            return 1.0
        study.optimize(objective, n_jobs={jobs})
        """,
        study,
    )
    assert ended.returncode == 0, ended.stderr
    assert study.state == "open"


def test_a_fork_of_the_trainer_dies_of_sigterm_and_leaves_the_trial_alone(study: Study) -> None:
    ended = run_here(
        """
        with study.ask() as trial:
            child = os.fork()
            if not child:
                terminate()
            status = os.waitpid(child, 0)[1]
            assert os.WTERMSIG(status) == signal.SIGTERM, status
            child = os.fork()
            if not child:
                sys.exit(3)  # leaves the block in the child
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
            assert study.trial(0).state == "running"
            trial.tell(1.0)
        """,
        study,
    )
    assert ended.returncode == 0, ended.stderr
    assert study.trial(0).values == [1.0]


def renewing_threads(_: int) -> list[str]:
    import threading

    return [each.name for each in threading.enumerate() if "optunapi" in each.name]


def test_a_fork_does_not_renew_its_parents_leases(study: Study) -> None:
    trial = study.ask()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(renewing_threads, [0]) == [[]]
    trial.tell(1.0)


def test_forks_in_the_middle_of_other_threads_requests_do_work_of_their_own(study: Study) -> None:
    ended = run_here(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
        def work(count):
            for _ in range(count):
                with study.ask() as trial:
                    trial.tell(trial.number)
        threads = [threading.Thread(target=work, args=(15,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(6):
            child = os.fork()
            if not child:
                work(5)
                os._exit(0)
            children.append(child)
        for thread in threads:
            thread.join()
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert ended == [0] * 6, ended
        """,
        study,
    )
    assert ended.returncode == 0, ended.stderr
    assert [trial.value for trial in study.trials()] == list(range(90))


def test_no_trial_is_lost_or_repeated_when_the_server_is_killed_and_restarted(
    tmp_path: Path,
) -> None:
    home, port = tmp_path / "home", free_port()
    (home / "config").mkdir(parents=True)
    processes, jobs = scaled(3, 30), scaled(3, 2)
    count, outages = scaled(60, 600), scaled(2, 4)
    folders = [tmp_path / f"trainer-{n}" for n in range(processes)]
    url = f"http://127.0.0.1:{port}"
    running: list[subprocess.Popen[str]] = []

    def done() -> list[str]:
        files = [folder / "done" for folder in folders]
        return [line for f in files if f.exists() for line in f.read_text().splitlines()]

    def are_done(number: int) -> bool:
        assert all(process.poll() is None for process in running)
        return len(done()) >= number

    with ExitStack() as trainers:
        for killed_after in (*(count * n // outages for n in range(outages)), None):
            with running_server(home, port=port) as server:
                study = Client(url).create_study("run", {**XY, "max_trials": count})
                running = running or [
                    trainers.enter_context(trainer(url, "run", folder, "--jobs", str(jobs)))
                    for folder in folders
                ]
                if killed_after is None:
                    for process in running:
                        assert process.wait(240) == 0
                    trials = list(study.trials())
                else:
                    until(
                        partial(are_done, killed_after),
                        f"{killed_after} trials",
                        240,
                    )
                    server.process.kill()
                    server.process.wait()
    noted = dict(line.split() for line in done())
    assert Counter(str(trial.state) for trial in trials) == {"complete": count}
    assert [trial.number for trial in trials] == list(range(count))
    assert all(trial.attempt == 1 for trial in trials), "one was trained twice"
    assert len(done()) == count
    for trial in trials:
        assert trial.value == value_of(dict(trial.params)) == float(noted[str(trial.number)])
        assert len(trial.intermediate_values) == STEPS
