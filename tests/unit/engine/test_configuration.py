"""Where a study's specification comes from: a file that changes, PUT, or Optuna."""

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from optunapi.engine.catalog import Catalog
from optunapi.engine.config_files import Config
from optunapi.engine.lifecycle import Result
from optunapi.engine.names import slug_of
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.engine.study import Study
from optunapi.engine.values import StudyChange, StudyView
from optunapi.errors import (
    ConfigInvalid,
    NameInvalid,
    SpecConflict,
    StudyNotFound,
    ValueInvalid,
)
from optunapi.storage.artifacts import ArtifactFolder
from optunapi.storage.stores import OneDatabase, StudyFiles
from tests.unit.engine.support import LINE, Clock, Gate, Seen, done, held_at, request
from tests.unit.storage.support import take_in_foreign_writes

Y = {"y": {"type": "float", "low": 5, "high": 6}}
BOTH = ("max_trials", "max_running")
CHOICE = {"c": {"type": "categorical", "choices": ["a", "b"]}}


class Home:
    """A folder of configurations and one of databases, served by a catalog."""

    def __init__(self, path: Path, empty_database: Path, clock: Clock) -> None:
        self.configs = path / "config"
        self.databases = path / "db"
        self.empty_database = empty_database
        self._clock = clock
        self._ids = count()
        self.configs.mkdir()
        self.databases.mkdir()
        self.open()

    def open(self) -> None:
        self.stores = StudyFiles(self.databases)
        self.catalog = Catalog(
            configs=self.configs,
            stores=self.stores,
            artifacts=ArtifactFolder(self.databases / "artifacts", max_file=1000, max_study=5000),
            clock=self._clock,
            new_id=lambda: f"lease-{next(self._ids)}",
        )
        self.catalog.open()

    def restart(self) -> None:
        self.catalog.close()
        self.open()

    def write(self, name: str, config: Any, suffix: str = ".yaml") -> None:
        """Replace the configuration."""
        self._spare_the_schema(name)
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        draft = self.configs / "draft"
        draft.write_text(text)
        written_at = self._clock.wall - 60
        os.utime(draft, (written_at, written_at))
        os.replace(draft, self.configs / f"{name}{suffix}")

    def ask(self, name: str, **fields: Any) -> Seen:
        return Seen(done(self.catalog.for_ask(name, fields.get("params")).ask(request(**fields))))

    def complete(self, name: str, number: int, value: float) -> None:
        study = self.catalog.find(name)
        assert study is not None
        done(study.tell(number, Result(state=TrialState.COMPLETE, values=(value,))))

    def view(self, name: str) -> StudyView:
        view, *commits = self.catalog.view(name)
        for commit in commits:
            commit.result(30)
        return view

    def put(self, name: str, **spec: Any) -> bool:
        self._spare_the_schema(name)
        return self.catalog.put(name, spec_of(**spec))

    def _spare_the_schema(self, name: str) -> None:
        path = self.databases / f"{name}.db"
        if not path.exists():
            shutil.copy(self.empty_database, path)


def spec_of(**spec: Any) -> StudySpec:
    return spec_from_mapping({"parameters": LINE} | spec)


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, clock: Clock) -> Iterator[Home]:
    home = Home(tmp_path, empty_database, clock)
    yield home
    home.catalog.close()


# From a file


def test_a_study_with_a_file_is_there_before_anybody_asked(home: Home) -> None:
    home.write("m", {"parameters": LINE, "max_trials": 3, "user_attrs": {"team": "vision"}})
    view = home.view("m")
    assert (view.state, view.limits.max_trials, set(view.counts.values())) == ("open", 3, {0})
    assert view.user_attrs == {"team": "vision"}
    assert home.catalog.find("m") is None
    assert home.catalog.names() == ["m"]


def test_a_refused_first_ask_creates_no_study(home: Home) -> None:
    home.write("m", {"parameters": LINE})
    with pytest.raises(ValueInvalid):
        home.ask("m", params={"x": 7})
    assert home.catalog.find("m") is None


def test_a_changed_file_takes_effect_at_the_next_ask_with_another_version(home: Home) -> None:
    home.write("m", {"parameters": LINE, "max_trials": 3, "sampler": "random"})
    first = home.ask("m")
    home.write("m", {"parameters": Y, "max_trials": 7, "sampler": "random"})
    second = home.ask("m")
    assert (set(first.params), set(second.params)) == ({"x"}, {"y"})
    assert first.record.spec_version != second.record.spec_version
    view = home.view("m")
    assert (view.limits.max_trials, view.spec.version) == (7, second.record.spec_version)
    assert view.config_error is None


def test_points_that_a_change_adds_to_the_queue_are_queued_once(home: Home) -> None:
    home.write("m", {"parameters": LINE, "enqueue": [{"x": 0.1}]})
    assert home.ask("m").params == {"x": 0.1}
    home.write("m", {"parameters": LINE, "enqueue": [{"x": 0.1}, {"x": 0.2}]})
    assert home.ask("m").params == {"x": 0.2}
    home.restart()
    assert home.ask("m").params not in ({"x": 0.1}, {"x": 0.2})


def test_of_a_limit_set_by_hand_and_one_in_the_file_the_later_counts(home: Home) -> None:
    def limits() -> tuple[Any, ...]:
        view = home.view("m")
        found = [(getattr(view.limits, name), view.limits_source[name]) for name in BOTH]
        return (*found, (view.lease_seconds, view.limits_source["lease_seconds"]))

    home.write("m", {"parameters": LINE, "max_trials": 3, "max_running": 3, "lease": 30})
    home.ask("m")
    change = StudyChange(limits={"max_trials": 9, "max_running": 8}, lease_seconds=[60])
    home.catalog.for_ask("m").change(change).result()
    assert limits() == ((9, "patch"), (8, "patch"), (60, "patch"))
    home.write("m", {"parameters": LINE, "max_trials": 4, "max_running": 3, "lease": 40})
    assert limits() == ((4, "file"), (8, "patch"), (40, "file"))
    home.restart()
    assert limits() == ((4, "file"), (8, "patch"), (40, "file"))
    home.catalog.for_ask("m").change(StudyChange(limits={"max_trials": None})).result()
    home.catalog.close()
    home.write("m", {"parameters": LINE, "max_trials": 4})  # while the server was down
    home.open()
    assert limits() == ((None, "patch"), (None, None), (None, None))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"x": {"type": "int", "low": 0, "high": 1}}},
        {"parameters": {"x": {"type": "float", "low": 0.1, "high": 1, "log": True}}},
        {"parameters": LINE, "direction": "maximize"},
        {"parameters": LINE, "objectives": {"a": "minimize", "b": "minimize"}},
    ],
)
def test_a_change_that_history_cannot_live_with_stops_asks_and_nothing_else(
    home: Home, change: dict[str, Any]
) -> None:
    home.write("m", {"parameters": LINE})
    first = home.ask("m", key="k")
    home.write("m", change)
    for _ in range(2):
        with pytest.raises(SpecConflict) as error:
            home.ask("m")
        assert error.value.extra["diff"]
        view = home.view("m")
        assert view.config_error is not None
        assert view.spec == spec_of()
        assert home.ask("m", key="k").trial == first.trial
        home.restart()
    home.complete("m", 0, 0.5)
    home.write("m", {"parameters": LINE})
    assert home.ask("m").number == 1
    assert home.view("m").config_error is None


def test_choices_that_a_trial_had_cannot_be_changed_even_after_the_parameter_was_dropped(
    home: Home,
) -> None:
    home.write("m", {"parameters": CHOICE | LINE})
    home.ask("m")
    home.write("m", {"parameters": LINE})
    assert home.ask("m").params.keys() == {"x"}
    home.write(
        "m", {"parameters": LINE | {"c": {"type": "categorical", "choices": ["a", "b", "d"]}}}
    )
    with pytest.raises(SpecConflict):
        home.ask("m")


def test_a_broken_file_leaves_the_last_good_one_in_force_also_over_a_restart(home: Home) -> None:
    home.write("m", {"parameters": LINE, "max_trials": 5})
    home.ask("m")
    home.write("m", "parameters: {x: {type: floaty}}")
    for number in (1, 2):
        assert home.ask("m").number == number
        view = home.view("m")
        assert view.config_error is not None
        assert view.limits.max_trials == 5
        home.restart()
    home.write("m", {"parameters": LINE, "max_trials": 6})
    assert home.view("m").config_error is None
    assert home.view("m").limits.max_trials == 6


def test_a_file_that_was_never_valid_is_no_study(home: Home) -> None:
    home.write("m", "parameters: {x: {type: floaty}}")
    for call in (lambda: home.ask("m"), lambda: home.view("m"), lambda: home.catalog.find("m")):
        with pytest.raises(ConfigInvalid):
            call()
    assert home.catalog.views(after=None, state=None, limit=9) == []


def test_a_study_without_file_or_trials_is_not_found(home: Home) -> None:
    for name in ("nobody", "../m", ".hidden", "", "ä", "x" * 129):
        for call in (home.ask, home.view, home.catalog.find):
            with pytest.raises(StudyNotFound):
                call(name)
    assert list(home.databases.glob("*.db")) == []


# By PUT


def test_a_study_made_by_put_is_served_from_its_stored_specification(home: Home) -> None:
    assert home.put("p", max_trials=1, enqueue=[{"x": 0.5}]) is True
    assert home.view("p").counts[TrialState.WAITING] == 1
    home.restart()
    assert home.ask("p").params == {"x": 0.5}
    assert home.view("p").limits.max_trials == 1


def test_putting_the_same_again_changes_nothing_and_another_is_a_conflict(home: Home) -> None:
    home.put("p", max_trials=5)
    home.ask("p")
    for _ in range(2):
        assert home.put("p", max_trials=5, sampler={"name": "tpe"}, max_attempts=3) is False
        with pytest.raises(SpecConflict) as error:
            home.put("p", max_trials=6, sampler={"name": "random"})
        assert {item["key"] for item in error.value.extra["diff"]} == {"max_trials", "sampler"}
        home.restart()
    assert home.view("p").limits.max_trials == 5


def test_what_patch_changed_is_left_out_of_the_comparison(home: Home) -> None:
    home.put("p", max_trials=5)
    home.catalog.for_ask("p").change(
        StudyChange(limits={"max_trials": 9}, lease_seconds=[60], user_attrs={"a": 1})
    ).result()
    assert home.put("p", max_trials=5) is False
    with pytest.raises(SpecConflict):
        home.put("p", max_trials=9)


def test_a_configuration_rules_over_put(home: Home) -> None:
    home.write("m", {"parameters": LINE, "max_trials": 3})
    for _ in range(2):
        assert home.put("m", max_trials=3) is False
        with pytest.raises(SpecConflict):
            home.put("m", max_trials=4)
        home.ask("m")
    home.write("b", "parameters: {x: {type: floaty}}")
    with pytest.raises(ConfigInvalid):
        home.put("b")


def test_a_name_that_no_study_can_have_is_refused(home: Home) -> None:
    for name in ("", ".x", "a/b", "a b", "x" * 129, "ä"):
        with pytest.raises(NameInvalid):
            home.catalog.put(name, spec_of())
    assert list(home.databases.glob("*.db")) == []


# Deleted


def test_a_deleted_study_with_a_file_starts_afresh_and_one_without_is_gone(home: Home) -> None:
    home.write("m", {"parameters": LINE})
    home.ask("m")
    home.complete("m", 0, 1.0)
    home.put("p")
    for name in ("m", "p"):
        home.catalog.delete(name, force=False)
        assert not (home.databases / f"{name}.db").exists()
    assert home.ask("m").number == 0
    with pytest.raises(StudyNotFound):
        home.ask("p")
    assert home.put("p") is True


# Made by Optuna


@pytest.fixture
def made_by_optuna(home: Home) -> optuna.Study:
    """A study with several features, made by Optuna alone."""
    path = home.databases / "o.db"
    shutil.copy(home.empty_database, path)
    study = optuna.create_study(study_name="o", storage=f"sqlite:///{path}", direction="maximize")
    for number in range(6):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("c", ["a", None, 1.5])
        trial.report(0.5, 1)
        if number < 4:
            study.tell(trial, float(number))
    study.enqueue_trial({"x": 0.25})
    study._storage.remove_session()
    return study


def test_a_study_made_by_optuna_is_served_as_it_is(
    home: Home, made_by_optuna: optuna.Study
) -> None:
    view = home.view("o")
    assert view.best is not None
    assert (view.best.number, view.best.value) == (3, 3.0)
    assert [objective.direction for objective in view.spec.objectives] == ["maximize"]
    assert [parameter.name for parameter in view.spec.parameters] == ["x", "c"]
    seen = home.ask("o", worker="w")
    assert (seen.number, seen.params["x"]) == (6, 0.25)
    assert home.ask("o").params.keys() == {"x", "c"}
    home.complete("o", 4, 9.0)
    assert home.view("o").best == home.catalog.find("o").trial(4)[0].trial  # type: ignore[union-attr]
    home.restart()
    best = home.view("o").best
    assert best is not None
    assert best.number == 4
    study = optuna.load_study(study_name="o", storage=made_by_optuna._storage)
    assert study.best_trial.number == 4
    made_by_optuna._storage.remove_session()


@pytest.mark.usefixtures("made_by_optuna")
def test_a_file_for_a_study_made_by_optuna_is_gone_by_if_its_trials_fit(home: Home) -> None:
    config = {
        "direction": "maximize",
        "max_trials": 99,
        "parameters": {
            "x": {"type": "float", "low": 0, "high": 2},
            "c": {"type": "categorical", "choices": ["a", None, 1.5]},
        },
    }
    home.write("o", config)
    assert home.view("o").limits.max_trials == 99
    assert home.ask("o").number == 6
    home.write("o", config | {"direction": "minimize"})
    with pytest.raises(SpecConflict):
        home.ask("o")


def test_removing_a_file_that_was_in_conflict_lets_the_study_go_on(home: Home) -> None:
    home.write("m", {"parameters": CHOICE})
    home.ask("m")
    home.write("m", {"parameters": {"c": {"type": "categorical", "choices": ["a", "b", "new"]}}})
    with pytest.raises(SpecConflict):
        home.ask("m")
    (home.configs / "m.yaml").unlink()
    assert home.ask("m").number == 1
    assert home.view("m").config_error is None


def test_a_study_is_not_served_before_its_configuration_is_applied(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write("m", {"parameters": LINE})
    home.ask("m")
    home.restart()
    home.write("m", {"parameters": Y})
    gate, apply = Gate(), Config.apply

    def held(config: Config, study: Study) -> None:
        gate.pass_()
        apply(config, study)

    monkeypatch.setattr(Config, "apply", held)
    with held_at(gate, lambda: home.ask("m")) as asking:
        assert home.catalog.served("m") is None
    assert asking.outcome().params.keys() == {"y"}


def test_a_study_that_somebody_else_deleted_starts_afresh_from_its_file(home: Home) -> None:
    home.write("m", {"parameters": LINE})
    home.ask("m")
    assert home.ask("m").number == 1  # the configuration was applied: the next look need not do so
    optuna.delete_study(study_name="m", storage=f"sqlite:///{home.databases}/m.db")
    stored = home.stores.of_file_named("m")
    assert stored is not None
    found = home.stores.use(stored)
    assert found is not None
    home.stores.release(stored.file)
    take_in_foreign_writes(found[0])  # the outside change is noticed at the next read
    assert home.ask("m").number == 0


def test_a_study_whose_name_no_address_can_hold_is_reached_by_its_slug(
    tmp_path: Path, clock: Clock
) -> None:
    url = f"sqlite:///{tmp_path}/all.db"
    optuna.create_study(study_name="my study/3", storage=url)
    catalog = Catalog(
        configs=tmp_path,
        stores=OneDatabase(url),
        artifacts=ArtifactFolder(tmp_path / "artifacts", max_file=1, max_study=1),
        clock=clock,
        new_id=lambda: "lease",
    )
    catalog.open()
    (slug,) = catalog.names()
    assert slug == slug_of("my study/3")
    assert catalog.view(slug)[0].name == "my study/3"
    assert Seen(done(catalog.for_ask(slug).ask(request()))).number == 0
    catalog.close()
    assert len(optuna.load_study(study_name="my study/3", storage=url).trials) == 1


def test_a_file_whose_study_has_another_name_than_its_url_is_listened_to_closed_and_deleted(
    home: Home, clock: Clock
) -> None:
    path = home.databases / "my study.db"
    shutil.copy(home.empty_database, path)
    optuna.create_study(study_name="my study", storage=f"sqlite:///{path}")
    (slug,) = home.catalog.names()
    changes: list[None] = []
    feed, stop = home.catalog.listen(slug, lambda: changes.append(None), keep_events=True)
    first = feed.last_id
    number = home.ask(slug).number
    assert feed.last_id > first
    assert changes
    stop()
    home.complete(slug, number, 0.5)
    clock.pass_(1000)
    assert home.catalog.sweep(999) == 1
    assert home.catalog.served(slug) is None
    assert not path.with_name(f".{path.name}.lock").exists()
    assert home.catalog.delete(slug, force=False) is True
    assert not path.exists()


def test_a_refused_upload_to_a_study_that_is_deleted_meanwhile_leaves_nothing(home: Home) -> None:
    home.write("m", {"parameters": LINE})
    home.ask("m")
    upload = home.catalog.artifacts.receive("m")
    upload.keep()
    home.catalog.uploads.end_later(upload)
    home.catalog.delete("m", force=True)
    home.catalog.sweep(99)
    assert [path for path in (home.databases / "artifacts").rglob("*") if path.is_file()] == []
