"""The file of an open study is removed, moved, or replaced: the study is what is there now."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import httpx
import optuna
import pytest

from optunapi.storage import DatabaseOwned
from optunapi.storage.stores import StudyFiles
from tests.api.server import dump
from tests.api.test_files import LINE, stored
from tests.api.wire import V1, Wire, problem, wire_of
from tests.support import until


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the configured study `a`, and `b` without a configuration."""
    for folder in ("config", "db"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config" / "a.yaml").write_text(LINE)
    stored(tmp_path, "b.db", "b")
    return tmp_path


def parts(path: Path) -> list[Path]:
    """The database and what SQLite has beside it."""
    return list(path.parent.glob(f"{path.name}*"))


def remove_all(path: Path) -> None:
    for part in parts(path):
        part.unlink()


def remove_file(path: Path) -> None:
    path.unlink()


def move_away(path: Path) -> None:
    path.rename(path.parent.parent / "kept.db")


def move_all_away(path: Path) -> None:
    for part in parts(path):
        part.rename(path.parent.parent / f"kept{part.name}")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    path.rmdir()


WAYS = [remove_all, remove_file, move_away, move_all_away, replace_by_folder]


@pytest.mark.parametrize("way", WAYS)
def test_a_study_whose_file_is_gone_starts_afresh_or_is_404_and_the_server_is_ready(
    home: Path, way: Callable[[Path], None]
) -> None:
    with wire_of(home) as wire:
        for name in ("a", "b"):
            for _ in range(2):
                wire.ask(name, worker="w")
        uid = wire.study("a")["uid"]
        for name in ("a", "b"):
            way(home / "db" / f"{name}.db")
        told = {"value": 0.5, "study_uid": uid}
        reply = wire.request("POST", "/studies/a/trials/1/tell", json=told)
        assert (reply.status_code, reply.json()["code"]) in [
            (404, "trial-not-found"),
            (409, "study-replaced"),
        ]
        wire.refused("POST", "/studies/b/trials/3/tell", 404, "study-not-found", json={"value": 1})
        assert wire.client.get("/optunapi/readyz").status_code == 200
        assert wire.study("a")["trials"]["running"] == 0
        wire.refused("DELETE", "/studies/b?force=true", 404, "study-not-found")
        wire.ok("DELETE", "/studies/a?force=true")
        assert wire.ask("a")["number"] == 0
        assert wire.study("a")["uid"] != uid
        told_anew = wire.request("POST", "/studies/a/trials/0/tell", json=told)
        problem(told_anew, 409, "study-replaced")
        assert [each["name"] for each in wire.ok("GET", "/studies")["items"]] == ["a"]
        wire.tell("a", 0, value=1.0)


def test_a_gone_file_is_noticed_without_a_request(home: Path) -> None:
    with wire_of(home) as wire:
        wire.ask("b")
        remove_all(home / "db" / "b.db")
        until(lambda: not (home / "db" / ".b.db.lock").exists())
        assert wire.client.get("/optunapi/readyz").status_code == 200
        wire.refused("GET", "/studies/b", 404, "study-not-found")


def test_the_events_of_a_study_whose_file_is_gone_end(home: Path) -> None:
    with wire_of(home) as wire:
        wire.ask("b")
        with wire.client.stream("GET", f"{V1}/studies/b/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            remove_all(home / "db" / "b.db")
            assert [line for line in lines if line.startswith("data")] == []


def test_a_moved_file_has_all_that_was_acknowledged(home: Path) -> None:
    path = home / "db" / "a.db"
    with wire_of(home) as wire:
        for number in range(20):
            wire.ask("a")
            wire.tell("a", number, value=number)
        path.rename(home / "kept.db")
        assert wire.ask("a")["number"] == 0
    study = optuna.load_study(study_name="a", storage=f"sqlite:///{home}/kept.db")
    assert [trial.value for trial in study.trials] == list(range(20))


def test_another_file_in_the_place_is_served_and_is_not_mixed_with_the_log_of_the_first(
    home: Path,
) -> None:
    stored(home, "other.db", "a", n_trials=5)
    other = (home / "db" / "other.db").rename(home / "other.db")
    before = dump(other)
    with wire_of(home) as wire:
        for _ in range(20):
            wire.ask("a")
        uid = wire.study("a")["uid"]
        os.replace(other, home / "db" / "a.db")
        told = {"value": 0.5, "study_uid": uid}
        wire.refused("POST", "/studies/a/trials/9/tell", 409, "study-replaced", json=told)
        assert wire.study("a")["trials"]["complete"] == 5
        assert wire.ask("a")["number"] == 5
    assert len(dump(home / "db" / "a.db")) > len(before)


def test_a_file_that_is_moved_behind_a_link_has_its_log_beside_it(home: Path) -> None:
    """A log beside the link would be lost with the process: the next one looks beside the file."""
    moved = home / "kept.db"
    with wire_of(home) as wire:
        uid, number = wire.study("b")["uid"], wire.ask("b")["number"]
        (home / "db" / "b.db").rename(moved)
        (home / "db" / "b.db").symlink_to(moved)
        for value in (0.5, 0.5):  # what finds the file moved, and what is sent again
            wire.tell("b", number, value=value, study_uid=uid)
        wire.ask("b")
        assert moved.with_name("kept.db-wal").exists()
    study = optuna.load_study(study_name="b", storage=f"sqlite:///{moved}")
    assert study.trials[number].value == 0.5


def test_a_file_that_is_renamed_is_served_under_the_study_of_its_name(home: Path) -> None:
    with wire_of(home) as wire:
        uid = wire.study("b")["uid"]
        number = wire.ask("b")["number"]
        (home / "db" / "b.db").rename(home / "db" / "c.db")
        told = {"value": 0.5, "study_uid": uid}
        wire.ok("POST", f"/studies/b/trials/{number}/tell", json=told)
        assert wire.study("b")["trials"]["complete"] == 4
        assert sorted(path.name for path in (home / "db").glob("*.db")) == ["c.db"]


def test_every_study_of_a_file_that_is_gone_is_gone(home: Path) -> None:
    stored(home, "both.db", "one", "two")
    with wire_of(home) as wire:
        wire.ask("one")
        wire.ask("two")
        remove_all(home / "db" / "both.db")
        wire.refused("POST", "/studies/one/trials", 404, "study-not-found", json={})
        wire.refused("POST", "/studies/two/trials/3/tell", 404, "study-not-found", json={})
        stored(home, "both.db", "one", "two")
        assert wire.ask("one")["number"] == wire.ask("two")["number"] == 3


@pytest.mark.parametrize("change", ["remove link", "remove target", "another target", "same inode"])
def test_a_link_that_is_changed_is_another_file(home: Path, change: str) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    link, target = home / "db" / "b.db", elsewhere / "target.db"
    link.rename(target)
    link.symlink_to(target)
    stored(home, "other.db", "b", n_trials=7)
    other = (home / "db" / "other.db").rename(elsewhere / "other.db")
    with wire_of(home) as wire:
        assert wire.ask("b")["number"] == 3
        if change == "remove target":
            target.unlink()
        else:
            link.unlink()
        if change == "another target":
            link.symlink_to(other)
        if change == "same inode":
            os.link(target, elsewhere / "linked.db")
            link.symlink_to(elsewhere / "linked.db")
        if change.startswith("remove"):
            reply = wire.request("POST", "/studies/b/trials/3/tell", json={"value": 1})
            assert reply.status_code in (404, 422)
        else:
            expected = 7 if change == "another target" else 4
            assert wire.ask("b")["number"] == expected
            assert wire.study("b")["trials"]["complete"] == (expected if expected == 7 else 3)
        assert wire.client.get("/optunapi/readyz").status_code == 200


def test_without_its_folder_nothing_is_served_and_with_it_all_is(home: Path) -> None:
    folder, away = home / "db", home / "away"
    with wire_of(home) as wire:
        number = wire.ask("b")["number"]
        uid = wire.study("b")["uid"]
        folder.rename(away)
        told = {"value": 0.5, "study_uid": uid}
        for path in ("/optunapi/readyz", f"{V1}/studies", f"{V1}/studies/a", f"{V1}/studies/x"):
            found = problem(wire.client.get(path), 503, "storage-unavailable")
            assert found["detail"] == "the folder db/ was removed: put it back"
        wire.refused(
            "POST", f"/studies/b/trials/{number}/tell", 503, "storage-unavailable", json=told
        )
        wire.refused("POST", "/studies/a/trials", 503, "storage-unavailable", json={})
        assert not folder.exists()
        away.rename(folder)
        assert wire.client.get("/optunapi/readyz").status_code == 200
        wire.ok("POST", f"/studies/b/trials/{number}/tell", json=told)


@pytest.mark.parametrize("content", ["empty", "backup"])
def test_another_folder_in_the_place_is_owned_and_served(home: Path, content: str) -> None:
    folder = home / "db"
    shutil.copytree(folder, home / "backup")
    with wire_of(home) as wire:
        wire.ask("a")
        wire.ask("b")
        folder.rename(home / "away")
        if content == "backup":
            shutil.copytree(home / "backup", folder)
        else:
            folder.mkdir()
        assert wire.client.get("/optunapi/readyz").status_code == 200
        assert (folder / ".server.lock").exists()
        assert wire.ask("a")["number"] == 0
        if content == "backup":
            assert wire.ask("b")["number"] == 3
        else:
            wire.refused("POST", "/studies/b/trials", 404, "study-not-found", json={})
        with pytest.raises(DatabaseOwned):
            StudyFiles(folder).open()
        assert wire.client.get("/optunapi/readyz").status_code == 200


def test_requests_of_many_clients_survive_the_loss_of_the_file(home: Path) -> None:
    replies: list[httpx.Response] = []

    def work(wire: Wire) -> None:
        while len(replies) < 200:
            replies.append(wire.request("POST", "/studies/a/trials", json={}))
            if len(replies) == 100:
                remove_all(home / "db" / "a.db")

    with wire_of(home) as wire:
        threads = [Thread(target=work, args=(wire,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {reply.status_code for reply in replies} == {201}, [r.text for r in replies[-3:]]
        uids = {json.loads(reply.content)["study_uid"] for reply in replies}
        assert len(uids) == 2
        last = wire.study("a")["uid"]
        kept = [reply.json() for reply in replies if reply.json()["study_uid"] == last]
        assert wire.study("a")["trials"]["running"] == len(kept)
        assert sorted(trial["number"] for trial in kept) == list(range(len(kept)))
