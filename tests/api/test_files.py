"""The folders config/ and db/: every study is served, and every other file is named with its reason."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from optunapi.telemetry.events import ConfigBroken
from tests.api.wire import Wire, problem, wire_of
from tests.support import write_config

LINE = "x: {type: float, low: 0, high: 1}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("config", "db"):
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.fixture
def own(home: Path) -> Iterator[Wire]:
    """A server of this test's own home."""
    with wire_of(home) as wire:
        yield wire


def databases(home: Path) -> list[str]:
    """The files in db/, without the one that has the server's id."""
    return sorted(set(os.listdir(home / "db")) - {".server.id"})


def stored(home: Path, file: str, *names: str, n_trials: int = 3) -> Path:
    """A database file that Optuna made, with these studies."""
    path = home / "db" / file
    url = f"sqlite:///{path}"
    for name in names:
        study = optuna.create_study(study_name=name, storage=url)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    return path


def set_version(path: Path, version: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))


def listed(wire: Wire) -> dict[str, Any]:
    """The studies of the list, by slug."""
    return {study["slug"]: study for study in wire.ok("GET", "/studies")["items"]}


# Databases that cannot be served


@pytest.mark.parametrize("version", ["v0.9.0.a", "v2.6.0.a", "v3.0.0.d"])
def test_a_study_of_an_old_schema_is_listed_with_the_command_and_never_tried_again(
    home: Path, version: str
) -> None:
    set_version(stored(home, "old.db", "old"), version)
    stored(home, "sound.db", "sound")
    before = (home / "db" / "old.db").read_bytes()
    with wire_of(home) as wire:
        study = listed(wire)["old"]
        assert "`optunapi upgrade old.db`" in study["config_error"]
        assert version in study["config_error"]
        assert study["trials"]["complete"] == 3
        for method, path in (("GET", ""), ("POST", "/trials"), ("GET", "/trials"), ("DELETE", "")):
            found = wire.refused(method, f"/studies/old{path}", 422, "config-invalid")
            assert "`optunapi upgrade old.db`" in found["detail"]
            assert found["errors"][0]["file"] == "old.db"
            assert str(home) not in found["detail"]
        problem(wire.client.get("/optunapi/hparams/old"), 422, "config-invalid")
        assert listed(wire)["sound"]["config_error"] is None
        assert wire.ask("sound")["number"] == 3
        assert wire.client.get("/optunapi/readyz").status_code == 200
    assert (home / "db" / "old.db").read_bytes() == before


def test_a_schema_that_is_not_known_says_that_a_newer_version_is_needed(home: Path) -> None:
    set_version(stored(home, "new.db", "new"), "v9.1.0.a")
    with wire_of(home) as wire:
        found = wire.refused("GET", "/studies/new", 422, "config-invalid")
        assert "newer OptunAPI" in found["detail"]
        assert "optunapi upgrade" not in found["detail"]
        assert listed(wire)["new"]["config_error"] == found["detail"]


def test_a_file_that_is_no_database_is_listed_with_the_reason_and_not_touched(home: Path) -> None:
    path = home / "db" / "text.db"
    path.write_text("some text that is long enough for a header of SQLite\n" * 50)
    (home / "db" / "folder.db").mkdir()
    (home / "db" / "link.db").symlink_to(home / "nowhere.db")
    with closing(sqlite3.connect(home / "db" / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    before = path.read_bytes()
    with wire_of(home) as wire:
        found = listed(wire)
        for name, reason in (
            ("text", "not a database"),
            ("folder", "not a file"),
            ("link", "link to a file that is not there"),
            ("other", "not an Optuna database"),
        ):
            assert reason in found[name]["config_error"]
            wire.refused("GET", f"/studies/{name}", 422, "config-invalid")
            wire.refused("PUT", f"/studies/{name}", 422, "config-invalid", json={"parameters": {}})
    assert path.read_bytes() == before
    assert databases(home) == ["folder.db", "link.db", "other.db", "text.db"]


@pytest.mark.parametrize("name", ["feature%2Fx", "a?b", "a#b", "100%", "%41", "a b+c", "ü;&='"])
def test_a_path_is_a_path_whatever_characters_it_has(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    home, elsewhere = tmp_path / name, tmp_path_factory.mktemp("elsewhere")
    for folder in ("db", "config"):
        (home / folder).mkdir(parents=True)
    (elsewhere / "db").mkdir()
    stored(elsewhere, "m.db", "m").rename(home / "db" / f"{name}.db")
    write_config(home / "config" / "n.yaml", LINE)
    for number in range(2):
        with wire_of(home) as wire:
            assert wire.ask("n")["number"] == number
            assert wire.ask("m")["number"] == 3 + number
    assert os.listdir(tmp_path) == [name]
    assert databases(home) == sorted([f"{name}.db", "n.db"])


def test_a_look_at_an_empty_file_leaves_it_empty(home: Path) -> None:
    (home / "db" / "m.db").touch()
    with wire_of(home) as wire:
        assert listed(wire) == {}
        wire.refused("GET", "/studies/m", 404, "study-not-found")
        assert (home / "db" / "m.db").stat().st_size == 0
        wire.ok("PUT", "/studies/m", json={"parameters": {}})
        assert list(listed(wire)) == ["m"]


def test_a_file_whose_damage_is_no_text_neither_stops_the_server_nor_goes_unnamed(
    home: Path,
) -> None:
    path = stored(home, "rotten.db", "rotten")
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE studies", b"CREATE \x95ABLE studies"))
    stored(home, "sound.db", "sound")
    before = path.read_bytes()
    with wire_of(home) as wire:
        assert "rotten.db is damaged" in listed(wire)["rotten"]["config_error"]
        assert listed(wire)["sound"]["config_error"] is None
        wire.refused("GET", "/studies/rotten", 503, "storage-unavailable")
        assert wire.ask("sound")["number"] == 3
    assert path.read_bytes() == before


def test_a_study_that_can_be_read_but_not_written_breaks_no_list(home: Path) -> None:
    path = stored(home, "rotten.db", "rotten")
    with closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND "
            "tbl_name = 'study_system_attributes' AND sql IS NULL"
        )
        ((size,),) = connection.execute("PRAGMA page_size")
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    stored(home, "sound.db", "sound")
    with wire_of(home) as wire:
        # Its uid cannot be written, on which all that is shown of it rests.
        assert "malformed" in listed(wire)["rotten"]["config_error"]
        assert listed(wire)["sound"]["config_error"] is None
        assert wire.ask("sound")["number"] == 3
        items = wire.ok("GET", "/trials?state=complete")["items"]
        assert {trial["study"] for trial in items} == {"sound"}


def test_a_damaged_study_is_listed_with_the_reason_and_the_others_are_served(home: Path) -> None:
    path = stored(home, "cut.db", "cut", n_trials=300)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)
    stored(home, "sound.db", "sound")
    with wire_of(home) as wire:
        found = listed(wire)
        assert "cut.db" in found["cut"]["config_error"]
        assert found["sound"]["trials"]["complete"] == 3
        reply = wire.request("POST", "/studies/cut/trials", json={})
        assert reply.status_code in (422, 503)
        if reply.status_code == 503:  # longer than a client tries again
            assert int(reply.headers["Retry-After"]) >= 600


# Files with other studies, or several


def test_every_study_of_every_file_is_served_by_its_name(home: Path) -> None:
    stored(home, "example.db", "one", "two", "my study")
    with wire_of(home) as wire:
        found = listed(wire)
        slug = next(slug for slug, study in found.items() if study["name"] == "my study")
        assert set(found) == {"one", "two", slug}
        for name in found:
            assert wire.study(name)["trials"]["complete"] == 3
            trial = wire.ask(name)
            assert trial["number"] == 3
            wire.tell(name, 3, value=0.5)
        assert wire.client.get("/optunapi/hparams/two").json()["trial_id"] == 4
        wire.refused("GET", "/studies/example", 404, "study-not-found")
        assert (
            wire.ok("POST", "/studies/one/fork", json={"name": "three"})["trials"]["complete"] == 4
        )
    names = optuna.get_all_study_names(f"sqlite:///{home}/db/example.db")
    assert sorted(names) == ["my study", "one", "two"]


def test_deleting_a_study_leaves_the_others_of_its_file(home: Path) -> None:
    path = stored(home, "both.db", "one", "two")
    with wire_of(home) as wire:
        wire.ask("one")
        wire.ask("two")
        wire.ok("DELETE", "/studies/one?force=true")
        assert list(listed(wire)) == ["two"]
        assert wire.ask("two")["number"] == 4
        wire.ok("DELETE", "/studies/two?force=true")
        assert listed(wire) == {}
        assert not path.exists()


def test_deleting_the_last_readable_study_leaves_one_that_cannot_be_read(home: Path) -> None:
    path = stored(home, "both.db", "sound", "broken")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM study_directions WHERE study_id = 2")
    with wire_of(home) as wire:
        wire.ok("DELETE", "/studies/sound")
        assert list(listed(wire)) == ["broken"]
    assert path.exists()


def test_of_two_studies_with_one_name_that_of_the_file_of_this_name_has_it(home: Path) -> None:
    stored(home, "a.db", "a", n_trials=1)
    stored(home, "b.db", "a", "b", n_trials=2)
    with wire_of(home) as wire:
        found = listed(wire)
        (other,) = set(found) - {"a", "b"}
        assert other.startswith("a-in-b.db-")
        assert found[other]["name"] == "a"
        assert [wire.ask(slug)["number"] for slug in ("a", other, "b")] == [1, 2, 2]
        assert set(listed(wire)) == {"a", "b", other}
        wire.ok("DELETE", f"/studies/{other}?force=true")
        assert set(listed(wire)) == {"a", "b"}
    with wire_of(home) as wire:
        assert wire.study("a")["trials"]["complete"] == 1


def test_a_study_in_use_keeps_its_name_when_a_file_of_that_name_appears(home: Path) -> None:
    stored(home, "some.db", "s", n_trials=1)
    with wire_of(home) as wire:
        assert wire.ask("s")["number"] == 1
        stored(home, "s.db", "s", n_trials=5)
        found = listed(wire)
        (other,) = set(found) - {"s"}
        assert found[other]["trials"]["complete"] == 5
        assert wire.ask("s")["number"] == 2
        assert wire.ask(other)["number"] == 5


def test_of_two_names_of_one_file_the_one_that_is_served_has_its_studies(home: Path) -> None:
    path = stored(home, "m.db", "m")
    with wire_of(home) as wire:
        assert wire.ask("m")["number"] == 3
        for name in ("also.db", "z.db"):
            os.link(path, path.with_name(name))
            reason = listed(wire)[name[:-3]]["config_error"]
            assert reason == f"{name} is a link to m.db: remove the link"
        wire.refused("POST", "/studies/also/trials", 422, "config-invalid", json={})
        assert wire.ask("m")["number"] == 4
        for name in ("also.db", "z.db"):
            path.with_name(name).unlink()
        assert set(listed(wire)) == {"m"}


def test_a_configuration_that_leads_to_a_database_is_named_and_not_read(home: Path) -> None:
    stored(home, "m.db", "m")
    (home / "config" / "c.yaml").symlink_to(home / "db" / "m.db")
    with wire_of(home) as wire:
        found = wire.refused("GET", "/studies/c", 422, "config-invalid")
        assert found["errors"][0]["reason"] == "m.db is a database, no configuration"


def test_files_may_come_and_go_while_the_server_runs(own: Wire) -> None:
    assert listed(own) == {}
    path = stored(own.home, "late.db", "first")
    assert list(listed(own)) == ["first"]
    assert own.study("first")["trials"]["complete"] == 3
    stored(own.home, "other.db", "second")
    assert own.ask("second")["number"] == 3
    path.rename(own.home / "late.db")
    write_config(own.home / "config" / "conf.yaml", LINE)
    assert "second" in listed(own)


def test_a_study_is_not_made_where_one_of_its_name_is(home: Path) -> None:
    stored(home, "file.db", "taken")
    with wire_of(home) as wire:
        spec = {"parameters": {"y": {"type": "int", "low": 1, "high": 2}}}
        wire.refused("PUT", "/studies/taken", 409, "spec-conflict", json=spec)
        stored(home, "more.db", "free")
        wire.refused("POST", "/studies/taken/fork", 409, "spec-conflict", json={"name": "free"})
    assert not (home / "db" / "taken.db").exists()


def test_the_refusal_of_an_unknown_name_has_the_names_like_it(home: Path) -> None:
    stored(home, "example.db", "cifar-10")
    write_config(home / "config" / "mnist.yaml", LINE)
    with wire_of(home) as wire:
        found = wire.refused("GET", "/studies/cifar10", 404, "study-not-found")
        assert found["near"] == ["cifar-10"]
        assert "'cifar-10'" in found["detail"]
        assert "create_study" in found["detail"]
        assert "mnist" not in found["detail"]
        problem(wire.client.get("/optunapi/hparams/minst"), 404, "study-not-found")
        assert wire.refused("POST", "/studies/minst/trials", 404, "study-not-found")["near"]


# Configuration files that are no study


def test_every_file_that_is_no_study_is_listed_with_its_errors_and_logged_once(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "optunapi")
    config = home / "config"
    write_config(config / "sound.yaml", LINE)
    write_config(config / "broken.yaml", "x: {type: flaot}\ny: {type: int, low: 3, high: 1}\n")
    write_config(config / "cut.yml", "x: {type: float, low: [")
    write_config(config / "my study.yaml", LINE)
    (config / "UPPER.YAML").write_text(LINE)
    write_config(config / "sound.yml", LINE)
    (config / "sound.yaml~").write_text(LINE)
    (config / "folder.yaml").mkdir()
    (config / "link.yaml").symlink_to(config / "absent.yaml")
    write_config(config / "latin.yaml", "x: {type: categorical, choices: [é]}".encode("latin-1"))
    write_config(config / "empty.yaml", "")
    write_config(config / "two\nlines.yaml", LINE)
    write_config(config / os.fsdecode(b"b\xff.yaml"), LINE)
    (config / ".hidden.yaml.swp").write_text("")
    with wire_of(home) as wire:
        page = wire.ok("GET", "/studies")
        assert [study["name"] for study in page["items"]] == ["sound"]
        found = {each["file"]: each["errors"] for each in page["invalid"]}
        assert set(found) == {
            *("broken.yaml", "cut.yml", "my study.yaml", "UPPER.YAML", "sound.yml", "sound.yaml~"),
            *("folder.yaml", "link.yaml", "latin.yaml", "empty.yaml", "two\\nlines.yaml"),
            r"b\udcff.yaml",
        }
        assert all(
            set(e) == {"file", "line", "key", "reason"} for errors in found.values() for e in errors
        )
        assert len(found["broken.yaml"]) >= 2
        assert "sound.yaml" in found["sound.yml"][0]["reason"]
        assert ".yaml" in found["UPPER.YAML"][0]["reason"]
        assert "letters" in found["my study.yaml"][0]["reason"]
        for _ in range(2):
            wire.ok("GET", "/studies")
            wire.refused("GET", "/studies/broken", 422, "config-invalid")
        logged = files_logged(caplog)
        for file in found:
            assert logged.count(file) == 1, file
        write_config(config / "broken.yaml", "x: {type: flout}\n")
        wire.ok("GET", "/studies")
        wire.ok("GET", "/studies")
        assert files_logged(caplog).count("broken.yaml") == 2


def files_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the configuration file of each line about a broken one."""
    events = [vars(record).get("event") for record in caplog.records]
    return [event.file for event in events if isinstance(event, ConfigBroken)]


def test_a_file_broken_by_an_edit_is_shown_by_its_study_and_logged_once(
    own: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "optunapi")
    path = own.home / "config" / "m.yaml"
    write_config(path, LINE)
    own.ask("m")
    write_config(path, "x: {type: flaot, low: 0}\n")
    assert own.study("m")["config_error"]
    assert own.ok("GET", "/studies")["invalid"] == []
    own.study("m")
    assert files_logged(caplog) == ["m.yaml"]


@pytest.mark.parametrize(
    "content", ["\ufeff" + LINE, LINE.replace("\n", "\r\n")], ids=["BOM", "CRLF"]
)
def test_what_windows_editors_write_is_read(own: Wire, content: str) -> None:
    write_config(own.home / "config" / "m.yaml", content)
    assert list(own.study("m")["parameters"]) == ["x"]


def test_the_invalid_files_are_on_the_first_page_alone(own: Wire) -> None:
    for name in ("a", "b"):
        write_config(own.home / "config" / f"{name}.yaml", LINE)
    write_config(own.home / "config" / "c.yaml", "[")
    first = own.ok("GET", "/studies?limit=1")
    assert [each["file"] for each in first["invalid"]] == ["c.yaml"]
    assert own.ok("GET", f"/studies?limit=1&page={first['next']}")["invalid"] == []
