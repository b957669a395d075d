"""Optuna's enumerations without Optuna."""

import optuna
import pytest

from optunapi.client.optuna_types.states import StudyDirection, TrialState


@pytest.mark.parametrize("name", [each.name for each in optuna.trial.TrialState])
def test_a_trial_state_is_equal_to_optunas_and_to_the_word_on_the_wire(name: str) -> None:
    ours, theirs = TrialState[name], optuna.trial.TrialState[name]
    assert ours == theirs
    assert hash(ours) == hash(theirs)
    assert ours.is_finished() == theirs.is_finished()
    assert ours == name.lower()
    assert str(ours) == f"{ours}" == name.lower()
    assert TrialState.of(theirs) is TrialState.of(name) is TrialState.of(name.lower()) is ours


@pytest.mark.parametrize("name", [each.name for each in optuna.study.StudyDirection])
def test_a_direction_is_equal_to_optunas(name: str) -> None:
    assert StudyDirection[name] == optuna.study.StudyDirection[name]


def test_states_differ_and_other_words_are_refused() -> None:
    assert TrialState.COMPLETE != TrialState.PRUNED
    assert TrialState.COMPLETE != "pruned"
    assert TrialState.COMPLETE != None  # noqa: E711
    assert len(set(TrialState)) == 5
    with pytest.raises(ValueError, match="'done' is none of running, complete, pruned"):
        TrialState.of("done")


def test_unequal_is_the_opposite_of_equal() -> None:
    for state in TrialState:
        for other in (*TrialState, *(each.word for each in TrialState), "", None, 1, optuna):
            assert (state != other) is not (state == other)
