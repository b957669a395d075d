"""Folders with any mix of files: healthy studies answer as they do alone, and the odd ones are named."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from optunapi.storage.tables.schema import versions
from tests.api.test_files import LINE, set_version, stored
from tests.api.wire import wire_of
from tests.support import scaled

ODD_NAMES = ["my study", "ünï", "a'b", "a;b", "%2e", "x" * 120, "-", "a b.db", "UP", "new\nline"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Database files to copy, for it takes long to make one."""
    home = tmp_path_factory.mktemp("models")
    (home / "db").mkdir()
    stored(home, "one.db", "healthy", n_trials=3)
    stored(home, "several.db", "first", "second", "my study", n_trials=2)
    stored(home, "large.db", "large", n_trials=60)
    set_version(stored(home, "old.db", "old", n_trials=2), "v2.6.0.a")
    return home / "db"


def add_database(rng: random.Random, models: Path, path: Path) -> None:
    """An odd thing in place of a database."""
    content = (models / rng.choice(["one.db", "several.db", "large.db", "old.db"])).read_bytes()
    kinds: list[Callable[[], object]] = [
        lambda: path.write_bytes(content),
        lambda: path.write_bytes((models / "old.db").read_bytes()),
        lambda: path.write_bytes(content[: rng.randrange(len(content))]),
        lambda: path.write_bytes(rng.randbytes(rng.randrange(9000))),
        lambda: path.write_bytes(_damaged(rng, content)),
        path.mkdir,
        lambda: path.symlink_to(path.parent / "nowhere.db"),
        lambda: path.symlink_to(path),
        lambda: path.symlink_to(models / "old.db"),
        path.touch,
    ]
    rng.choice(kinds)()


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
    """Each entry of a folder with what must not change."""
    found: dict[str, Any] = {}
    for path in folder.iterdir():
        if path.is_symlink():
            found[path.name] = os.readlink(path)
        else:
            found[path.name] = path.read_bytes() if path.is_file() else "folder"
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
    (home / "config" / "configured.yaml").write_text(LINE)


@pytest.mark.parametrize("seed", range(scaled(4, 300)))
def test_in_any_mix_of_files_healthy_studies_answer_as_alone_and_odd_ones_are_named(
    tmp_path: Path, models: Path, seed: int
) -> None:
    rng = random.Random(seed)
    alone, mixed = tmp_path / "alone", tmp_path / "mixed"
    for home in (alone, mixed):
        add_healthy(home, models)
    names = [*ODD_NAMES, *(f"odd{number}" for number in range(12))]
    for name in rng.sample(names, 8):
        add_database(rng, models, mixed / "db" / f"{name}.db")
    for name in rng.sample(names, 8):
        add_config(rng, mixed / "config" / f"{name}{rng.choice(['.yaml', '.yml'])}")
    given = {folder: snapshot(mixed / folder) for folder in ("config", "db")}

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
        for entry, content in given["db"].items():
            if content and not _is_ours(mixed / "db" / entry):
                assert entry in named or repr(entry)[1:-1] in named, entry
        for slug in listed:
            assert wire.request("GET", f"/studies/{slug}").status_code in (200, 422, 503), slug
        assert all(each["errors"] and each["errors"][0]["reason"] for each in page["invalid"])
        assert wire.client.get("/optunapi/readyz").status_code == 200
    assert answers(mixed) == answers(alone)
    after = {folder: snapshot(mixed / folder) for folder in ("config", "db")}
    assert after["config"] == given["config"]
    for entry, content in given["db"].items():
        if isinstance(content, str) or not _is_ours(mixed / "db" / entry):
            assert after["db"][entry] == content, entry


def _is_ours(path: Path) -> bool:
    """Whether the file is a database of the newest schema, damaged or not, as far as SQLite can tell."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            ((version,),) = connection.execute("SELECT version_num FROM alembic_version")
    except (sqlite3.Error, ValueError):
        return False
    return bool(version == versions()[-1])
