"""A study that is closed, replaced or deleted after a request found it, and before the request reads it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from optunapi.engine.catalog import Catalog
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.study import Study
from tests.api.wire import SPACE, Wire, wire_of

ONE = ["", "/spec", "/summary", "/export", "/importances"]


@pytest.fixture(scope="module", params=["files", "one database"])
def wire(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Wire]:
    """A server whose studies have a file each, or one database: there a deleted study closes nothing."""
    home = tmp_path_factory.mktemp("steps")
    settings = {} if request.param == "files" else {"storage": f"sqlite:///{home}/all.db"}
    with wire_of(home, **settings) as wire:
        yield wire


def close(catalog: Catalog, _: str) -> None:
    catalog.sweep(idle_seconds=0)


def replace(catalog: Catalog, name: str) -> None:
    catalog.delete(name, force=True)
    catalog.put(name, spec_from_mapping(SPACE))


def delete(catalog: Catalog, name: str) -> None:
    catalog.delete(name, force=True)


def once_found(
    monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Catalog, str], None]
) -> list[str]:
    """Make the change as soon as the study is found; the list has its name until then."""
    find, pending = Catalog.find, [name]

    def find_and_change(catalog: Catalog, wanted: str, **options: Any) -> Study | None:
        found = find(catalog, wanted, **options)
        if pending == [wanted]:
            pending.clear()
            change(catalog, wanted)
        return found

    monkeypatch.setattr(Catalog, "find", find_and_change)
    return pending


def study_with_a_trial(wire: Wire) -> tuple[str, str]:
    name = wire.put()
    wire.ask(name)
    wire.ok("DELETE", f"/studies/{name}/trials?state=running")
    return name, wire.study(name)["uid"]


@pytest.mark.parametrize("change", [close, replace])
def test_a_list_shows_a_study_that_is_closed_or_replaced_meanwhile_as_sound(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, change: Callable[[Catalog, str], None]
) -> None:
    name, uid = study_with_a_trial(wire)
    pending = once_found(monkeypatch, name, change)
    listed = {each["slug"]: each for each in wire.ok("GET", "/studies?limit=1000")["items"]}
    assert not pending
    assert listed[name]["config_error"] is None
    assert (listed[name]["uid"] == uid) is (change is close)
    assert listed[name]["trials"]["fail"] == (1 if change is close else 0)


@pytest.mark.parametrize("change", [close, replace, delete])
def test_the_list_of_trials_is_that_of_the_studies_that_are_there(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, change: Callable[[Catalog, str], None]
) -> None:
    name, uid = study_with_a_trial(wire)
    pending = once_found(monkeypatch, name, change)
    found = wire.ok("GET", "/trials?state=fail&limit=1000")["items"]
    assert not pending
    assert (uid in [trial["study_uid"] for trial in found]) is (change is close)


@pytest.mark.parametrize("path", ONE)
@pytest.mark.parametrize("change", [close, replace])
def test_a_read_of_a_study_that_is_closed_or_replaced_meanwhile_reads_what_is_there(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[[Catalog, str], None]
) -> None:
    name, _ = study_with_a_trial(wire)
    pending = once_found(monkeypatch, name, change)
    assert wire.request("GET", f"/studies/{name}{path}").status_code == 200
    assert not pending


@pytest.mark.parametrize("path", ONE)
def test_a_read_of_a_study_that_is_deleted_meanwhile_is_refused(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    name, _ = study_with_a_trial(wire)
    pending = once_found(monkeypatch, name, delete)
    wire.refused("GET", f"/studies/{name}{path}", 404, "study-not-found")
    assert not pending
    assert name not in [each["slug"] for each in wire.ok("GET", "/studies?limit=1000")["items"]]
