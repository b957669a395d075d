"""Databases are open while they are used: opened on first use, closed when idle, opened again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from optunapi.api.serving.operations import Call, in_thread, settled
from optunapi.engine.catalog import Catalog
from optunapi.engine.store import Commit
from optunapi.engine.study import Study
from optunapi.engine.values import AskRequest, TrialView
from optunapi.errors import NoSlot
from optunapi.storage.artifacts import ArtifactFolder
from optunapi.storage.stores import StudyFiles
from tests.unit.engine.support import Clock

IDLE = 600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(home: Path, clock: Clock) -> Iterator[Catalog]:
    ids = map(str, range(1_000_000))
    stores = StudyFiles(home / "db")
    catalog = Catalog(
        configs=home / "config",
        stores=stores,
        artifacts=ArtifactFolder(home / "db" / "artifacts", max_file=1000, max_study=5000),
        clock=clock,
        new_id=lambda: next(ids),
    )
    catalog.open()
    yield catalog
    catalog.close()


def is_open(home: Path) -> bool:
    return (home / "db" / ".m.db.lock").exists()


def ask(study: Study, seconds: float | None = None) -> TrialView:
    view, commit = study.ask(AskRequest(lease_seconds=seconds))
    commit.result()
    return view


def test_a_file_is_opened_on_first_use(catalog: Catalog, home: Path) -> None:
    assert not is_open(home)
    ask(catalog.for_ask("m"))
    assert is_open(home)


def test_an_idle_file_is_closed_and_the_next_request_opens_it(
    catalog: Catalog, home: Path, clock: Clock
) -> None:
    ask(catalog.for_ask("m"))
    clock.pass_(IDLE - 1)
    assert catalog.sweep(IDLE) == 0
    assert is_open(home)
    clock.pass_(1)
    assert catalog.sweep(IDLE) == 1
    assert not is_open(home)
    assert [path.name for path in (home / "db").glob("m*")] == ["m.db"]
    assert ask(catalog.for_ask("m")).trial.number == 1


def test_a_file_with_a_lease_to_watch_stays_open(
    catalog: Catalog, home: Path, clock: Clock
) -> None:
    study = catalog.for_ask("m")
    number = ask(study, seconds=10 * IDLE).trial.number
    clock.pass_(2 * IDLE)
    catalog.sweep(IDLE)
    assert is_open(home)
    study.cancel_all([study.trial(number)[0].trial.state])[1].result()
    clock.pass_(IDLE)
    catalog.sweep(IDLE)
    assert not is_open(home)


def test_a_request_that_found_a_study_just_before_it_was_closed_is_served(
    catalog: Catalog, clock: Clock
) -> None:
    found = catalog.for_ask("m")
    ask(found)
    clock.pass_(IDLE)
    catalog.sweep(IDLE)
    studies = iter([found])

    def find(catalog: Catalog, name: str) -> Study:
        return next(studies, None) or catalog.for_ask(name)

    def operation(study: Study) -> tuple[TrialView, Commit]:
        return study.ask(AskRequest())

    view = asyncio.run(settled(in_thread, catalog, Call("m", operation, find)))
    assert view.trial.number == 1


@pytest.mark.parametrize("at", ["before", "while"])
def test_a_request_whose_study_is_deleted_under_it_is_served_by_the_next(
    catalog: Catalog, at: str
) -> None:
    found = catalog.for_ask("m")
    ask(found)
    studies = iter([found])

    def find(catalog: Catalog, name: str) -> Study:
        study = next(studies, None)
        if study is None:
            return catalog.for_ask(name)
        if at == "before":
            study.delete(force=True)[1].result()
        return study

    def operation(study: Study) -> tuple[TrialView, Commit]:
        if study is found and at == "while":
            study.delete(force=True)[1].result()
            raise NoSlot("it had no place")
        return study.ask(AskRequest())

    view = asyncio.run(settled(in_thread, catalog, Call("m", operation, find)))
    assert view.trial.number == 0


def test_a_study_that_was_deleted_is_told_of_at_the_next_sweep(catalog: Catalog) -> None:
    ask(catalog.for_ask("m"))
    assert catalog.sweep(IDLE) == 0
    catalog.delete("m", force=True)
    assert catalog.sweep(IDLE) == 1
    assert catalog.sweep(IDLE) == 0
