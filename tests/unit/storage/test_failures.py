"""Full, failing and read-only disks: changes are refused and undone, and service resumes by itself."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from optuna.trial import TrialState

from optunapi.errors import StorageClosed, StorageUnavailable
from optunapi.storage import Superseded, WriteThroughStorage, open_storage
from tests.support import missing, until
from tests.unit.storage.support import (
    MINIMIZE,
    assert_database_equals_memory,
    assert_kept_is_true,
    opened,
    optuna_storage,
    path_of,
    python,
    sql,
    template,
)


class Load:
    """Threads that add and finish trials until the block ends, and record what was acknowledged."""

    def __init__(self, storage: WriteThroughStorage, study_id: int, threads: int = 6) -> None:
        self.acknowledged: list[int] = []
        self.refusals: list[StorageUnavailable] = []
        self.refused = threading.Event()
        self.served = threading.Event()
        self._end = threading.Event()
        self._work = (storage, study_id)
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self) -> None:
        storage, study_id = self._work
        while not self._end.is_set():
            try:
                with storage.unit() as unit:
                    trial = storage.add_trial(
                        study_id, template(params={"x": 0.5}, user_attrs={"a": "b" * 500})
                    )
                unit.commit.result()
                storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
            except StorageUnavailable as refusal:
                self.refusals.append(refusal)
                self.refused.set()
                self._end.wait(0.01)
            else:
                self.acknowledged.append(trial._trial_id)
                self.served.set()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_for_service(self) -> None:
        storage, _ = self._work
        while True:
            self.served.clear()
            assert self.served.wait(30)
            if storage.unavailable is None:
                return  # else a thread recorded late what succeeded before the fault

    def wait_for_refusal(self) -> None:
        self.refused.clear()
        assert self.refused.wait(30)


def assert_sound(storage: WriteThroughStorage, study_id: int, load: Load) -> None:
    """Memory equals the database, and everything acknowledged is stored exactly once."""
    assert storage.unavailable is None
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)
    assert len(set(load.acknowledged)) == len(load.acknowledged)
    for trial_id in load.acknowledged:
        assert storage.get_trial(trial_id).values == [1.0]
    for refusal in load.refusals:
        assert not isinstance(refusal, Superseded)
        assert str(path_of(storage.url).parent) not in refusal.detail
    with sql(storage.url) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A separate file system at the folder."""
    folder.mkdir()
    mount = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if mount.returncode:
        missing(f"nothing can be mounted here: {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_and_served_again_when_there_is_room(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=16m", "tmpfs") as disk,
        opened(f"sqlite:///{disk}/study.db") as storage,
    ):
        study_id = storage.create_new_study(MINIMIZE, "study")
        with Load(storage, study_id) as load:
            load.wait_for_service()
            fill(disk / "ballast")
            load.wait_for_refusal()
            assert storage.unavailable is not None
            assert "full" in storage.unavailable
            with pytest.raises(StorageUnavailable):
                storage.n_trials(study_id)  # the content of the disk is unknown
            (disk / "ballast").unlink()
            load.wait_for_service()
        assert load.refusals[0].retry_after > 0
        assert_sound(storage, study_id, load)


def fill(ballast: Path) -> None:
    """Fill the disk."""
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"0" * 4096)


UNDER_STRACE = """
import json, sys, threading
from optunapi.errors import StorageClosed, StorageUnavailable
from optunapi.storage import open_storage
from tests.unit.storage.support import assert_database_equals_memory, assert_kept_is_true, template
storage = open_storage(sys.argv[1])
study_id = storage.get_study_id_from_name("study")
acknowledged, refused = [], []
def work(worker):
    for i in range(25):
        name = f"{worker}-{i}"
        while True:
            try:
                storage.create_new_trial(study_id, template(params={"x": 0.5}, user_attrs={"name": name}))
            except StorageUnavailable as refusal:
                refused.append(refusal.detail)
                threading.Event().wait(0.02)
            else:
                acknowledged.append(name)
                break
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert_kept_is_true(storage, study_id)
assert_database_equals_memory(storage)
storage.close()
print(json.dumps({"acknowledged": acknowledged, "refused": refused}))
"""


def test_a_failing_fsync_is_refused_and_memory_is_what_the_disk_has(url: str) -> None:
    with opened(url) as storage:
        storage.create_new_study(MINIMIZE, "study")
    probe = subprocess.run(["strace", "-qq", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        missing(f"strace does not work here: {probe.stderr.strip()}")
    failing = "fsync,fdatasync"
    under = (
        *("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={failing}"),
        *("-e", f"inject={failing}:error=EIO:when=12..16"),
    )
    with python(UNDER_STRACE, url, under=under) as child:
        output, _ = child.communicate(timeout=120)
    result = json.loads(output)
    assert result["refused"]
    assert "I/O" in result["refused"][0]
    with optuna_storage(url) as judge:
        (study,) = judge.get_all_studies()
        trials = judge.get_all_trials(study._study_id)
    names = [trial.user_attrs["name"] for trial in trials]
    # A refused trial may still have reached the disk; then both it and its second try exist.
    assert set(names) == set(result["acknowledged"])
    assert len(names) - len(set(names)) <= len(result["refused"])
    assert [trial.number for trial in trials] == list(range(len(trials)))


@contextmanager
def immutable(*paths: Path) -> Iterator[None]:
    """Files that cannot be written, not even by root."""
    present = [str(path) for path in paths if path.exists()]
    attempt = subprocess.run(["chattr", "+i", *present], capture_output=True, text=True)
    if attempt.returncode:
        missing(f"files cannot be made immutable here: {attempt.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *present], check=True)


def test_a_file_that_becomes_read_only_is_refused_and_served_again(
    storage: WriteThroughStorage, study_id: int
) -> None:
    database = path_of(storage.url)
    with Load(storage, study_id) as load:
        load.wait_for_service()
        with immutable(database, database.with_name("study.db-wal")):
            load.wait_for_refusal()
        load.wait_for_service()
    assert_sound(storage, study_id, load)


def test_a_read_only_file_is_refused_and_opened_once_it_can_be_written(url: str) -> None:
    with opened(url) as storage:
        storage.create_new_study(MINIMIZE, "study")
    with immutable(path_of(url)), pytest.raises(StorageUnavailable, match=r"study\.db"):
        open_storage(url)
    with immutable(path_of(url).parent), pytest.raises(StorageUnavailable, match="writable"):
        open_storage(url)
    with opened(url) as storage:
        storage.create_new_study(MINIMIZE, "another")


def test_a_refused_commit_undoes_study_trial_and_attributes_in_memory(
    storage: WriteThroughStorage, study_id: int
) -> None:
    kept = storage.create_new_trial(study_id, template(TrialState.COMPLETE, values=[1]))
    reloads = storage.reloads(study_id)
    with sql(storage.url) as outside:
        outside.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON study_user_attributes BEGIN "
            "SELECT RAISE(ABORT, 'refused by the test'); END"
        )
        with storage.unit() as unit:
            storage.update_trial(kept, system_attrs={"optunapi:late": 1})
            storage.add_trial(study_id, template(TrialState.COMPLETE, values=[0]))
            storage.add_trial(storage.create_new_study(MINIMIZE, "new"), template())
            storage.set_study_user_attr(study_id, "a", 1)
        with storage.unit() as later:
            storage.add_trial(study_id, template())
        for refused in (unit, later):
            with pytest.raises(StorageUnavailable, match="refused by the test"):
                refused.commit.result()
        outside.execute("DROP TRIGGER refuse")
    until_available(storage)
    assert storage.n_trials(study_id) == 1
    assert storage.get_trial_system_attrs(kept) == {}
    assert storage.reloads(study_id) > reloads
    assert [trial.number for trial in storage.best_trials(study_id)] == [0]
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)
    assert storage.get_trial_number_from_id(storage.create_new_trial(study_id)) == 1


def until_available(storage: WriteThroughStorage) -> None:
    for _ in range(2000):
        if storage.unavailable is None:
            return
        threading.Event().wait(0.01)
    pytest.fail(f"still {storage.unavailable}")


def test_a_storage_whose_file_is_removed_is_closed_and_does_not_create_it_again(
    storage: WriteThroughStorage, study_id: int, tmp_path: Path
) -> None:
    storage.create_new_trial(study_id)
    database = path_of(storage.url)
    database.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageClosed, match="removed or replaced"):
        storage.create_new_trial(study_id)
    with pytest.raises(StorageClosed):
        storage.n_trials(study_id)
    assert storage.is_closed
    storage.close()
    assert not database.exists()
    with opened(f"sqlite:///{tmp_path}/elsewhere") as moved:
        assert moved.n_trials(study_id) == 1


def test_a_file_put_in_the_place_of_another_is_what_is_opened_next(
    storage: WriteThroughStorage, study_id: int, tmp_path: Path
) -> None:
    with opened(f"sqlite:///{tmp_path}/backup.db") as backup:
        backup.create_new_trial(backup.create_new_study(MINIMIZE, "from the backup"))
    storage.create_new_trial(study_id)
    (tmp_path / "backup.db").rename(tmp_path / "study.db")  # the log of the other is still there
    with pytest.raises(StorageClosed, match="removed or replaced"):
        storage.create_new_trial(study_id)
    storage.close()
    with opened(storage.url) as again:
        assert [study.study_name for study in again.get_all_studies()] == ["from the backup"]
        assert_database_equals_memory(again)


def test_a_file_that_is_removed_while_its_disk_fails_closes_the_storage(
    storage: WriteThroughStorage, study_id: int
) -> None:
    with sql(storage.url) as outside:
        outside.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON alembic_version BEGIN "
            "SELECT RAISE(ABORT, 'refused by the test'); END"
        )
        outside.execute(
            "CREATE TRIGGER refuse_too BEFORE INSERT ON trials BEGIN "
            "SELECT RAISE(ABORT, 'refused by the test'); END"
        )
        with pytest.raises(StorageUnavailable, match="refused by the test"):
            storage.create_new_trial(study_id)
    assert storage.unavailable is not None
    path_of(storage.url).unlink()
    until(lambda: storage.is_closed)
