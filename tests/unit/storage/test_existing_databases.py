"""An Optuna database is served as it is; one that cannot be served is refused in one line."""

import gc
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from optunapi.errors import StorageUnavailable
from optunapi.storage import DatabaseUnusable, WriteThroughStorage, open_storage
from optunapi.storage.encoding import LocalTimes, to_local
from optunapi.storage.tables.schema import KNOWN_VERSIONS
from tests.support import in_zone
from tests.unit.storage.support import (
    MINIMIZE,
    assert_database_equals_memory,
    assert_kept_is_true,
    opened,
    optuna_storage,
    path_of,
    python,
    sql,
    take_in_foreign_writes,
    template,
)


def written_by_optuna(url: str) -> None:
    """Two studies with everything that Optuna can store."""
    with optuna_storage(url) as storage:
        study = optuna.create_study(storage=storage, study_name="one", direction="maximize")
        study.set_user_attr("unicode", {"ü": [1, None, "日本"]})
        study.enqueue_trial({"x": 0.25, "c": None}, user_attrs={"queued": True})
        study.enqueue_trial({"x": 0.75})
        for number in range(6):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.suggest_float("log", 1e-5, 1, log=True)
            trial.suggest_float("step", 0, 1, step=0.25)
            trial.suggest_int("n", -3, 2**40)
            trial.suggest_int("n_log", 1, 1024, log=True)
            trial.suggest_categorical("c", ["a", None, True, 0.5])
            for step, value in enumerate([0.5, math.nan, math.inf, -math.inf]):
                trial.report(value, step)
            trial.set_user_attr("nan", math.nan)
            trial.set_constraint("limit", 1.0 if number == 0 else -1.0)
            if number < 3:
                study.tell(trial, [math.inf, -math.inf, 0.5][number])
            elif number == 3:
                study.tell(trial, state=TrialState.PRUNED)
            elif number == 4:
                study.tell(trial, state=TrialState.FAIL)
        study.enqueue_trial({"x": 0.5})
        several = optuna.create_study(
            storage=storage, study_name="two: several", directions=["minimize", "maximize"]
        )
        for values in ([1.0, 1.0], [0.0, 0.0], [2.0, 0.5], [1.0, 1.0], [-math.inf, -math.inf]):
            several.add_trial(optuna.create_trial(values=values))


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> Iterator[None]:
    with in_zone(request.param):
        yield


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"], indirect=True)
@pytest.mark.usefixtures("zone")
def test_a_database_written_by_optuna_is_loaded_and_continued(url: str) -> None:
    written_by_optuna(url)
    with opened(url) as storage:
        assert_database_equals_memory(storage)
        one = storage.get_study_id_from_name("one")
        two = storage.get_study_id_from_name("two: several")
        assert_kept_is_true(storage, one)
        assert storage.counts(one) == {
            TrialState.COMPLETE: 3,
            TrialState.PRUNED: 1,
            TrialState.FAIL: 1,
            TrialState.RUNNING: 1,
            TrialState.WAITING: 1,
        }
        (best,) = storage.best_trials(one)
        assert best.values == [0.5]  # inf is infeasible
        assert [trial.number for trial in storage.best_trials(two)] == [0, 1, 3, 4]
        # Optuna itself continues the study, on our storage.
        study = optuna.load_study(storage=storage, study_name="one")
        assert study.best_trial.number == best.number
        front = optuna.load_study(storage=storage, study_name="two: several").best_trials
        assert [t.number for t in front] == [0, 1, 3, 4]
        trial = study.ask()
        assert (trial.number, trial.suggest_float("x", 0, 1)) == (6, 0.5)
        trial.set_user_attr("a", 1)
        trial.report(1.0, 1)
        study.tell(trial, 7)
        study.tell(5, 8)
        assert study.best_value == 8
        assert_kept_is_true(storage, one)
        assert_database_equals_memory(storage)
    with opened(url) as storage:
        assert_kept_is_true(storage, one)
        assert_database_equals_memory(storage)
        assert storage.reloads(one) > 0


@pytest.mark.parametrize(
    "zone", ["UTC", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"], indirect=True
)
@pytest.mark.usefixtures("zone")
def test_times_are_local_also_when_clocks_change() -> None:
    local = LocalTimes()
    for month, day_of_month in ((3, 8), (4, 4), (10, 3), (11, 1)):
        day, n_minutes = datetime(2026, month, day_of_month), 2 * 24 * 60
        for minute in (*range(0, n_minutes, 2), *range(n_minutes - 1, 0, -2)):  # there and back
            past = minute % 30  # clocks change at whole and half hours, to the second
            found = day + timedelta(minutes=minute, seconds=past, microseconds=past)
            expected = to_local(found)
            assert expected is not None
            got = local.of(found)
            assert got == expected
            assert got.fold == expected.fold  # comparisons ignore it
    assert local.of(None) is None


def test_trials_whose_rows_are_interleaved_are_read_as_optuna_reads_them(url: str) -> None:
    with optuna_storage(url) as other:
        study = optuna.create_study(storage=other, study_name="study")
        for names, highs in (("bac", [1, 2, 1]), ("abcd", [1]), ("bac", [1, 1, 1])):
            trials = [study.ask() for _ in highs]
            for name in names:
                for trial, high in zip(trials, highs, strict=True):
                    trial.suggest_float(name, 0, high)
                    trial.suggest_int(f"{name} whole", 0, high)
            for step in (1, 0):
                for trial in trials:
                    trial.report(step, step)
                    trial.set_user_attr(f"step {step}", trial.number)
                    trial.set_constraint(f"limit {step}", -trial.number)
            for trial in reversed(trials):
                study.tell(trial, trial.number)
    with opened(url) as storage:
        assert_database_equals_memory(storage)
        study_id = storage.get_study_id_from_name("study")
        assert_kept_is_true(storage, study_id)
        shared = [id(trial.distributions) for trial in storage.get_all_trials(study_id, False)]
        assert [shared.index(each) for each in shared] == [0, 1, 0, 3, 0, 0, 0]
        assert storage.distribution(study_id, "d") == FloatDistribution(0, 1)


def test_an_objective_of_nan_that_optuna_cannot_read_is_ignored(url: str) -> None:
    with optuna_storage(url) as other:
        study_id = other.create_new_study(MINIMIZE)
        for value in (math.nan, 1.0):
            trial_id = other.create_new_trial(study_id)
            other.set_trial_state_values(trial_id, TrialState.COMPLETE, [value])
    with opened(url) as storage:
        assert math.isnan(storage.trial(study_id, 0).values[0])
        assert [trial.number for trial in storage.best_trials(study_id)] == [1]
        assert storage.get_best_trial(study_id).number == 1


def test_the_pareto_front_follows_trials_that_are_added_and_undone(
    storage: WriteThroughStorage,
) -> None:
    study_id = storage.create_new_study([StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE])
    study = optuna.load_study(study_name=storage.get_study_name_from_id(study_id), storage=storage)
    for values in ([3, 1], [1, 1], [1, 1], [2, 2], [1, 3], [0, 0], [5, 9]):
        storage.create_new_trial(
            study_id,
            template(
                TrialState.COMPLETE,
                values=[float(v) for v in values],
                system_attrs={"constraints": [1.0 if values == [5, 9] else 0.0]},
            ),
        )
        front = [trial.number for trial in storage.best_trials(study_id)]
        assert front == sorted(trial.number for trial in study.best_trials)
    with suppress(ZeroDivisionError), storage.unit():
        better = template(TrialState.COMPLETE, values=[-1.0, 10.0])
        number = storage.add_trial(study_id, better).number
        assert [trial.number for trial in storage.best_trials(study_id)] == [number]
        raise ZeroDivisionError
    assert [trial.number for trial in storage.best_trials(study_id)] == front
    with pytest.raises(RuntimeError):
        storage.trials_by_value(study_id)


def test_a_page_by_value_begins_where_the_last_one_ended(storage: WriteThroughStorage) -> None:
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE])
    for value in (3.0, 1.0, 2.0, 3.0, math.inf, 1.0):
        storage.create_new_trial(study_id, template(TrialState.COMPLETE, values=[value]))
    pages = []
    last = None
    while page := storage.trials_by_value(study_id, descending=True, after=last, limit=2):
        pages.append([trial.number for trial in page])
        last = page[-1]
        storage.create_new_trial(study_id, template(TrialState.COMPLETE, values=[9.0]))
    assert pages == [[4, 0], [3, 2], [1, 5]]
    assert [t.number for t in storage.trials_from(study_id, 4, 2)] == [4, 5]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("postgresql://localhost/x", "'postgresql' cannot be served"),
        ("nonsense", "not a database URL"),
    ],
)
def test_the_refusal_of_a_url_says_which_can_be_served(url: str, reason: str) -> None:
    with pytest.raises(DatabaseUnusable, match=reason) as refusal:
        open_storage(url)
    assert "\n" not in refusal.value.detail
    assert "sqlite:///path/to/file.db" in refusal.value.detail


def test_opening_without_create_does_not_create_a_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable):
        open_storage(f"sqlite:///{tmp_path}/absent.db", create=False)
    with pytest.raises(DatabaseUnusable):
        open_storage(f"sqlite:///{tmp_path}/absent/study.db")
    assert os.listdir(tmp_path) == []


def test_a_schema_of_another_version_names_the_command_that_upgrades_it(url: str) -> None:
    with opened(url):
        pass
    with sql(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    content = path_of(url).read_bytes()
    with pytest.raises(DatabaseUnusable) as refusal:
        open_storage(url)
    assert "`optunapi upgrade study.db`" in refusal.value.detail
    assert url not in refusal.value.detail  # clients see it
    assert "\n" not in refusal.value.detail
    assert path_of(url).read_bytes() == content
    assert os.listdir(path_of(url).parent) == ["study.db"]


def test_a_file_that_is_not_an_optuna_database_is_not_changed(url: str) -> None:
    with sql(url) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    with pytest.raises(DatabaseUnusable, match="not an Optuna database"):
        open_storage(url)
    path_of(url).write_bytes(b"no database at all, but some text" * 100)
    content = path_of(url).read_bytes()
    with pytest.raises(DatabaseUnusable, match=r"study\.db cannot be opened"):
        open_storage(url)
    assert path_of(url).read_bytes() == content


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("trials", "UPDATE trials SET state = 'DREAMING' WHERE trial_id = 2"),
        ("trials", "UPDATE trials SET number = 7 WHERE trial_id = 2"),
        ("trials", "UPDATE trials SET datetime_start = 'noon' WHERE trial_id = 2"),
        ("trial_params", "UPDATE trial_params SET distribution_json = '{' WHERE trial_id = 2"),
        ("trial_params", "UPDATE trial_params SET param_value = NULL WHERE trial_id = 2"),
        ("trial_params", "UPDATE trial_params SET param_value = 9e999 WHERE trial_id = 2"),
        ("trial_values", "UPDATE trial_values SET value_type = 'HUGE' WHERE trial_id = 2"),
        ("trial_values", "UPDATE trial_values SET objective = 1 WHERE trial_id = 2"),
        ("trial_user_attributes", "UPDATE trial_user_attributes SET value_json = 'x'"),
        ("trial_system_attributes", "UPDATE trial_system_attributes SET value_json = NULL"),
        (
            "trial_intermediate_values",
            "UPDATE trial_intermediate_values SET intermediate_value_type = 'ODD'",
        ),
        ("study_directions", "UPDATE study_directions SET direction = 'UP' WHERE study_id = 2"),
        ("study_user_attributes", "UPDATE study_user_attributes SET value_json = '['"),
    ],
)
def test_a_broken_row_is_named_and_stops_only_its_own_study(
    url: str, table: str, change: str
) -> None:
    with opened(url) as storage:
        sound = storage.create_new_study(MINIMIZE, "sound")
        storage.create_new_trial(sound)
        broken = storage.create_new_study(MINIMIZE, "broken")
        storage.set_study_user_attr(broken, "a", 1)
        for _ in range(3):
            storage.create_new_trial(
                broken,
                template(
                    TrialState.COMPLETE,
                    values=[1],
                    params={"x": 0.5, "n": 5},
                    user_attrs={"a": 1},
                    system_attrs={"b": 1},
                    reports={1: 1},
                ),
            )
    with sql(url) as connection:
        connection.execute(change)
    with opened(url) as storage:
        with pytest.raises(StorageUnavailable, match=rf"{table} row \d"):
            storage.get_all_trials(broken)
        with pytest.raises(StorageUnavailable, match=rf"{table} row \d"):
            storage.create_new_trial(broken)
        assert storage.get_trial(storage.create_new_trial(sound)).number == 1
        assert [study.study_name for study in storage.get_all_studies()] == ["sound"]


def test_constraints_that_are_no_numbers_stop_only_their_own_study(url: str) -> None:
    with opened(url) as storage:
        sound = storage.create_new_study(MINIMIZE, "sound")
        broken = storage.create_new_study(MINIMIZE, "broken")
        attrs = {"constraints": [1.0]}
        for study_id in (sound, broken):
            complete = template(TrialState.COMPLETE, values=[1], system_attrs=attrs)
            storage.create_new_trial(study_id, complete)
    with sql(url) as connection:
        connection.execute(
            "UPDATE trial_system_attributes SET value_json = '[\"one\"]' WHERE trial_id = 2"
        )
    with opened(url) as storage:
        with pytest.raises(StorageUnavailable, match="cannot be ranked"):
            storage.get_all_trials(broken)
        assert storage.best_trials(sound) == []


def test_a_row_broken_by_others_while_we_run_stops_only_its_own_study(
    storage: WriteThroughStorage, study_id: int
) -> None:
    other = storage.create_new_study(MINIMIZE, "other")
    trial_id = storage.create_new_trial(study_id, template(params={"x": 0.5}))
    with sql(storage.url) as connection:
        connection.execute("UPDATE trial_params SET distribution_json = '{}'")
    take_in_foreign_writes(storage)
    with pytest.raises(StorageUnavailable, match=r"trial_params row \d"):
        storage.get_trial(trial_id)
    storage.create_new_trial(other)


@pytest.mark.parametrize(
    "left",
    [
        {"params": {"x": 0.5}},
        {"values": [1.0], "state": TrialState.COMPLETE},
        {"reports": {1: 1.0}},
        {"user_attrs": {"a": 1}},
        {"system_attrs": {"a": 1}},
    ],
    ids=lambda left: next(iter(left)),
)
def test_rows_a_deleted_trial_left_behind_do_not_become_a_new_trial_s(
    url: str, left: dict[str, Any]
) -> None:
    with opened(url) as storage:
        study_id = storage.create_new_study(MINIMIZE, "study")
        trial_id = storage.create_new_trial(study_id, template(**left))
    with sql(url) as connection:
        connection.execute("DELETE FROM trials")
    with opened(url) as storage:
        assert storage.create_new_trial(study_id) > trial_id
        assert_database_equals_memory(storage)


@pytest.mark.parametrize("enabled", [True, False])
def test_opening_leaves_garbage_collection_as_it_was(url: str, enabled: bool) -> None:
    with opened(url):
        pass
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with opened(url):
            assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_the_schema_version_kept_here_is_optuna_s(url: str) -> None:
    with optuna_storage(url) as storage:
        versions = tuple(reversed(storage.get_all_versions()))
    assert KNOWN_VERSIONS.get(optuna.__version__, versions) == versions


def test_opening_a_database_does_not_wait_for_the_import_of_migrations(url: str) -> None:
    with opened(url):
        pass
    code = """
import sys
from optunapi.storage import open_storage
open_storage(sys.argv[1]).close()
print(*sys.modules)
"""
    with python(code, url) as process:
        imported = process.communicate()[0].split()
    assert "optunapi.storage" in imported
    assert "alembic" not in imported
