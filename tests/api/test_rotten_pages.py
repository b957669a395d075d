"""Any page of a database may be rotten: its studies are listed with the reason, and no other one suffers."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from tests.api.test_files import LINE, listed
from tests.api.wire import Wire, wire_of
from tests.support import SOAK, until

PAGE = 4096


def zeros(page: bytes, _: random.Random) -> bytes:
    return bytes(len(page))


def ones(page: bytes, _: random.Random) -> bytes:
    return b"\xff" * len(page)


def noise(page: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(len(page))


def half(page: bytes, _: random.Random) -> bytes:
    """The first half was written, the second is of before."""
    return bytes(len(page) // 2) + page[len(page) // 2 :]


def flipped(page: bytes, chance: random.Random) -> bytes:
    """Some bits are others."""
    found = bytearray(page)
    for _ in range(30):
        found[chance.randrange(len(page))] ^= 1 << chance.randrange(8)
    return bytes(found)


def rotten_text(page: bytes, chance: random.Random) -> bytes:
    """The structure is sound, what is stored is not."""
    found = bytearray(page)
    for place in range(len(page) // 2, len(page)):
        if found[place] >= 32 and chance.random() < 0.1:
            found[place] = chance.randrange(128, 256)
    return bytes(found)


Kind = Callable[[bytes, random.Random], bytes]
KINDS: list[Kind] = [zeros, ones, noise, half, flipped, rotten_text]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with rows in every table, most of which have several pages."""
    path = tmp_path_factory.mktemp("sound") / "b.db"
    study = optuna.create_study(study_name="b", storage=f"sqlite:///{path}")
    study.set_user_attr("long", "text" * 2000)
    study._storage.set_study_system_attr(study._study_id, "long", "text" * 2000)

    def objective(trial: optuna.Trial) -> float:
        for name in "xyz":
            trial.suggest_float(name, 0, 1)
        for step in range(3):
            trial.report(step, step)
        trial.set_user_attr("host", "gpu" * 20)
        study._storage.set_trial_system_attr(trial._trial_id, "note", "text" * 20)
        return trial.suggest_float("x", 0, 1)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=30)
    study.ask().suggest_float("x", 0, 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (PAGE,)
    return path


def pages_of(path: Path) -> list[int]:
    """The pages to try: in `make test` one of each table and index, in `make soak` all."""
    n_pages = path.stat().st_size // PAGE
    if SOAK:
        return list(range(n_pages))
    with closing(sqlite3.connect(path)) as connection:
        roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")
        found = {0, *(root - 1 for (root,) in roots)}
    return sorted(found | set(range(0, n_pages, 5)))


def write_rotten(sound: Path, folder: Path, kind: Kind) -> None:
    """Write a copy for each page, in which that page is rotten."""
    content = sound.read_bytes()
    for page in pages_of(sound):
        place = page * PAGE
        damaged = kind(content[place : place + PAGE], random.Random(page))
        path = folder / f"p{page}.db"
        path.write_bytes(content[:place] + damaged + content[place + PAGE :])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_rotten_page_makes_its_study_503_and_harms_no_other(
    sound: Path,
    tmp_path: Path,
    kind: Kind,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for folder in ("config", "db"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config" / "a.yaml").write_text(LINE)
    shutil.copy(sound, tmp_path / "db" / "b.db")
    write_rotten(sound, tmp_path / "db", kind)
    with wire_of(tmp_path) as wire:
        wire.ask("a")
        found = listed(wire)
        assert found["a"]["config_error"] is None
        assert found["b"]["config_error"] is None
        for name in found:
            use(wire, name)
        assert wire.ask("b")["number"] == 32
        assert wire.client.get("/optunapi/readyz").status_code == 200
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def use(wire: Wire, name: str) -> None:
    """Ask for all that a study has: each reply is right or 503, or says that there is no such study."""
    studies = f"/studies/{name}"
    for method, path, body in [
        ("GET", studies, None),
        ("GET", f"{studies}/trials?limit=1000", None),
        ("GET", f"{studies}/export", None),
        ("POST", f"{studies}/trials", {}),
        ("POST", f"{studies}/trials/30/tell", {"value": 1.0}),
        ("PATCH", studies, {"user_attrs": {"a": "b" * 3000}}),
        ("GET", f"{studies}/summary", None),
    ]:
        reply = wire.request(method, path, json=body)
        assert reply.status_code < 500 or reply.status_code == 503, reply.text
    reply = wire.request("DELETE", f"{studies}?force=true") if name not in "ab" else reply
    assert reply.status_code < 500 or reply.status_code == 503, reply.text


@pytest.mark.parametrize(
    "table",
    [
        *("trial_params", "trial_values", "trial_intermediate_values", "trial_user_attributes"),
        *("trial_system_attributes", "trials", "studies", "study_directions"),
        *("study_system_attributes", "sqlite_autoindex_trial_params_1"),
        "sqlite_autoindex_trial_system_attributes_1",
    ],
)
def test_a_study_with_a_rotten_table_is_listed_with_the_reason_until_a_backup_is_in_its_place(
    sound: Path, tmp_path: Path, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in ("config", "db"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config" / "a.yaml").write_text(LINE)
    path = tmp_path / "db" / "b.db"
    content = bytearray(sound.read_bytes())
    with closing(sqlite3.connect(sound)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((root,),) = connection.execute(query, (table,))
    content[(root - 1) * PAGE : root * PAGE] = b"\xff" * PAGE
    path.write_bytes(content)
    with wire_of(tmp_path) as wire:
        wire.ok("GET", "/studies")
        for _ in range(2):
            problem = wire.refused("POST", "/studies/b/trials", 503, "storage-unavailable", json={})
            assert problem["detail"].startswith("b.db is damaged (")
            assert listed(wire)["b"]["config_error"] == problem["detail"]
        reply = wire.request("GET", "/studies/b")
        assert reply.status_code == 503
        assert int(reply.headers["Retry-After"]) >= 600  # longer than a client tries again
        assert listed(wire)["a"]["config_error"] is None
        assert wire.client.get("/optunapi/readyz").status_code == 200
        wire.ask("a")
        shutil.copy(sound, path)
        until(
            lambda: wire.request("GET", "/studies/b").is_success
        )  # a refusal is kept for a moment
        assert wire.ask("b")["number"] == 31
        assert listed(wire)["b"]["config_error"] is None
    assert not [record for record in caplog.records if record.exc_info], caplog.text
