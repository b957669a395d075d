"""Records of artifacts can be set and dropped on finished trials too."""

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optunapi.storage import WriteThroughStorage
from tests.unit.storage.support import (
    assert_database_equals_memory,
    opened,
    template,
)


def test_records_of_files_are_set_and_dropped_on_a_finished_trial(
    storage: WriteThroughStorage, study_id: int, url: str
) -> None:
    trial = storage.add_trial(
        study_id,
        template(TrialState.COMPLETE, values=[1.0], system_attrs={"kept": 1, "artifacts:1": "a"}),
    )
    other = storage.add_trial(study_id, template(system_attrs={"artifacts:1": "b"}))
    storage.update_trial(
        trial._trial_id, system_attrs={"artifacts:2": "c"}, drop_system_attrs=["artifacts:1"]
    )
    storage.committed().result()
    assert storage.get_trial(trial._trial_id).system_attrs == {"kept": 1, "artifacts:2": "c"}
    assert storage.get_trial(other._trial_id).system_attrs == {"artifacts:1": "b"}
    assert_database_equals_memory(storage)
    storage.update_trial(trial._trial_id, drop_system_attrs=["artifacts:2", "artifacts:9"])
    storage.close()
    with opened(url) as again:
        assert again.get_trial(trial._trial_id).system_attrs == {"kept": 1}
        assert again.get_trial(other._trial_id).system_attrs == {"artifacts:1": "b"}


def test_a_dropped_record_is_back_when_its_unit_fails(
    storage: WriteThroughStorage, study_id: int
) -> None:
    trial = storage.add_trial(study_id, template(system_attrs={"artifacts:1": "a"}))
    storage.committed().result()

    def fail() -> None:
        with storage.unit():
            storage.update_trial(trial._trial_id, drop_system_attrs=["artifacts:1"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert storage.get_trial(trial._trial_id).system_attrs == {"artifacts:1": "a"}
    assert_database_equals_memory(storage)


@pytest.mark.parametrize(
    ("new", "dropped"),
    [({"fixed_params": {}}, []), ({}, ["fixed_params"]), ({"artifacts:1": "a"}, ["fixed_params"])],
)
def test_nothing_else_of_a_finished_trial_can_be_changed(
    storage: WriteThroughStorage, study_id: int, new: dict[str, object], dropped: list[str]
) -> None:
    attrs = {"fixed_params": {"x": 0.5}}
    trial = storage.add_trial(
        study_id, template(TrialState.COMPLETE, values=[1.0], system_attrs=attrs)
    )
    with pytest.raises(UpdateFinishedTrialError):
        storage.update_trial(trial._trial_id, system_attrs=new, drop_system_attrs=dropped)
    assert storage.get_trial(trial._trial_id).system_attrs == attrs


def test_the_latest_commits_are_timed_and_reads_are_not(
    storage: WriteThroughStorage, study_id: int
) -> None:
    before = storage.commit_seconds()
    with storage.unit() as unit:
        assert storage.n_trials(study_id) == 0
    unit.commit.result()
    assert storage.commit_seconds() == before
    storage.set_study_user_attr(study_id, "a", 1)
    assert len(storage.commit_seconds()) == len(before) + 1
    assert all(seconds > 0 for seconds in storage.commit_seconds())
