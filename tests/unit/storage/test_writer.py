"""A database has a thread of its own while it is written to, and none at rest."""

import threading
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from optunapi.storage import Commit, WriteThroughStorage, open_storage
from optunapi.storage.pending import Pending
from tests.support import scaled, until
from tests.unit.storage.support import MINIMIZE, opened, optuna_storage, template


def writers() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("writer of")]


def test_databases_at_rest_have_no_thread_and_are_written_again(
    storage: WriteThroughStorage, study_id: int
) -> None:
    until(lambda: "writer of study.db" not in writers())
    storage.create_new_trial(study_id)
    until(lambda: "writer of study.db" not in writers())
    storage.create_new_trial(study_id)
    assert storage.n_trials(study_id) == 2


def test_what_others_write_is_seen_at_rest(storage: WriteThroughStorage, study_id: int) -> None:
    until(lambda: "writer of study.db" not in writers())
    with optuna_storage(storage.url) as other:
        other.create_new_trial(study_id)
        until(lambda: storage.n_trials(study_id) == 1)


def test_a_unit_that_comes_while_its_thread_ends_is_written(
    storage: WriteThroughStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every unit here is made in the moment between the thread's last look for work and its end."""
    wait = Pending.wait
    commits: list[Commit] = []

    def nothing_came(self: Pending, seconds: float) -> bool:
        if threading.current_thread().name != "writer of study.db":
            return wait(self, seconds)
        woken = wait(self, 0)
        if not woken and len(commits) < scaled(50, 2_000):
            with storage.unit() as unit:
                storage.add_trial(study_id, template(TrialState.COMPLETE, values=[1]))
            commits.append(unit.commit)
        return woken

    monkeypatch.setattr(Pending, "wait", nothing_came)
    storage.create_new_trial(study_id)
    until(lambda: len(commits) == scaled(50, 2_000))
    for commit in commits:
        commit.result()


def test_a_unit_is_written_although_no_thread_could_be_started(
    storage: WriteThroughStorage, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: "writer of study.db" not in writers())
    start: Callable[[threading.Thread], None] = threading.Thread.start
    refused: list[threading.Thread] = []

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name.startswith("writer of") and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    storage.create_new_trial(study_id)
    assert refused


def test_closing_at_rest_or_not_writes_what_is_pending(url: str) -> None:
    with opened(url) as storage:
        study_id = storage.create_new_study(MINIMIZE, "study")
    for n_trials, is_at_rest in enumerate((False, True), 1):
        storage = open_storage(url)
        if is_at_rest:
            until(lambda: "writer of study.db" not in writers())
        with storage.one_commit():
            with storage.unit() as unit:
                storage.add_trial(study_id, template(TrialState.COMPLETE, values=[1]))
            storage.close()
        unit.commit.result()
        with opened(url) as again:
            assert again.n_trials(study_id) == n_trials
