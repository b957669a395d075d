"""Artifacts: recorded where Optuna records them, within a study's limit, pruned by age."""

import errno
import json
import os
from itertools import count
from pathlib import Path

import optuna
import pytest

from optunapi.engine.trials.artifacts import Artifact, Removed, artifacts_of
from optunapi.errors import ArtifactNotFound, StorageUnavailable, TooLarge, TrialNotFound
from optunapi.storage.artifacts import INCOMING, ArtifactFolder
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life, done, optuna_study
from tests.unit.storage.support import take_in_foreign_writes

LIMIT = 1000


class Files:
    """Artifact records of one study, without the files' bytes."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._ids = count()

    def add(self, number: int, filename: str, size: int = 10, limit: int = LIMIT) -> Removed:
        artifact = Artifact(
            artifact_id=f"id-{next(self._ids)}",
            filename=filename,
            mimetype="text/plain",
            encoding=None,
            size=size,
            sha256="0" * 64,
            uploaded_at=self.life.clock.time(),
        )
        return done(self.life.study.artifacts.add(number, artifact, limit))

    def names(self, number: int) -> list[str]:
        return [a.filename for a in done(self.life.study.artifacts.of_trial(number))]

    def room(self, number: int = 0, filename: str = "new", limit: int = LIMIT) -> int:
        return done(self.life.study.artifacts.room(number, filename, limit))

    def prune(self, older_than: float, keep_best: int = 0) -> list[str]:
        removed = done(self.life.study.artifacts.prune(older_than, keep_best))
        return sorted(artifact.filename for artifact in removed.artifacts)


@pytest.fixture
def life(new_life: NewLife) -> Life:
    """Trial 0 complete, 1 running."""
    life = new_life()
    life.ask("w")
    life.complete(0, 1.0)
    life.ask("w")
    return life


@pytest.fixture
def files(life: Life) -> Files:
    return Files(life)


@pytest.mark.parametrize("number", [0, 1])
def test_an_artifact_is_noted_with_finished_and_running_trials_where_optuna_finds_it(
    life: Life, files: Files, number: int
) -> None:
    files.add(number, "model.pt")
    files.add(number, "log.txt")
    assert files.names(number) == ["model.pt", "log.txt"]
    life.restart()
    assert files.names(number) == ["model.pt", "log.txt"]
    study = optuna_study(life)
    found = optuna.artifacts.get_all_artifact_meta(study.trials[number], storage=study._storage)
    assert [(meta.artifact_id, meta.filename) for meta in found] == [
        ("id-0", "model.pt"),
        ("id-1", "log.txt"),
    ]
    life.assert_sound()


def test_one_of_the_same_name_is_replaced_and_optuna_sees_only_the_new_one(
    life: Life, files: Files
) -> None:
    files.add(0, "model.pt")
    files.add(1, "model.pt")
    replaced = files.add(0, "model.pt")
    assert replaced.ids == ["id-0"]
    study = optuna_study(life)
    found = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert [meta.artifact_id for meta in found] == ["id-2"]
    assert files.names(1) == ["model.pt"]


def test_what_optuna_uploaded_itself_is_shown_and_can_be_deleted(
    life: Life, tmp_path: Path
) -> None:
    store = optuna.artifacts.FileSystemArtifactStore(tmp_path)
    (tmp_path / "plot.png").write_bytes(b"png")
    study = optuna_study(life)
    optuna.artifacts.upload_artifact(
        artifact_store=store,
        file_path=str(tmp_path / "plot.png"),
        study_or_trial=study.trials[1],
        storage=study._storage,
    )
    take_in_foreign_writes(life.storage)
    (found,) = done(life.study.artifacts.of_trial(1))
    assert (found.filename, found.size, found.sha256) == ("plot.png", None, None)
    removed = done(life.study.artifacts.delete(1, "plot.png"))
    assert removed.ids == [found.artifact_id]
    assert done(life.study.artifacts.of_trial(1)) == []


def test_a_null_that_optuna_dashboard_leaves_is_no_artifact(life: Life) -> None:
    trial = life.trial(1).trial
    with life.state.unit():
        changed = life.state.update(trial, system_attrs={"artifacts:gone": "null"})
    assert artifacts_of(changed) == []


def test_artifacts_that_are_not_there_cannot_be_found_or_deleted(life: Life, files: Files) -> None:
    files.add(0, "model.pt")
    before = life.dump()
    artifacts = life.study.artifacts
    for number, error in ((1, ArtifactNotFound), (2, TrialNotFound)):
        with pytest.raises(error):
            artifacts.find(number, "model.pt")
        with pytest.raises(error):
            artifacts.delete(number, "model.pt")
    with pytest.raises(TrialNotFound):
        files.add(2, "model.pt")
    assert life.dump() == before


def test_a_study_keeps_within_its_limit(life: Life, files: Files) -> None:
    assert files.room() == 1000
    files.add(0, "a", 600)
    assert (files.room(), files.room(0, "a"), files.room(1, "a")) == (400, 1000, 400)
    before = life.dump()
    with pytest.raises(TooLarge):
        files.add(1, "a", 401)
    assert life.dump() == before
    files.add(0, "a", 1000)
    assert files.room(1) == 0
    done(life.study.artifacts.delete(0, "a"))
    assert files.room() == 1000
    files.add(1, "b", 300)
    life.restart()
    assert files.room() == 700


def test_the_limit_counts_what_is_there_also_after_a_change_from_outside(
    life: Life, files: Files
) -> None:
    files.add(0, "a", 600)
    study = optuna_study(life)
    uploaded = json.dumps({"artifact_id": "x", "filename": "b", "size": 100})
    study._storage.set_trial_system_attr(study.trials[1]._trial_id, "artifacts:x", uploaded)
    take_in_foreign_writes(life.storage)
    assert files.room() == 300


def test_old_artifacts_are_pruned_but_for_those_of_the_best_and_running_trials(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    files = Files(life)
    for number in range(5):
        life.ask("w")
        files.add(number, f"old-{number}")
        if number < 4:
            life.complete(number, float(number))
    clock.pass_(100)
    files.add(3, "fresh")
    assert files.prune(101) == []
    assert files.prune(50, keep_best=2) == ["old-2", "old-3"]
    assert [files.names(number) for number in range(5)] == [
        ["old-0"],
        ["old-1"],
        [],
        ["fresh"],
        ["old-4"],
    ]
    assert files.room() == 1000 - 40
    assert files.prune(50) == ["old-0", "old-1"]
    life.restart()
    assert files.room() == 1000 - 20


def test_with_several_objectives_the_front_is_best(new_life: NewLife, clock: Clock) -> None:
    life = new_life(objectives={"a": "minimize", "b": "minimize"})
    files = Files(life)
    for number, values in enumerate([(3.0, 3.0), (1.0, 2.0), (2.0, 1.0)]):
        life.ask("w")
        files.add(number, str(number))
        life.complete(number, *values)
    clock.pass_(10)
    assert files.prune(5, keep_best=2) == ["0"]


def test_deleting_a_study_returns_the_files_to_remove(life: Life, files: Files) -> None:
    files.add(0, "a")
    files.add(1, "b")
    assert done(life.study.delete(force=True)).ids == ["id-0", "id-1"]


# The folder


@pytest.fixture
def folder(tmp_path: Path) -> ArtifactFolder:
    return ArtifactFolder(tmp_path / "artifacts", max_file=100, max_study=100)


def listed(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "artifacts").rglob("*") if p.is_file())


def test_bytes_are_an_artifact_only_when_they_are_kept(
    folder: ArtifactFolder, tmp_path: Path
) -> None:
    assert not (tmp_path / "artifacts").exists()
    upload = folder.receive("s")
    upload.write(b"hel")
    upload.write(b"lo")
    with pytest.raises(ArtifactNotFound):
        folder.read(upload.id)
    upload.keep()
    upload.confirm()
    with folder.read(upload.id) as file:
        assert file.read() == b"hello"
    assert upload.size == 5
    assert upload.sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    store = optuna.artifacts.FileSystemArtifactStore(tmp_path / "artifacts")
    with store.open_reader(upload.id) as file:
        assert file.read() == b"hello"


@pytest.mark.parametrize("kept", [False, True])
def test_what_is_dropped_leaves_nothing(folder: ArtifactFolder, tmp_path: Path, kept: bool) -> None:
    upload = folder.receive("s")
    upload.write(b"x" * 100_000)
    if kept:
        upload.keep()
    upload.drop()
    assert listed(tmp_path) == []


def test_what_a_killed_server_left_is_found_but_not_what_is_being_written(
    folder: ArtifactFolder, tmp_path: Path
) -> None:
    upload = folder.receive("s")
    (tmp_path / "artifacts" / INCOMING / "s" / "left").write_bytes(b"half")
    for left in folder.interrupted():
        assert (left.study, left.id, left.is_kept) == ("s", "left", False)
        left.drop()
    assert listed(tmp_path) == [upload.id]
    upload.keep()
    upload.confirm()
    assert list(folder.interrupted()) == []
    assert listed(tmp_path) == [upload.id]


@pytest.mark.parametrize("end", ["confirm", "drop", "close"])
def test_what_was_kept_and_perhaps_not_listed_is_found_at_the_next_start(
    folder: ArtifactFolder, tmp_path: Path, end: str
) -> None:
    upload = folder.receive("s")
    upload.write(b"hello")
    upload.keep()
    assert list(folder.interrupted()) == [], "the server that writes it still runs"
    upload.close()  # as the system does for a process that is killed
    (left,) = folder.interrupted()
    assert (left.study, left.id, left.is_kept) == ("s", upload.id, True)
    getattr(left, end)()
    assert (upload.id in listed(tmp_path)) == (end != "drop")
    again = list(folder.interrupted())
    assert len(again) == (end == "close")
    for left in again:
        left.close()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_where_files_have_no_links_an_artifact_is_renamed(
    folder: ArtifactFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    upload = folder.receive("s")
    upload.write(b"hello")
    upload.keep()
    upload.confirm()
    assert listed(tmp_path) == [upload.id]
    with folder.read(upload.id) as file:
        assert file.read() == b"hello"


def test_a_file_can_be_read_to_its_end_though_it_is_removed(folder: ArtifactFolder) -> None:
    upload = folder.receive("s")
    upload.write(b"hello")
    upload.keep()
    upload.confirm()
    with folder.read(upload.id) as file:
        folder.remove([upload.id, "not-there"])
        assert file.read() == b"hello"
    with pytest.raises(ArtifactNotFound):
        folder.read(upload.id)


def test_a_folder_that_cannot_be_made_is_unavailable_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = ArtifactFolder(tmp_path / "file" / "artifacts", max_file=1, max_study=1)
    with pytest.raises(StorageUnavailable) as error:
        folder.receive("s")
    assert str(tmp_path) not in error.value.detail
