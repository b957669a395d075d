"""The disk fails under load: requests are refused, nothing acknowledged is lost, service resumes."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.crash.faults import failing_fsync, full_disk, immutable, read_only_disk, small_disk
from tests.crash.support import (
    Trainers,
    assert_kept,
    assert_memory_equals_database,
    assert_refused_properly,
    client,
    database,
)
from tests.support import Server, running_server, scaled, until

Fault = Callable[[Path, Server], AbstractContextManager[None]]


def disk_full(home: Path, _: Server) -> AbstractContextManager[None]:
    return full_disk(home / "db")


def fsync_fails(_: Path, server: Server) -> AbstractContextManager[None]:
    return failing_fsync(server.process.pid)


def file_read_only(home: Path, _: Server) -> AbstractContextManager[None]:
    path = database(home)
    return immutable(path, path.with_name(f"{path.name}-wal"))


@contextmanager
def own_disk(home: Path, fault: Fault) -> Iterator[None]:
    """A disk for the databases that can be filled, if that is the fault."""
    if fault is disk_full:
        with small_disk(home / "db", "12m"):
            yield
    else:
        yield


@pytest.mark.parametrize("fault", [disk_full, fsync_fails, file_read_only])
def test_a_failing_disk_refuses_under_load_and_service_resumes_by_itself(
    home: Path, fault: Fault
) -> None:
    with (
        own_disk(home, fault),
        running_server(home) as server,
        Trainers(server.port) as trainers,
        client(server) as connection,
    ):
        trainers.wait_for_acknowledged(200)
        for _ in range(2):
            refused = len(trainers.refusals)
            with fault(home, server):
                trainers.wait_for_refused(100)
                for reply in trainers.refusals[refused:]:
                    assert_refused_properly(reply, home)
                ready = connection.get("/optunapi/readyz")
                if fault is file_read_only:  # the other studies are served
                    assert ready.status == 200
                else:
                    assert_refused_properly(ready, home)
                assert connection.get("/optunapi/livez").status == 200
            trainers.wait_for_each()
            assert connection.get("/optunapi/readyz").status == 200
        trainers.finish()
        ledger = trainers.ledger()
        trials = assert_kept(database(home), ledger)
        assert len(trials) == len(ledger.asked) == len(ledger.keys)
        assert_memory_equals_database(server, database(home))


def test_a_commit_that_fails_now_and_then_is_undone_without_reading_everything_again(
    home: Path,
) -> None:
    with running_server(home) as server, Trainers(server.port) as trainers:
        trainers.wait_for_acknowledged(200)
        # The attempt to recover, a tenth of a second later, succeeds.
        with failing_fsync(server.process.pid, when="7+11"):
            trainers.wait_for_refused(scaled(100, 1000))
            trainers.wait_for_each()
        trainers.finish()
        ledger = trainers.ledger()
        trials = assert_kept(database(home), ledger)
        assert len(trials) == len(ledger.asked) == len(ledger.keys)
        assert_memory_equals_database(server, database(home))


def test_a_study_cannot_be_created_on_a_full_disk_and_is_created_when_there_is_room(
    home: Path,
) -> None:
    folder = home / "db"
    with small_disk(folder, "4m"), running_server(home) as server, client(server) as connection:
        with full_disk(folder):
            for _ in range(3):
                assert_refused_properly(connection.ask("a-key"), home)
        assert connection.ask("a-key").body["trial_id"] == 0
        assert_memory_equals_database(server, database(home))


@pytest.mark.parametrize("what", ["folder", "folder of an existing study", "file"])
def test_a_study_whose_file_cannot_be_written_is_refused_and_served_once_it_can(
    home: Path, what: str
) -> None:
    path = database(home)
    path.parent.mkdir()
    if what != "folder":
        with running_server(home) as server, client(server) as connection:
            assert connection.ask("a-key").body["trial_id"] == 0
    with running_server(home) as server, client(server) as connection:
        with immutable(path if what == "file" else path.parent):
            for _ in range(3):
                assert_refused_properly(connection.ask("a-key"), home)
        # A study that could not be opened is not tried again for a moment.
        until(lambda: connection.ask("a-key").body.get("trial_id") == 0)
        assert_memory_equals_database(server, path)


@pytest.mark.parametrize("folder", ["", "db"], ids=["home", "folder of databases"])
def test_a_server_on_a_read_only_disk_does_not_start_and_says_so_in_a_line(
    home: Path, folder: str
) -> None:
    with small_disk(home / folder, "4m"), read_only_disk(home / folder):
        elsewhere = home.with_name("log")
        elsewhere.mkdir()
        environment = {"OPTUNAPI_HOME": str(home)}
        with (
            pytest.raises(RuntimeError, match="server ended with 3") as stop,
            running_server(elsewhere, environment=environment),
        ):
            pass
        assert "OptunAPI cannot start" in str(stop.value)
        assert "Traceback" not in str(stop.value)


def test_a_server_can_be_stopped_while_its_disk_fails(home: Path) -> None:
    path = database(home)
    with running_server(home) as server, Trainers(server.port) as trainers:
        trainers.wait_for_acknowledged(100)
        with immutable(path, path.with_name(f"{path.name}-wal"), path.parent):
            trainers.wait_for_refused(20)
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(30)
            assert "Application shutdown complete" in server.log.read_text()
        trainers.halt()
        trainers.check()
    with running_server(home) as server:
        assert_kept(path, trainers.ledger())
        assert_memory_equals_database(server, path)
