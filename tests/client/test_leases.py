"""Leases are renewed in the background, whatever the training does."""

import copy
import ctypes
import gc
import logging
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from optunapi import Client, Study
from optunapi.client.http.session import Request, Session
from optunapi.client.leases import HeldTrial, HeldTrials
from optunapi.errors import LeaseLost, NoSlot
from tests.client.conftest import XY, MakeStudy
from tests.client.proxy import Proxy
from tests.client.test_processes import run_here
from tests.support import ROOT, Server, clean_environment, running_server, scaled, until


def renewers() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "optunapi-leases"}


@pytest.fixture
def single(make_study: MakeStudy) -> Study:
    """A study with one place: another worker gets it as soon as its lease is lost."""
    return make_study(max_trials=1)


def test_a_trial_is_held_for_much_longer_than_its_lease(single: Study, server: Server) -> None:
    trial = single.ask(lease_seconds=1)
    with pytest.raises(NoSlot):
        Client(server.url).study(single.name).ask(wait=4)
    assert trial.tell(1.0).attempt == 1


@pytest.mark.parametrize(
    ("term", "interval"), [(9.0, 3.0), (30.0, 10.0), (60.0, 10.0), (1e6, 10.0)]
)
def test_a_lease_is_renewed_after_a_third_of_its_term_and_ten_seconds_at_most(
    term: float, interval: float
) -> None:
    assert HeldTrial(study="s", number=0, lease="x", lease_seconds=term).interval == interval


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Server]:
    """A server that closes no idle connection, also if a client takes seconds to use it again."""
    with running_server(tmp_path, options=("--timeout-keep-alive", "3600")) as server:
        yield server


def test_a_training_that_holds_the_gil_for_seconds_keeps_its_trial(patient: Server) -> None:
    server, lease, held = patient, scaled(6, 24), scaled(300_000, 2_000_000)
    single = Client(server.url).create_study("single", {**XY, "max_trials": 1})
    rival = f"""
from optunapi import Client
from optunapi.errors import NoSlot
try:
    print(Client({server.url!r}).study({single.name!r}).ask(wait={2 * lease}))
except NoSlot:
    print("nothing")
"""
    trial = single.ask(lease_seconds=lease)
    asking = subprocess.Popen(
        [sys.executable, "-c", rival],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    usleep = ctypes.PyDLL(None).usleep  # called with the GIL held
    while asking.poll() is None:
        usleep(held)
    assert asking.communicate()[0] == "nothing\n"
    assert trial.tell(1.0).attempt == 1


def test_a_lease_that_ran_out_is_still_valid_while_its_trial_was_not_handed_on(
    study: Study,
) -> None:
    trial = study.ask(lease_seconds=0.2)
    ctypes.PyDLL(None).usleep(750_000)
    assert trial.report(1.0, 1).tell(1.0).attempt == 1


def test_renewals_that_fail_are_tried_again(
    single: Study, proxy: Proxy, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    trial = Client(proxy.url).study(single.name).ask(lease_seconds=3)
    proxy.disturb("/renew", "reset", "bad-gateway", "truncate")
    with pytest.raises(NoSlot):
        Client(server.url).study(single.name).ask(wait=5)
    assert not proxy.faults
    assert trial.tell(1.0).attempt == 1
    assert caplog.text.count("was not renewed; trying again") == 1


def test_a_lease_is_lost_when_the_server_says_so_and_the_trial_shows_it(
    study: Study, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    trial = study.ask(worker="gpu-03", lease_seconds=0.3)
    Client(server.url).study(study.name).ask(worker="gpu-03", resume=True)
    while not trial.stop_requested:
        threading.Event().wait(0.01)  # the renewing thread has no event to wait for
    with pytest.raises(LeaseLost):
        trial.should_prune()
    assert "is not held by this lease any more" in caplog.text


def test_a_renewal_brings_the_request_to_stop(study: Study, server: Server) -> None:
    trial = study.ask(lease_seconds=0.3)
    Client(server.url).study(study.name).stop()
    while not trial.stop_requested:
        threading.Event().wait(0.01)
    assert trial.should_prune()


def test_the_thread_that_renews_ends_with_the_last_lease(server: Server, study: Study) -> None:
    study = Client(server.url).study(study.name)
    before = renewers()
    first, second = study.ask(), study.ask()
    (thread,) = renewers() - before
    first.tell(1.0)
    assert thread.is_alive()
    second.release()
    thread.join(30)
    assert not thread.is_alive()


DROPPED = r"trial 0 of study \S+ was dropped without a result, and is given back"


def assert_free(single: Study) -> None:
    again = single.ask(wait=30)  # long before the lease would run out
    assert (again.number, again.attempt) == (0, 2)
    again.tell(1.0)


def drop(study: Study) -> None:
    trial = study.ask(lease_seconds=3600)
    del trial


def catch_an_exception(study: Study) -> None:
    def train() -> None:
        study.ask(lease_seconds=3600).report(float("nan"), -1)

    with suppress(ValueError):
        train()


def leave_in_a_cycle(study: Study) -> None:
    cycle: list[object] = [study.ask(lease_seconds=3600)]
    cycle.append(cycle)
    del cycle
    gc.collect()


def drop_the_client_too(study: Study) -> None:
    Client(study.connection.url).study(study.name).ask(lease_seconds=3600)


@pytest.mark.parametrize("lose", [drop, catch_an_exception, leave_in_a_cycle, drop_the_client_too])
def test_a_trial_that_nobody_can_tell_any_more_is_given_back_with_a_warning(
    single: Study, lose: Callable[[Study], None]
) -> None:
    before = renewers()
    with pytest.warns(RuntimeWarning, match=DROPPED):
        lose(single)
    assert_free(single)
    for thread in renewers() - before:
        thread.join(30)
    assert renewers() <= before


def test_a_trial_is_held_as_long_as_any_of_its_objects_is_there(single: Study) -> None:
    trial = single.ask(lease_seconds=0.5)
    report = copy.copy(trial).report
    del trial
    with pytest.raises(NoSlot):
        single.ask(wait=2)
    assert report(1.0, 1).tell(1.0).attempt == 1


def test_the_result_of_a_trial_that_was_dropped_may_still_be_told_by_its_number(
    single: Study,
) -> None:
    with pytest.warns(RuntimeWarning, match=DROPPED):
        number = single.ask().number
    assert single.tell(number, 0.5).values == [0.5]


def test_a_trial_that_is_open_when_the_program_ends_is_given_back(single: Study) -> None:
    ended = run_here("trial = study.ask(lease_seconds=3600)", single)
    assert ended.returncode == 0
    assert "has no result at the end of the program, and is given back" in ended.stderr
    assert_free(single)


def test_a_fork_that_drops_or_leaves_its_parents_trial_does_not_give_it_back(
    single: Study,
) -> None:
    ended = run_here(
        """
        trial = study.ask(lease_seconds=3600)
        for end in (lambda: None, lambda: globals().pop("trial")):
            child = os.fork()
            if not child:
                end()
                sys.exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
            assert study.trial(0).state == "running"
        trial.tell(1.0)
        """,
        single,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


class Scripted(Session):
    """A session whose replies of study `stuck` do not arrive until the end of the test."""

    def __init__(self) -> None:
        super().__init__("http://head:8000", token=None, timeout=30, verify=True)
        self.renewed: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.ended = threading.Event()

    def send(self, request: Request) -> dict[str, bool]:
        if request.path[1] == "stuck":
            self.ended.wait()
        else:
            self.renewed.put(time.monotonic())
        return {"stop_requested": False}


@pytest.mark.parametrize("stuck", [1, 6, scaled(100, 1000)])
def test_renewals_without_a_reply_hold_up_no_other(stuck: int) -> None:
    before, session = renewers(), Scripted()
    held = HeldTrials(session)
    trials = [
        HeldTrial(study="stuck", number=n, lease="x", lease_seconds=0.3) for n in range(stuck)
    ]
    trials.append(HeldTrial(study="healthy", number=0, lease="x", lease_seconds=3))
    try:
        for trial in trials:
            held.add(trial)
        for _ in range(4):
            session.renewed.get(timeout=3)  # the lease's term
        assert len(renewers() - before) <= stuck + 3
    finally:
        session.ended.set()
        for trial in trials:
            held.remove(trial)
    for thread in renewers() - before:
        thread.join(30)


def test_a_machine_that_slept_renews_its_leases_soon_after() -> None:
    slept = [0.0]
    session = Scripted()
    held = HeldTrials(session, clock=lambda: time.monotonic() + slept[0])
    trial = HeldTrial(study="s", number=0, lease="x", lease_seconds=60)
    held.add(trial)
    slept[0] = 3600.0
    woken = time.monotonic()
    assert session.renewed.get(timeout=30) - woken < 5  # and not 10 seconds, a renewal's interval
    held.remove(trial)


def test_a_process_that_was_stopped_renews_its_leases_when_it_goes_on(
    make_study: MakeStudy, server: Server
) -> None:
    study = make_study(max_trials=2)
    code = f"""
import sys
from optunapi import Client
trial = Client({server.url!r}).study({study.name!r}).ask(lease_seconds=1)
print(flush=True)
sys.stdin.read()
trial.tell(1.0)
"""
    trainer = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout is not None
    trainer.stdout.readline()
    trainer.send_signal(signal.SIGSTOP)
    other = study.ask()
    with pytest.raises(NoSlot):
        study.ask(wait=0.5)
    until(lambda: datetime.fromisoformat(_lease(study)) < datetime.now(UTC), "the end of a lease")
    trainer.send_signal(signal.SIGCONT)
    until(lambda: datetime.fromisoformat(_lease(study)) > datetime.now(UTC), "a renewal")
    trainer.communicate("")
    assert trainer.returncode == 0
    assert study.trial(0).values == [1.0]
    other.tell(1.0)


def _lease(study: Study) -> str:
    found = study.connection.call("GET", "studies", study.name, "trials", "0")
    return str(found["lease"]["expires_at"])


def test_a_trial_without_a_lease_needs_no_thread(server: Server, study: Study) -> None:
    study = Client(server.url).study(study.name)
    before = renewers()
    study.ask(lease_seconds=None)
    assert renewers() <= before


def test_an_unexpected_exception_does_not_end_the_renewals_of_other_leases(
    caplog: pytest.LogCaptureFixture,
) -> None:
    renewed = threading.Event()

    class Faulty(Session):
        def send(self, request: Request) -> dict[str, bool]:
            if request.path[3] == "0":
                raise ZeroDivisionError
            renewed.set()
            return {"stop_requested": False}

    session = Faulty("http://head:8000", token=None, timeout=30, verify=True)
    held = HeldTrials(session)
    trials = [HeldTrial(study="s", number=n, lease="x", lease_seconds=0.3) for n in (0, 1)]
    with caplog.at_level(logging.WARNING):
        for trial in trials:
            held.add(trial)
        assert renewed.wait(30)
        renewed.clear()
        assert renewed.wait(30)
    for trial in trials:
        held.remove(trial)
    assert "ZeroDivisionError" in caplog.text
