"""A result that cannot be told is on disk: for a trainer that is killed, for its server at any address, and
whatever becomes of other studies and servers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optunapi import Client, Study
from optunapi.client import delivery, telling
from optunapi.client.spool_folders import spool_folders
from optunapi.errors import (
    ConfigInvalid,
    LeaseLost,
    OptunAPIError,
    StudyNotFound,
    StudyReplaced,
    TrialFinished,
)
from tests.client.conftest import XY, MakeStudy
from tests.client.proxy import Fault, Proxy, proxy_before
from tests.support import ROOT, SOAK, Server, clean_environment, free_port, running_server, until

SPEC = {**XY, "lease": "1h"}


def kept(spool: Path, suffix: str = "json") -> list[Path]:
    return sorted(spool.glob(f"*/*.{suffix}"))


def values_in(path: Path) -> object:
    return json.loads(path.read_text())["body"]["values"]


def keep(url: str, *studies: Study) -> None:
    """Ask for a trial of each study at `url`, and keep the results, since their server is not reached."""
    with proxy_before(url) as broken:
        through = Client(broken.url, timeout=5, retry_for=0)
        for trial in [through.study(study.name).ask() for study in studies]:
            broken.disturb("", "reset")
            with pytest.warns(UserWarning, match="is kept in"):
                trial.tell(0.5)


def block(folder: Path) -> None:
    """Make a folder that nobody can write; root may write anywhere."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file where the folder should be")


# From the first try that fails

TRAINER = """
import sys, threading
from optunapi import Client
url, n_jobs = sys.argv[1], int(sys.argv[2])
asked = threading.Barrier(n_jobs)

def objective(trial):
    if asked.wait() == 0:
        print("trained", flush=True)
        sys.stdin.readline()
    asked.wait()
    return trial.number + 0.5

Client(url, timeout=60, retry_for=600).study("s").optimize(
    objective, n_trials=n_jobs, n_jobs=n_jobs, lease_seconds=3600, show_progress_bar=False)
"""


@contextmanager
def training(url: str, n_jobs: int) -> Iterator["subprocess.Popen[str]"]:
    """A trainer whose objectives return once a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER, url, str(n_jobs)],
        cwd=ROOT,
        env=clean_environment(OPTUNAPI_SPOOL=os.environ["OPTUNAPI_SPOOL"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "trained\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: "subprocess.Popen[str]") -> None:
    """Let the objectives return."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_trainer_that_is_ended_while_its_server_is_away_loses_no_result(
    tmp_path: Path, spool: Path, number: signal.Signals, n_jobs: int
) -> None:
    (tmp_path / "config").mkdir()
    port = free_port()
    with running_server(tmp_path, port=port) as server:
        Client(server.url).create_study("s", SPEC)
        with training(server.url, n_jobs) as process:
            server.process.kill()
            server.process.wait()
            finish(process)
            until(lambda: len(kept(spool)) == n_jobs, "the results on disk")
            process.send_signal(number)
            process.wait(30)
    assert len(kept(spool)) >= n_jobs  # twice, if the signal came at the moment it was written
    with running_server(tmp_path, port=port) as server:
        study = Client(server.url).study("s")
        assert [trial.values for trial in study.trials()] == [[n + 0.5] for n in range(n_jobs)]
    assert not kept(spool)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_trainer_that_is_ended_while_its_server_hangs_loses_no_result(
    tmp_path: Path, spool: Path, number: signal.Signals
) -> None:
    (tmp_path / "config").mkdir()
    with running_server(tmp_path) as server, proxy_before(server.url) as proxy:
        study = Client(server.url).create_study("s", SPEC)
        proxy.disturb("/tell", "stall", "stall")
        with training(proxy.url, 2) as process:
            finish(process)
            until(lambda: not proxy.faults, "two requests under way")
            process.send_signal(number)
            process.wait(30)
        assert len(kept(spool)) == 2
        Client(server.url)
        assert [trial.values for trial in study.trials()] == [[0.5], [1.5]]
    assert not kept(spool)


def test_a_result_is_on_disk_while_it_is_tried_again_and_gone_when_it_was_delivered(
    study: Study, disturbed: Client, proxy: Proxy, spool: Path
) -> None:
    seen = []
    trial = disturbed.study(study.name).ask()
    proxy.disturb("/tell", "reset", "bad-gateway", "lose-reply")
    object.__setattr__(disturbed.connection.retries, "sleep", lambda _: seen.append(kept(spool)))
    assert trial.tell(0.5).values == [0.5]
    assert len(seen) == 3
    assert len({tuple(each) for each in seen}) == 1
    assert len(seen[0]) == 1
    assert not kept(spool)
    assert not kept(spool, "refused")


def test_a_result_that_no_disk_takes_is_tried_again_in_memory(
    study: Study, disturbed: Client, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    trial = disturbed.study(study.name).ask()
    for folder in spool_folders():
        block(folder.path)
    proxy.disturb("/tell", "reset", "reset")
    assert trial.tell(0.5).values == [0.5]
    assert caplog.text.count("cannot be kept on disk") == 1


def test_a_server_that_hangs_is_waited_for_with_the_result_on_disk(
    study: Study, proxy: Proxy, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "TELL_SECONDS", 0.2)
    through = Client(proxy.url, timeout=60, retry_for=60)
    trial = through.study(study.name).ask()
    seen = []
    proxy.disturb("/tell", "stall")
    object.__setattr__(through.connection.retries, "sleep", lambda _: seen.append(kept(spool)))
    assert trial.tell(0.5).values == [0.5]
    assert [len(each) for each in seen] == [1]


# Refused for good


def delete(study: Study) -> None:
    study.connection.call("DELETE", "studies", study.slug, query={"force": "true"})


def make_again(study: Study) -> None:
    delete(study)
    study.connection.call("PUT", "studies", study.slug, body=XY)
    study.connection.call("POST", "studies", study.slug, "trials", body={})


@pytest.mark.parametrize(("event", "error"), [(delete, StudyNotFound), (make_again, StudyReplaced)])
@pytest.mark.parametrize("way", ["trial", "study", "optimize"])
def test_values_that_are_refused_because_the_study_is_gone_are_kept(
    study: Study,
    spool: Path,
    event: object,
    error: type[OptunAPIError],
    way: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert callable(event)
    if way == "optimize":

        def objective(_: object) -> float:
            event(study)
            return 0.25

        if error is StudyReplaced:
            study.optimize(objective, n_trials=1)
        else:
            with pytest.raises(error):
                study.optimize(objective, n_trials=1)
    else:
        trial = study.ask()
        event(study)
        with pytest.raises(error) as raised:
            trial.tell(0.25) if way == "trial" else study.tell(trial.number, 0.25)
        assert str(spool) in raised.value.__notes__[0]
    (refused,) = kept(spool, "refused")
    assert values_in(refused) == [0.25]
    assert str(refused) in caplog.text
    assert not kept(spool)


def test_values_under_a_lease_that_was_never_given_are_kept(study: Study, spool: Path) -> None:
    study.ask()
    with pytest.raises(LeaseLost):
        study.tell(0, 0.25, lease="1-0000000000000000")
    assert [values_in(each) for each in kept(spool, "refused")] == [[0.25]]


def test_values_of_a_cancelled_trial_are_kept_and_those_of_a_complete_one_are_not(
    study: Study, spool: Path
) -> None:
    first, second = study.ask_batch(2)
    study.cancel(0)
    study.tell(1, 0.75)
    for trial in (first, second):
        with pytest.raises(TrialFinished):
            trial.tell(0.25)
    assert [json.loads(each.read_text())["number"] for each in kept(spool, "refused")] == [0]


# Delivery


def problem(status: int, code: str, *headers: str) -> bytes:
    """The reply of a server that refuses."""
    body = json.dumps({"code": code, "detail": "as staged", "status": status})
    type_and_length = "Content-Type: application/problem+json", f"Content-Length: {len(body)}"
    lines = f"HTTP/1.1 {status} Refused", *type_and_length, *headers, "Connection: close", "", body
    return "\r\n".join(lines).encode()


NOT_NOW: dict[str, Fault | bytes] = {
    "a locked database": problem(503, "storage-unavailable", "Retry-After: 1"),
    "a database of an older Optuna": problem(422, "config-invalid"),
    "another server of the fleet": problem(503, "standby", "Retry-After: 1"),
    "a fault": problem(500, "internal"),
    "too many requests": problem(429, "rate-limited", "Retry-After: 1"),
    "another token": problem(403, "not-permitted"),
    "a route that is not there": problem(404, "route-not-found"),
    "an unknown code": problem(409, "of-the-future"),
    "a proxy": "bad-gateway",
    "a login page": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "a reset": "reset",
    "no answer": "stall",
}


@pytest.mark.parametrize("step", ["", "/tell"] if SOAK else ["/tell"])
@pytest.mark.parametrize("fault", NOT_NOW.values(), ids=list(NOT_NOW))
def test_a_result_that_its_study_cannot_take_now_waits_and_holds_up_nothing_else(
    make_study: MakeStudy,
    proxy: Proxy,
    server: Server,
    spool: Path,
    fault: Fault | bytes,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optunapi.client.kept_tell.DELIVERY_SECONDS", 0.3)
    broken, healthy = make_study(), make_study()
    keep(server.url, broken, broken, healthy)
    proxy.disturb(f"{broken.name}/trials/0{step}", fault)
    through = Client(proxy.url, timeout=60, retry_for=0)
    assert healthy.trial(0).values == [0.5]
    assert [json.loads(path.read_text())["study"] for path in kept(spool)] == [broken.name] * 2
    assert not kept(spool, "refused")
    proxy.seen.clear()
    assert through.study(healthy.name).ask().tell(0.75).values == [0.75]
    assert not [path for _, path in proxy.seen if f"/{broken.name}/" in path]
    Client(proxy.url)
    assert not kept(spool)
    assert [trial.values for trial in broken.trials()] == [[0.5], [0.5]]


def test_a_result_that_waits_is_tried_again_by_the_same_process_after_a_while(
    study: Study, proxy: Proxy, server: Server, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(server.url, study)
    locked = NOT_NOW["a locked database"]
    proxy.disturb("/trials/0", locked, locked)
    through = Client(proxy.url)
    through.study(study.name)
    assert len(proxy.faults) == len(kept(spool)) == 1
    monkeypatch.setattr(delivery, "WAIT_SECONDS", 0.0)
    through = Client(proxy.url)
    assert len(kept(spool)) == 1
    through.study(study.name)
    assert not kept(spool)


def test_a_result_is_kept_while_its_study_has_a_configuration_that_cannot_be_served(
    study: Study, disturbed: Client, proxy: Proxy, spool: Path
) -> None:
    trial = disturbed.study(study.name).ask()
    proxy.disturb("/tell", problem(422, "config-invalid"))
    with pytest.raises(ConfigInvalid) as raised:
        trial.tell(0.5)
    assert str(kept(spool)[0]) in raised.value.__notes__[0]
    disturbed.study(study.name)
    assert study.trial(0).values == [0.5]


# Addresses


def test_a_result_is_delivered_at_any_address_of_its_server(
    study: Study, server: Server, proxy: Proxy, spool: Path
) -> None:
    for url in (proxy.url, server.url, f"http://localhost:{server.port}"):
        keep(server.url, study)
        assert len(kept(spool)) == 1
        Client(url)
        assert not kept(spool)
    assert [trial.values for trial in study.trials()] == [[0.5]] * 3


def test_a_server_is_the_same_after_a_restart_at_another_port_and_a_move(
    tmp_path: Path, spool: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "config").mkdir(parents=True)
    with running_server(old) as server:
        keep(server.url, Client(server.url).create_study("s", SPEC))
    old.rename(new)
    with running_server(new) as server:
        assert Client(server.url).study("s").trial(0).values == [0.5]
    assert not kept(spool)


def test_another_server_at_the_same_address_neither_gets_a_result_nor_spoils_it(
    tmp_path: Path, spool: Path
) -> None:
    mine, other, port = tmp_path / "mine", tmp_path / "other", free_port()
    for home in (mine, other):
        (home / "config").mkdir(parents=True)
    with running_server(mine, port=port) as server:
        client = Client(server.url, timeout=5, retry_for=0)
        study = client.create_study("s", SPEC)
        first, second, third = study.ask_batch(3)
    with pytest.warns(UserWarning, match="is kept in"):
        first.tell(0.25)
    with running_server(other, port=port) as server:
        Client(server.url)
        with pytest.raises(StudyNotFound) as raised:
            second.tell(0.5)
        assert "another one answers at this URL" in raised.value.__notes__[0]
        Client(server.url).create_study("s", SPEC).ask()
        with pytest.raises(StudyReplaced):
            third.tell(0.75)
    assert len(kept(spool)) == 3
    assert not kept(spool, "refused")
    with running_server(mine, port=port) as server:
        stored = Client(server.url).study("s").trials()
        assert [trial.values for trial in stored] == [[0.25], [0.5], [0.75]]


def test_a_file_of_an_older_client_is_delivered_at_its_url(
    study: Study, server: Server, proxy: Proxy, spool: Path
) -> None:
    keep(server.url, study)
    (new,) = kept(spool)
    content = json.loads(new.read_text())
    del content["server"], content["study_uid"]
    connection = Client(server.url, retry_for=0).connection
    old = connection.spool.of_server(None)[0]
    assert not kept(spool)
    trial = study.ask()  # held, or it would be given back
    body = {"state": "complete", "values": [0.5]}
    content |= {"number": trial.number, "params": {}, "created_at": None, "body": body}
    old.mkdir(exist_ok=True)
    (old / new.name).write_text(json.dumps(content))
    Client(proxy.url)
    assert study.trial(1).state == "running"
    Client(server.url)
    assert study.trial(1).values == [0.5]
    assert not kept(spool)


# Folders


def test_a_folder_that_cannot_be_written_is_told_when_the_client_is_made_and_a_temporary_one_is_used(
    study: Study, server: Server, spool: Path
) -> None:
    block(spool)
    temporary = Path(tempfile.gettempdir())
    with pytest.warns(UserWarning, match="OPTUNAPI_SPOOL to a folder that can be written") as told:
        client = Client(server.url, timeout=5, retry_for=0)
    assert str(temporary) in str(told[0].message)
    assert told[0].filename == __file__
    with proxy_before(server.url) as broken:
        with pytest.warns(UserWarning, match="will be kept in"):
            trial = Client(broken.url, timeout=5, retry_for=0).study(study.name).ask()
        broken.disturb("", "reset")
        with pytest.warns(UserWarning, match="is kept in"):
            trial.tell(0.5)
    (file,) = temporary.glob("*/*/*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.parent.stat().st_mode & 0o777 == 0o700
    with pytest.warns(UserWarning, match="will be kept in"):
        Client(server.url)
    assert study.trial(0).values == [0.5]
    assert client.ping()


def test_a_user_without_a_home_is_told_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNAPI_SPOOL")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.warns(UserWarning, match="this user has no home folder"):
        Client(server.url)


def test_a_temporary_folder_in_which_others_can_write_is_not_used(server: Server) -> None:
    usual, temporary = (folder.path for folder in spool_folders())
    block(usual)
    temporary.mkdir()
    temporary.chmod(0o777)
    with pytest.warns(UserWarning, match="kept nowhere: .*others can write in"):
        Client(server.url)
