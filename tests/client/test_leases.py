"""Leases are renewed in the background, whatever the training does."""

import ctypes
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from optunapi import Client, Study
from optunapi.client.http.session import Request, Session
from optunapi.client.leases import HeldTrial, HeldTrials
from optunapi.errors import LeaseLost, NoSlot
from tests.client.conftest import XY, MakeStudy
from tests.client.proxy import Proxy
from tests.support import ROOT, Server, clean_environment, running_server, scaled


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


def test_a_trial_that_nobody_can_tell_any_more_is_not_renewed(
    single: Study, server: Server
) -> None:
    before = renewers()
    number = Client(server.url).study(single.name).ask(lease_seconds=0.5).number
    again = single.ask(wait=30)  # nobody renews the lease
    assert (again.number, again.attempt) == (number, 2)
    again.tell(1.0)
    for thread in renewers() - before:
        thread.join(30)
    assert renewers() <= before


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
