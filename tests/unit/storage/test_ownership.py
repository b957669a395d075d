"""One process owns a database, refusals name it, and its lock ends with it."""

import fcntl
import logging
import os
import pickle
import signal
import socket
import threading
from pathlib import Path

import pytest

from optunapi.storage import DatabaseOwned, WriteThroughStorage, open_storage
from optunapi.storage.tables.ownership import Ownership, file_system, warn_of_network
from tests.unit.storage.support import MINIMIZE, opened, optuna_storage, path_of, python, template

OWNER = """
import sys
from optunapi.storage import open_storage
storage = open_storage(sys.argv[1])
study_id = storage.create_new_study(storage.get_study_directions(1), "of the owner")
print(storage.create_new_trial(study_id), flush=True)
sys.stdin.read()
storage.close()
"""


def test_the_refusal_of_a_second_process_names_the_owner(url: str) -> None:
    with opened(url) as storage:
        storage.create_new_study(MINIMIZE)
    with python(OWNER, url) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(DatabaseOwned) as refusal:
            open_storage(url)
        assert str(owner.pid) in refusal.value.detail
        assert socket.gethostname() in refusal.value.detail
        assert "\n" not in refusal.value.detail
        with optuna_storage(url) as other:  # Optuna itself is not locked out
            assert len(other.get_all_studies()) == 2
        owner.communicate("")
    with opened(url) as storage:
        assert len(storage.get_all_studies()) == 2


def test_the_lock_ends_with_a_killed_owner_and_nothing_acknowledged_is_lost(url: str) -> None:
    with opened(url) as storage:
        storage.create_new_study(MINIMIZE)
    with python(OWNER, url) as owner:
        assert owner.stdout is not None
        trial_id = int(owner.stdout.readline())
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
        with opened(url) as storage:
            assert storage.get_trial(trial_id).number == 0


def test_one_process_cannot_open_a_database_twice(storage: WriteThroughStorage, url: str) -> None:
    link = path_of(url).with_name("link.db")
    link.symlink_to(path_of(url))
    for name in (url, f"sqlite:///{link}"):
        with pytest.raises(DatabaseOwned, match=str(os.getpid())):
            open_storage(name)
    storage.create_new_study(MINIMIZE)


def test_of_many_that_open_a_database_at_once_one_becomes_the_owner(url: str) -> None:
    with opened(url):
        pass
    start = threading.Barrier(8)
    storages: list[WriteThroughStorage] = []
    refused: list[DatabaseOwned] = []

    def take() -> None:
        start.wait()
        try:
            storages.append(open_storage(url))
        except DatabaseOwned as refusal:
            refused.append(refusal)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(storages), len(refused)) == (1, 7)
    storages[0].close()
    with opened(url):
        pass


def test_a_lock_file_that_its_owner_removes_meanwhile_is_not_taken_for_a_lock(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = open_storage(url)
    lock = fcntl.flock

    def leave_first(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        leaving.close()  # between our opening of the lock file and our locking it
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", leave_first)
    path = path_of(url)
    mine = Ownership(path)
    assert path.with_name(".study.db.lock").read_text().split()[0] == str(os.getpid())
    with pytest.raises(DatabaseOwned):
        Ownership(path)
    mine.release()
    assert os.listdir(path.parent) == ["study.db"]


def test_another_process_unpickles_a_storage_only_when_it_is_free(url: str) -> None:
    with opened(url) as storage:
        study_id = storage.create_new_study(MINIMIZE)
        pickled = pickle.dumps(storage)
        with pytest.raises(DatabaseOwned):
            open_storage(url)
    again = pickle.loads(pickled)
    try:
        again.create_new_trial(study_id, template())
        assert pickle.loads(pickled) is again
    finally:
        again.close()


def test_a_warning_names_a_network_file_system(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw shared:1 - ext4 /dev/root rw\n"
        f"22 21 0:9 / {tmp_path} rw - nfs4 server:/export rw\n"
        f"23 22 0:8 / {tmp_path}/local\\040disk rw - ext4 /dev/sdb rw\n"
    )
    assert file_system(tmp_path / "local disk", mounts) == "ext4"
    warn_of_network(tmp_path / "local disk" / "study.db", mounts)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        warn_of_network(tmp_path / "study.db", mounts)
    assert "nfs4" in caplog.text
