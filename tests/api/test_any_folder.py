"""Folders with any mix of files: healthy studies answer as they do alone, and the odd ones are named."""

import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from optunapi.cli import main
from tests.api.test_files import LINE, set_version, stored
from tests.api.wire import wire_of
from tests.support import scaled, write_config

ODD_NAMES = ["my study", "ünï", "a'b", "a;b", "%2e", "x" * 120, "-", "a b.db", "UP", "new\nline"]
LOG = ("-wal", "-shm")
FORMS = (
    "",
    "-closed",
    "-killed",
)  # of a database: as Optuna leaves it, in WAL mode, and with a log
HUGE = 2**36  # bytes of a file without content


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Database files to copy, for it takes long to make one."""
    home = tmp_path_factory.mktemp("models")
    (home / "db").mkdir()
    stored(home, "one.db", "healthy", n_trials=3)
    stored(home, "several.db", "first", "second", "my study", n_trials=2)
    stored(home, "large.db", "large", n_trials=60)
    set_version(stored(home, "old.db", "old", n_trials=2), "v2.6.0.a")
    change(stored(home, "broken.db", "broken"), "UPDATE trials SET state = 'SLEEPING'")
    change(home / "db" / "other.db", "CREATE TABLE accounts (name TEXT)")
    journal = JournalStorage(JournalFileBackend(str(home / "db" / "journal.db")))
    journal.create_new_study([StudyDirection.MINIMIZE], "of a journal")
    for name in ("one", "large", "old", "broken", "other"):
        copy_of(home / "db" / f"{name}.db", home / "db" / f"{name}-closed.db")
        leave_log(home / "db" / f"{name}-closed.db", home / "db" / f"{name}-killed.db")
    return home / "db"


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def copy_of(path: Path, copy: Path) -> None:
    """Copy a database with its log, if it has one."""
    for suffix in ("", *LOG):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")


def leave_log(path: Path, copy: Path) -> None:
    """Put a database in WAL mode, and copy it as a killed process leaves it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE more (x)")
        copy_of(path, copy)


def refused(rng: random.Random, models: Path, path: Path) -> dict[str, Callable[[], object]]:
    """Ways to put something there that cannot be served, and is named."""

    def spoiled(form: str) -> None:
        copy_of(models / f"large{form}.db", path)
        spoil(path, models / "large.db", "trial_params")

    def with_mode(mode: int) -> None:
        shutil.copy(models / "old.db", path)
        path.chmod(mode)

    def huge() -> None:
        path.touch()
        os.truncate(path, HUGE)

    found: dict[str, Callable[[], object]] = {
        "journal": lambda: shutil.copy(models / "journal.db", path),
        "noise": lambda: path.write_bytes(rng.randbytes(rng.randrange(1, 9000))),
        "unreadable": partial(with_mode, 0),
        "readonly": partial(with_mode, 0o444),
        "folder": path.mkdir,
        "pipe": partial(os.mkfifo, path),
        "huge": huge,
        "astray": lambda: path.symlink_to(path.parent / "nowhere.db"),
        "loop": lambda: path.symlink_to(path),
        "link": lambda: path.symlink_to(models / "old.db"),
    }
    for form in FORMS:
        found[f"spoiled{form}"] = partial(spoiled, form)
        for name in ("old", "other"):
            found[name + form] = partial(copy_of, models / f"{name}{form}.db", path)
    return found


def broken(models: Path, path: Path) -> dict[str, Callable[[], object]]:
    """Ways to put a database there none of whose studies can be served."""
    names = ["broken", "broken-closed"]
    return {name: partial(copy_of, models / f"{name}.db", path) for name in names}


def others(rng: random.Random, models: Path, path: Path) -> list[Callable[[], object]]:
    """Ways to put something there that may be served or not."""
    content = (models / f"{rng.choice(['one', 'several', 'large', 'old'])}.db").read_bytes()
    return [
        *(partial(copy_of, models / f"one{form}.db", path) for form in FORMS),
        lambda: path.write_bytes(content),
        lambda: path.write_bytes(content[: rng.randrange(len(content))]),
        lambda: path.write_bytes(_damaged(rng, content)),
        path.touch,
    ]


def add_database(rng: random.Random, models: Path, path: Path) -> tuple[bool, bool]:
    """An odd thing in place of a database: whether it is named, and may not be changed in any case."""
    named = list(refused(rng, models, path).values())
    staying = list(broken(models, path).values())
    kind = rng.choice([*named, *staying, *others(rng, models, path)])
    kind()
    return kind in named, kind in named + staying


def spoil(path: Path, model: Path, table: str) -> None:
    """Overwrite the first page of a table: the schema can be read, the table cannot."""
    with closing(sqlite3.connect(model)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((page,),) = connection.execute(query, (table,))
        ((size,),) = connection.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def _damaged(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content))
    damage = rng.randbytes(rng.randrange(1, 4096))
    return (content[:start] + damage + content[start + len(damage) :])[: len(content)]


def add_config(rng: random.Random, path: Path) -> None:
    """An odd thing in place of a configuration."""
    text = LINE.encode()
    kinds: list[Callable[[], object]] = [
        lambda: path.write_bytes(text[: rng.randrange(len(text))]),
        lambda: path.write_bytes(rng.randbytes(200)),
        lambda: path.write_bytes(b"a: &a [*a]\n"),
        path.mkdir,
        lambda: path.symlink_to(path.parent / "nowhere.yaml"),
        lambda: path.symlink_to(path),
    ]
    rng.choice(kinds)()


def snapshot(folder: Path) -> dict[str, Any]:
    """Each entry of a folder with what must not change. What is in shared memory says nothing."""
    found: dict[str, Any] = {}
    for path in folder.iterdir():
        status = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode) and not path.name.endswith("-shm"):
            content = (status.st_mtime_ns, status.st_size)
            if status.st_size < HUGE:
                content = (*content, path.read_bytes())
        found[path.name] = status.st_mode, content
    return found


def answers(home: Path) -> list[Any]:
    """What the healthy studies answer, without what is drawn by chance or by the clock."""
    with wire_of(home) as wire:
        found: list[Any] = []
        for name in ("healthy", "configured"):
            trials = wire.ok("GET", f"/studies/{name}/trials")["items"]
            for trial in trials:
                del trial["study_uid"]
            number = wire.ask(name)["number"]
            wire.tell(name, number, value=0.5)
            view = wire.study(name)
            found.append((trials, number, view["trials"], view["state"], view["config_error"]))
        return found


def add_healthy(home: Path, models: Path) -> None:
    for folder in ("config", "db"):
        (home / folder).mkdir(parents=True)
    shutil.copy(models / "one.db", home / "db" / "healthy.db")
    write_config(home / "config" / "configured.yaml", LINE)


@pytest.mark.parametrize("seed", range(scaled(4, 300)))
def test_in_any_mix_of_files_healthy_studies_answer_as_alone_and_odd_ones_are_named(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    alone, mixed = tmp_path / "alone", tmp_path / "mixed"
    for home in (alone, mixed):
        add_healthy(home, models)
    names = [*ODD_NAMES, *(f"odd{number}" for number in range(12))]
    must_be_named, must_stay = [], set()
    for name in rng.sample(names, 8):
        is_named, stays = add_database(rng, models, mixed / "db" / f"{name}.db")
        if is_named:
            must_be_named.append(f"{name}.db")
        if stays:
            must_stay.add(f"{name}.db")
    for name in rng.sample(names, 8):
        add_config(rng, mixed / "config" / f"{name}{rng.choice(['.yaml', '.yml'])}")
    given = {folder: snapshot(mixed / folder) for folder in ("config", "db")}
    targets = snapshot(models)

    with wire_of(mixed) as wire:
        page = wire.ok("GET", "/studies?limit=1000")
        listed = {study["slug"]: study for study in page["items"]}
        assert listed["healthy"]["config_error"] is None
        assert listed["configured"]["config_error"] is None
        named = " ".join(
            [str(study["config_error"]) for study in page["items"]]
            + [each["file"] for each in page["invalid"]]
        )
        for entry in given["config"]:
            path = mixed / "config" / entry
            if path.stem not in ("configured",) and not path.is_file():
                assert (repr(entry)[1:-1] in named) or (path.stem in listed), entry
        for entry in must_be_named:
            assert entry in named or repr(entry)[1:-1] in named, entry
        must_stay |= {e for e in given["db"] if f"{e} " in named or f"{repr(e)[1:-1]} " in named}
        for slug in listed:
            assert wire.request("GET", f"/studies/{slug}").status_code in (200, 422, 503), slug
            if listed[slug]["config_error"] is not None:
                for method, at in (("POST", "trials"), ("POST", "queue"), ("DELETE", "queue")):
                    reply = wire.request(method, f"/studies/{slug}/{at}", json={"params": {}})
                    assert reply.status_code < 500 or reply.status_code == 503, reply.text
        assert all(each["errors"] and each["errors"][0]["reason"] for each in page["invalid"])
        assert wire.client.get("/optunapi/readyz").status_code == 200
    monkeypatch.setenv("OPTUNAPI_HOME", str(mixed))
    CliRunner().invoke(main, ["check"], catch_exceptions=False)
    assert answers(mixed) == answers(alone)
    after = {folder: snapshot(mixed / folder) for folder in ("config", "db")}
    assert after["config"] == given["config"]
    for entry, content in given["db"].items():
        if entry.removesuffix("-wal").removesuffix("-shm") in must_stay:
            assert after["db"][entry] == content, entry
    assert after["db"].keys() - given["db"].keys() <= {"configured.db", ".server.id"}
    assert snapshot(models) == targets


def test_whatever_cannot_be_served_stays_byte_for_byte_as_it_was(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "db"
    for each in (folder, tmp_path / "config"):
        each.mkdir()
    names = [*refused(random.Random(0), models, folder), *broken(models, folder)]
    for name in names:
        path = folder / f"{name}.db"
        (refused(random.Random(0), models, path) | broken(models, path))[name]()
    write_config(tmp_path / "config" / "old.yaml", LINE)
    before = snapshot(folder)
    with wire_of(tmp_path) as wire:
        for _ in range(2):
            for study in wire.ok("GET", "/studies?limit=1000")["items"]:
                assert study["config_error"] is not None, study["name"]
        for name in {*names, "old", "large", "broken"}:
            for method, at in (("GET", ""), ("POST", "/trials"), ("DELETE", "?force=true")):
                reply = wire.request(method, f"/studies/{name}{at}")
                assert reply.status_code in (404, 422, 503), (name, method, reply.text)
        for name in refused(random.Random(0), models, folder):
            reply = wire.request("PUT", f"/studies/{name}", json={"parameters": {}})
            assert reply.status_code in (422, 503), (name, reply.text)
        monkeypatch.setenv("OPTUNAPI_HOME", str(tmp_path))
        CliRunner().invoke(main, ["check"], catch_exceptions=False)
        assert snapshot(folder).keys() - {".server.lock", ".server.id"} == before.keys()
    after = snapshot(folder)
    assert after.pop(".server.id")
    assert after == before
