"""Optuna's own storage, or plain SQL, writes to the same file: noticed, and never overwritten."""

import sqlite3
import threading
from collections.abc import Callable

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from optunapi.storage import Superseded, WriteThroughStorage, writer
from tests.support import scaled
from tests.unit.storage.support import (
    DISTRIBUTIONS,
    MINIMIZE,
    assert_database_equals_memory,
    assert_kept_is_true,
    optuna_storage,
    python,
    sql,
    take_in_foreign_writes,
    template,
)

ADD_TRIAL = (
    "INSERT INTO trials (number, study_id, state, datetime_start) "
    "SELECT count(*), {0}, 'RUNNING', '2026-01-01 00:00:00.000000' FROM trials WHERE study_id = {0}"
)


def test_all_that_optuna_writes_is_taken_in(storage: WriteThroughStorage, study_id: int) -> None:
    ours = storage.create_new_trial(study_id, template(params={"x": 0.5}))
    waiting = storage.create_new_trial(study_id, template(TrialState.WAITING))
    doomed = storage.create_new_study(MINIMIZE, "doomed")
    storage.create_new_trial(doomed)
    reloads = storage.reloads(study_id)
    with optuna_storage(storage.url) as other:
        other.set_trial_param(ours, "c", 3, DISTRIBUTIONS["c"])
        other.set_trial_intermediate_value(ours, 1, float("nan"))
        other.set_trial_user_attr(ours, "a", {"b": [1]})
        other.set_trial_system_attr(ours, "constraints:k", 1.0)
        other.set_trial_state_values(ours, TrialState.COMPLETE, [float("-inf")])
        other.set_trial_state_values(waiting, TrialState.RUNNING)
        other.create_new_trial(study_id, template(TrialState.COMPLETE, values=[0.5]))
        other.set_study_user_attr(study_id, "u", 1)
        other.set_study_system_attr(study_id, "s", 1)
        other.delete_study(doomed)
        new = other.create_new_study(MINIMIZE, "new")
        other.create_new_trial(new, template(params={"n": 2}))
    take_in_foreign_writes(storage)
    assert storage.n_trials(study_id) == 3
    assert storage.trial(study_id, 0).params == {"x": 0.5, "c": 1}
    assert [trial.number for trial in storage.best_trials(study_id)] == [2]  # -inf is infeasible
    assert storage.reloads(study_id) > reloads
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


def test_an_idle_storage_shows_outside_changes_by_itself(
    storage: WriteThroughStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()
    replace = type(storage._memory).append

    def note(*arguments: object) -> None:
        replace(*arguments)  # type: ignore[arg-type]
        seen.set()

    monkeypatch.setattr(type(storage._memory), "append", note)
    with optuna_storage(storage.url) as other:
        other.create_new_trial(study_id)
    assert seen.wait(10)
    assert storage.n_trials(study_id) == 1


def test_nothing_is_reloaded_without_foreign_writes(
    storage: WriteThroughStorage, study_id: int
) -> None:
    storage.create_new_trial(study_id, template(reports={1: float("nan")}))
    reloads = storage.reloads(study_id)
    with optuna_storage(storage.url) as other:
        other.create_new_study(MINIMIZE, "elsewhere")
    take_in_foreign_writes(storage)
    assert storage.reloads(study_id) == reloads


def test_a_trial_that_others_added_first_is_kept_and_ours_is_refused(
    storage: WriteThroughStorage, study_id: int
) -> None:
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as first:
            storage.add_trial(study_id, template(params={"x": 0.5}))
        with storage.unit() as second:
            storage.set_study_user_attr(study_id, "n", 1)
        outside.execute(ADD_TRIAL.format(study_id))
        outside.execute("COMMIT")
    for unit in (first, second):  # the later one may be based on the refused one
        with pytest.raises(Superseded):
            unit.commit.result()
    assert storage.get_study_user_attrs(study_id) == {}
    assert [trial.params for trial in storage.get_all_trials(study_id)] == [{}]
    with storage.unit() as again:
        assert storage.add_trial(study_id, template()).number == 1
    again.commit.result()
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


def test_a_writing_method_repeats_its_change_when_it_was_superseded(
    storage: WriteThroughStorage, study_id: int
) -> None:
    ids: list[int] = []
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=lambda: ids.append(storage.create_new_trial(study_id)))
        thread.start()
        while storage.n_trials(study_id) == 0:
            thread.join(0.001)
        outside.execute(ADD_TRIAL.format(study_id))
        outside.execute("COMMIT")
    thread.join()
    assert storage.get_trial(ids[0]).number == 1
    assert_database_equals_memory(storage)


def test_a_trial_that_others_finished_is_not_finished_again(
    storage: WriteThroughStorage, study_id: int
) -> None:
    trial_id = storage.create_new_trial(study_id)
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.update_trial(trial_id, state=TrialState.COMPLETE, values=[1.0])
        outside.execute("UPDATE trials SET state = 'FAIL' WHERE trial_id = ?", (trial_id,))
        outside.execute("COMMIT")
    with pytest.raises(Superseded):
        unit.commit.result()
    assert storage.get_trial(trial_id).state == TrialState.FAIL
    assert storage.get_trial(trial_id).values is None
    assert_database_equals_memory(storage)


SET_ATTR = (
    "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (?, ?, '\"outside\"') "
    "ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json"
)


def test_an_attribute_set_on_both_sides_is_not_overwritten_unseen(
    storage: WriteThroughStorage, study_id: int
) -> None:
    storage.set_study_user_attr(study_id, "same", 1)
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.set_study_user_attr(study_id, "same", 1)  # even to the value it had
        outside.execute(SET_ATTR, (study_id, "same"))
        outside.execute("COMMIT")
    with pytest.raises(Superseded):
        unit.commit.result()
    assert storage.get_study_user_attrs(study_id) == {"same": "outside"}
    assert_database_equals_memory(storage)


def test_changes_of_different_things_are_both_kept(
    storage: WriteThroughStorage, study_id: int
) -> None:
    mine = storage.create_new_trial(study_id)
    theirs = storage.create_new_trial(study_id)
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.update_trial(mine, state=TrialState.COMPLETE, values=[1.0])
            storage.set_study_user_attr(study_id, "mine", 1)
        outside.execute(SET_ATTR, (study_id, "theirs"))
        outside.execute("UPDATE trials SET state = 'FAIL' WHERE trial_id = ?", (theirs,))
        outside.execute(ADD_TRIAL.format(study_id))
        outside.execute("COMMIT")
    unit.commit.result()
    assert storage.get_study_user_attrs(study_id) == {"mine": 1, "theirs": "outside"}
    states = [trial.state.name for trial in storage.get_all_trials(study_id)]
    assert states == ["COMPLETE", "FAIL", "RUNNING"]
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


def delete(other: RDBStorage, study_id: int) -> None:
    other.delete_study(study_id)


def recreate(other: RDBStorage, study_id: int) -> None:
    other.delete_study(study_id)
    assert other.create_new_study(MINIMIZE, "study") == study_id  # SQLite reuses the id
    for _ in range(3):
        other.create_new_trial(study_id, template(params={"n": 3}))


def recreate_shorter(other: RDBStorage, study_id: int) -> None:
    other.delete_study(study_id)
    assert other.create_new_study(MINIMIZE, "study") == study_id
    other.create_new_trial(study_id, template(TrialState.COMPLETE, values=[4]))


@pytest.mark.parametrize("act", [delete, recreate, recreate_shorter])
@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.COMPLETE])
def test_a_study_deleted_by_others_is_gone_even_when_its_ids_are_used_again(
    storage: WriteThroughStorage,
    study_id: int,
    act: Callable[[RDBStorage, int], None],
    state: TrialState,
) -> None:
    values = [0.0] if state == TrialState.COMPLETE else None
    for _ in range(2):
        storage.create_new_trial(study_id, template(state, values=values, params={"x": 0.5}))
    with optuna_storage(storage.url) as other:
        act(other, study_id)
    take_in_foreign_writes(storage)
    assert_database_equals_memory(storage)
    if act is delete:
        with pytest.raises(KeyError):
            storage.n_trials(study_id)
    else:
        assert_kept_is_true(storage, study_id)


def test_a_trial_added_to_a_study_that_others_delete_is_refused(
    storage: WriteThroughStorage, study_id: int
) -> None:
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.add_trial(study_id, template())
        outside.execute("DELETE FROM study_directions")
        outside.execute("DELETE FROM studies")
        outside.execute("COMMIT")
    with pytest.raises(Superseded):
        unit.commit.result()
    with pytest.raises(KeyError):
        storage.n_trials(study_id)
    assert_database_equals_memory(storage)


def test_a_study_created_on_both_sides_under_one_name_is_theirs(
    storage: WriteThroughStorage,
) -> None:
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.create_new_study(MINIMIZE, "both")
        outside.execute("INSERT INTO studies (study_name) VALUES ('both')")
        outside.execute(
            "INSERT INTO study_directions (direction, study_id, objective) "
            "SELECT 'MAXIMIZE', study_id, 0 FROM studies"
        )
        outside.execute("COMMIT")
    with pytest.raises(Superseded):
        unit.commit.result()
    study_id = storage.get_study_id_from_name("both")
    assert [d.name for d in storage.get_study_directions(study_id)] == ["MAXIMIZE"]
    assert_database_equals_memory(storage)


def test_a_refused_caller_can_repeat_its_change_before_others_write_again(
    storage: WriteThroughStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "HOLD_SECONDS", (60.0, 60.0))
    with sql(storage.url) as outside:
        outside.execute("PRAGMA busy_timeout=0")
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.add_trial(study_id, template())
        outside.execute(ADD_TRIAL.format(study_id))
        outside.execute("COMMIT")
        with pytest.raises(Superseded):
            unit.commit.result()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            outside.execute("BEGIN IMMEDIATE")
        assert storage.get_trial(storage.create_new_trial(study_id)).number == 1
        outside.execute("BEGIN IMMEDIATE")
        outside.execute("ROLLBACK")


def test_a_study_to_which_others_just_added_is_not_deleted_unseen(
    storage: WriteThroughStorage, study_id: int
) -> None:
    with sql(storage.url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        with storage.unit() as unit:
            storage.delete_study(study_id)
        outside.execute(ADD_TRIAL.format(study_id))
        outside.execute("COMMIT")
    with pytest.raises(Superseded):
        unit.commit.result()
    assert storage.n_trials(study_id) == 1
    storage.delete_study(study_id)
    assert_database_equals_memory(storage)


HAMMER = """
import sqlite3, sys
path, study_id = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None, timeout=30)
for i in range(10**9):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO trials (number, study_id, state, datetime_start) SELECT count(*), ?, 'FAIL',"
        " '2026-01-01 00:00:00.000000' FROM trials WHERE study_id = ?", (study_id, study_id))
    connection.execute("COMMIT")
    if i == 20:
        print("busy", flush=True)
"""


def test_a_process_that_writes_without_pause_does_not_stop_us(
    storage: WriteThroughStorage, study_id: int
) -> None:
    with python(HAMMER, storage.url.removeprefix("sqlite:///"), str(study_id)) as outsider:
        assert outsider.stdout is not None
        outsider.stdout.readline()
        ids = [storage.create_new_trial(study_id) for _ in range(scaled(20, 200))]
        assert outsider.poll() is None
    take_in_foreign_writes(storage)
    assert len({storage.get_trial(trial_id).number for trial_id in ids}) == len(ids)
    assert storage.n_trials(study_id) > len(ids) + 20
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


OPTUNA = """
import sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
url, count = sys.argv[1:]
storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
study = optuna.load_study(study_name="study", storage=storage)
for i in range(int(count)):
    if i % 3 == 0:
        study.enqueue_trial({"x": 0.5}, user_attrs={"theirs": i})
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(i, 1)
    trial.set_user_attr("theirs", i)
    study.set_user_attr(f"theirs-{i}", i)
    study.tell(trial, i)
"""


def test_optuna_works_on_the_same_study_under_load(
    storage: WriteThroughStorage, study_id: int
) -> None:
    count = scaled(15, 150)
    told: list[int] = []
    stop = threading.Event()

    def work(worker: int) -> None:
        while not stop.is_set():
            trial_id = storage.create_new_trial(
                study_id, template(params={"n": 3}, user_attrs={"ours": worker})
            )
            storage.set_trial_intermediate_value(trial_id, 1, 0.5)
            storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [worker])
            told.append(trial_id)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    with python(OPTUNA, storage.url, str(count)) as optuna:
        for thread in threads:
            thread.start()
        try:
            assert optuna.wait(120) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    take_in_foreign_writes(storage)
    trials = storage.get_all_trials(study_id)
    theirs = [trial for trial in trials if "theirs" in trial.user_attrs]
    ours = [trial for trial in trials if "ours" in trial.user_attrs]
    assert sorted(trial.values[0] for trial in theirs) == list(range(count))
    assert {trial._trial_id for trial in ours} == set(told)
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert len(theirs) + len(ours) == len(trials)
    assert len(storage.get_study_user_attrs(study_id)) == count
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)
