"""A unit happens as a whole or not at all, and is acknowledged when it is durable."""

import asyncio
import os
import pickle
import threading

import pytest
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import TrialState

from optunapi.storage import StorageClosed, WriteThroughStorage, pending
from tests.unit.storage.support import (
    MINIMIZE,
    assert_database_equals_memory,
    assert_kept_is_true,
    assert_pending,
    opened,
    plain,
    sql,
    template,
)


def rows(url: str, table: str) -> int:
    with sql(url) as connection:
        ((count,),) = connection.execute(f"SELECT count(*) FROM {table}")
        return int(count)


class Failure(Exception):
    pass


def test_a_unit_commits_all_its_changes_as_one(storage: WriteThroughStorage, study_id: int) -> None:
    with storage.unit() as unit:
        first = storage.add_trial(study_id, template(params={"x": 0.5, "c": True}))
        storage.update_trial(
            first._trial_id, state=TrialState.COMPLETE, values=[1], user_attrs={"a": [1, (2,)]}
        )
        storage.set_study_user_attr(study_id, "u", 1)
        storage.set_study_system_attr(study_id, "s", {"k": 2})
        other = storage.create_new_study(MINIMIZE, "other")
        storage.create_new_trial(other)
    unit.commit.result()
    assert_database_equals_memory(storage)
    trial = storage.trial(study_id, 0)
    assert (trial.values, trial.params["c"], trial.user_attrs) == ([1.0], True, {"a": [1, [2]]})


def test_a_unit_that_raises_leaves_memory_and_database_as_they_were(
    storage: WriteThroughStorage, study_id: int
) -> None:
    kept = storage.create_new_trial(study_id, template(params={"x": 0.5}, reports={1: 0.5}))
    other = storage.create_new_trial(study_id)
    doomed = storage.create_new_study(MINIMIZE, "doomed")
    storage.create_new_trial(doomed)
    storage.set_study_user_attr(study_id, "u", 1)
    before = [plain(t) for t in storage.get_all_trials(study_id)]

    def spoil() -> None:
        with storage.unit():
            storage.add_trial(study_id, template(params={"n": 3}))
            storage.update_trial(
                kept, clear_intermediate_values=True, params={}, user_attrs={"a": 1}
            )
            storage.update_trial(kept, state=TrialState.COMPLETE, values=[0.0])
            storage.update_trial(other, state=TrialState.FAIL)
            storage.set_study_user_attr(study_id, "u", 2)
            storage.set_study_user_attr(study_id, "v", 3)
            storage.delete_study(doomed)
            storage.create_new_trial(storage.create_new_study(MINIMIZE, "doomed"))
            raise Failure

    with pytest.raises(Failure):
        spoil()
    assert [plain(t) for t in storage.get_all_trials(study_id)] == before
    assert storage.get_study_user_attrs(study_id) == {"u": 1}
    assert storage.get_study_id_from_name("doomed") == doomed
    assert storage.n_trials(doomed) == 1
    assert storage.best_trials(study_id) == []
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)
    # The parameter that only the undone trial had constrains no other trial.
    storage.create_new_trial(study_id)
    storage.set_trial_param(kept, "n", 0.5, template(params={"x": 0}).distributions["x"])


def test_pending_changes_are_visible_before_they_are_durable(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    with sql(url) as outside:
        outside.execute("BEGIN IMMEDIATE")  # holds our commit back
        with storage.unit() as unit:
            storage.add_trial(study_id, template())
        assert storage.n_trials(study_id) == 1
        assert_pending(unit.commit)
        assert_pending(storage.committed())
        with pytest.raises(TimeoutError):
            unit.commit.result(timeout=0.01)
        assert rows(url, "trials") == 0
        outside.execute("ROLLBACK")
    unit.commit.result()
    assert rows(url, "trials") == 1


def test_a_unit_that_only_read_waits_for_what_it_saw(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    with sql(url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        storage.add_trial(study_id, template())
        with storage.unit() as unit:
            assert storage.n_trials(study_id) == 1
        assert_pending(unit.commit)
        outside.execute("ROLLBACK")
    unit.commit.result()
    assert rows(url, "trials") == 1


def test_a_unit_inside_a_unit_joins_it(storage: WriteThroughStorage, study_id: int) -> None:
    def spoil() -> None:
        with storage.unit():
            with storage.unit():
                storage.add_trial(study_id, template())
            storage.create_new_trial(study_id)  # does not wait either
            raise Failure

    with pytest.raises(Failure):
        spoil()
    assert storage.n_trials(study_id) == 0


def test_units_of_many_threads_are_each_whole(storage: WriteThroughStorage, study_id: int) -> None:
    def work(worker: int) -> None:
        for step in range(20):
            try:
                with storage.unit() as unit:
                    trial = storage.add_trial(study_id, template(user_attrs={"worker": worker}))
                    storage.update_trial(trial._trial_id, state=TrialState.COMPLETE, values=[step])
                    count = storage.get_study_user_attrs(study_id).get("count", 0)
                    storage.set_study_user_attr(study_id, "count", count + 1)
                    if step % 4 == 3:
                        raise Failure
                unit.commit.result()
            except Failure:
                pass

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.n_trials(study_id) == 8 * 15
    assert storage.get_study_user_attrs(study_id)["count"] == 8 * 15
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


def test_a_commit_is_awaited_from_many_tasks_and_loops(
    storage: WriteThroughStorage, study_id: int
) -> None:
    async def ask() -> int:
        with storage.unit() as unit:
            trial = storage.add_trial(study_id, template())
        await unit.commit
        await storage.committed()
        return trial.number

    async def ask_many() -> list[int]:
        cancelled = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        cancelled.cancel()
        return await asyncio.gather(*(ask() for _ in range(50)))

    numbers = asyncio.run(ask_many()) + asyncio.run(ask_many())
    assert len(set(numbers)) == 100
    assert storage.n_trials(study_id) == 102  # a cancelled wait undoes nothing
    assert_database_equals_memory(storage)


@pytest.mark.timeout(30)
def test_units_inside_try_exclusive_do_not_wait_for_room_that_the_writer_cannot_make(
    storage: WriteThroughStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_PENDING", 1)
    with storage.try_exclusive() as is_free:
        assert is_free
        for _ in range(3):
            storage.add_trial(study_id, template())
    storage.committed().result()
    assert storage.n_trials(study_id) == 3


def test_callers_wait_in_their_threads_when_too_much_is_pending(
    storage: WriteThroughStorage, study_id: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MAX_PENDING", 3)
    entered: list[int] = []
    full = threading.Event()

    def work() -> None:
        for i in range(10):
            storage.add_trial(study_id, template())
            entered.append(i)
            if i == 2:
                full.set()

    with sql(url) as outside:
        outside.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=work)
        thread.start()
        assert full.wait(10)
        thread.join(0.2)
        assert thread.is_alive()
        assert len(entered) == 3
        assert storage.n_trials(study_id) == 3  # readers do not wait
        outside.execute("ROLLBACK")
    thread.join()
    assert storage.n_trials(study_id) == 10
    assert_database_equals_memory(storage)


def test_a_finished_trial_takes_nothing_but_user_attributes_and_our_own(
    storage: WriteThroughStorage, study_id: int
) -> None:
    trial_id = storage.create_new_trial(study_id, template(TrialState.COMPLETE, values=[1]))
    storage.update_trial(trial_id, system_attrs={"optunapi:late": 1})
    storage.committed().result()
    assert storage.get_trial_system_attrs(trial_id) == {"optunapi:late": 1}
    storage.update_trial(trial_id, user_attrs={"cost": 2.5})
    storage.committed().result()
    assert storage.get_trial_user_attrs(trial_id) == {"cost": 2.5}
    with pytest.raises(UpdateFinishedTrialError):  # as Optuna has it
        storage.set_trial_user_attr(trial_id, "cost", 3)
    refused: list[dict[str, object]] = [
        {"state": TrialState.FAIL},
        {"values": [2]},
        {"user_attrs": {"a": 1}, "values": [2]},
        {"system_attrs": {"a": 1}},
        {"system_attrs": {"a": 1, "optunapi:b": 1}},
        {"intermediate_values": {1: 1.0}},
        {"clear_intermediate_values": True},
        {"params": {"x": 0.5}, "distributions": template(params={"x": 0}).distributions},
    ]
    for changes in refused:
        with pytest.raises(UpdateFinishedTrialError):
            storage.update_trial(trial_id, **changes)  # type: ignore[arg-type]
    assert_kept_is_true(storage, study_id)
    assert_database_equals_memory(storage)


def test_a_trial_goes_back_to_waiting_without_its_reports(
    storage: WriteThroughStorage, study_id: int
) -> None:
    trial_id = storage.create_new_trial(study_id, template(reports={1: 0.5, 2: float("nan")}))
    storage.update_trial(trial_id, state=TrialState.WAITING, clear_intermediate_values=True)
    assert_database_equals_memory(storage)
    waiting = storage.get_trial(trial_id)
    assert (waiting.datetime_start, waiting.intermediate_values) == (None, {})
    with storage.unit():  # cleared and reported again within one group
        storage.update_trial(trial_id, state=TrialState.RUNNING, intermediate_values={1: 1.0})
        storage.update_trial(trial_id, clear_intermediate_values=True)
        storage.update_trial(trial_id, intermediate_values={2: 2.0})
    assert storage.get_trial(trial_id).intermediate_values == {2: 2.0}
    assert storage.get_trial(trial_id).datetime_start is not None
    assert_database_equals_memory(storage)


@pytest.mark.parametrize(
    "bad",
    [
        {"values": [float("nan")]},
        {"user_attrs": {"a": object()}},
        {"user_attrs": {"\udc80": 1}},
        {"reports": {2**63: 0.0}},
        {"params": {"c": "unknown choice"}},
    ],
)
def test_what_the_database_cannot_hold_is_refused_before_anything_happens(
    storage: WriteThroughStorage, study_id: int, bad: dict[str, object]
) -> None:
    with pytest.raises((TypeError, ValueError)):
        storage.create_new_trial(study_id, template(**bad))  # type: ignore[arg-type]
    assert storage.n_trials(study_id) == 0
    storage.create_new_trial(study_id)
    assert_database_equals_memory(storage)


def test_a_caller_s_changes_of_its_own_objects_do_not_reach_the_storage(
    storage: WriteThroughStorage, study_id: int
) -> None:
    attr = {"list": [1]}
    mine = template(params={"x": 0.5}, user_attrs={"a": attr})
    trial = storage.add_trial(study_id, mine)
    attr["list"].append(2)
    mine.params["x"] = 0.9
    mine.user_attrs["b"] = 1
    # Optuna's Trial writes into the dicts of the trial it works on.
    running = storage.get_trial(trial._trial_id)
    running.params["y"] = 1
    running.intermediate_values[3] = 1
    running.user_attrs["c"] = 1
    running.distributions["y"] = mine.distributions["x"]
    assert storage.trial(study_id, 0).params == {"x": 0.5}
    assert storage.trial(study_id, 0).user_attrs == {"a": {"list": [1]}}
    assert_database_equals_memory(storage)


def test_equal_distributions_are_one_object_for_all_trials(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    for _ in range(3):
        storage.add_trial(study_id, template(params={"x": 0.5, "c": 1}))
    one, other, *_ = storage.get_all_trials(study_id, deepcopy=False)
    assert one.distributions is other.distributions
    storage.close()
    with opened(url) as again:
        one, other, *_ = again.get_all_trials(study_id, deepcopy=False)
        assert one.distributions is other.distributions


def test_choices_that_compare_equal_are_kept_apart(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    choices = ["a", None, True, 1, 1.0, 0.5]
    for choice in choices:
        storage.create_new_trial(study_id, template(params={"c": choice}))
    storage.close()
    with opened(url) as again:
        kept = [trial.params["c"] for trial in again.get_all_trials(study_id)]
    assert list(map(repr, kept)) == list(map(repr, choices))


def test_our_own_changes_are_no_reloads(storage: WriteThroughStorage, study_id: int) -> None:
    reloads = storage.reloads(study_id)
    trial = storage.add_trial(study_id, template())
    storage.update_trial(trial._trial_id, user_attrs={"a": 1})
    storage.set_study_user_attr(study_id, "a", 1)
    assert storage.reloads(study_id) == reloads


def test_two_studies_cannot_have_one_name(storage: WriteThroughStorage, study_id: int) -> None:
    with pytest.raises(DuplicatedStudyError):
        storage.create_new_study(MINIMIZE, "study")
    with storage.unit() as unit:  # a name is free once its study is deleted, in the same unit too
        storage.create_new_trial(study_id)
        storage.delete_study(study_id)
        storage.create_new_trial(storage.create_new_study(MINIMIZE, "study"))
    unit.commit.result()
    assert_database_equals_memory(storage)


def test_closing_writes_what_is_pending_and_leaves_one_file(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    for _ in range(100):
        storage.add_trial(study_id, template(params={"x": 0.5}))
    last = storage.committed()
    storage.close()
    storage.close()
    last.result(timeout=0)
    folder = url.removeprefix("sqlite:///").rsplit("/", 1)[0]
    assert os.listdir(folder) == ["study.db"]
    with pytest.raises(StorageClosed):
        storage.n_trials(study_id)
    with pytest.raises(StorageClosed):
        storage.create_new_trial(study_id)
    with opened(url) as again:
        assert again.n_trials(study_id) == 100


def test_a_storage_cannot_be_closed_inside_a_unit(storage: WriteThroughStorage) -> None:
    with storage.unit(), pytest.raises(RuntimeError):
        storage.close()
    storage.create_new_study(MINIMIZE)


def test_unpickling_gives_this_process_s_instance(storage: WriteThroughStorage) -> None:
    assert pickle.loads(pickle.dumps(storage)) is storage
