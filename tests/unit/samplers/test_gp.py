"""GP over a long history."""

import importlib.util
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from optunapi.engine.samplers.gp import HISTORY
from optunapi.engine.samplers.make import make_sampler
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.templates import blank_trial
from optunapi.engine.trials.draft import Draft
from tests.support import missing
from tests.unit.samplers.support import NOW, spec_of, trial_of

LINE = {"x": {"type": "float", "low": 0, "high": 1}}


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    if importlib.util.find_spec("torch") is None:
        missing("PyTorch is not installed")


def draft_of(spec: StudySpec, trials: int) -> Draft:
    """A trial drafted in a study with this number of trials."""
    storage = optuna.storages.InMemoryStorage()
    study_id = storage.create_new_study(spec.directions)
    for number in range(trials):
        trial = trial_of(spec, number, {"x": number / trials}, abs(number / trials - 0.2))
        storage.create_new_trial(study_id, trial)
    store: Any = storage
    return Draft(store, study_id, "study", blank_trial(trials, NOW, TrialState.RUNNING))


def seen_by(draft: Draft) -> list[int]:
    return [trial.number for trial in draft.get_all_trials(0, deepcopy=False)]


@pytest.mark.parametrize(
    ("arguments", "trials", "seen"),
    [
        ({}, 2000, HISTORY),
        ({"history": 80}, 2000, 80),
        ({"history": "all"}, 2000, 2000),
        ({}, HISTORY, HISTORY),
    ],
)
def test_gp_is_given_at_most_that_many_trials(
    arguments: dict[str, Any], trials: int, seen: int
) -> None:
    spec = spec_of({"name": "gp", **arguments}, LINE)
    draft = draft_of(spec, trials)
    draft.suggest(make_sampler(spec.problem), spec)
    numbers = seen_by(draft)
    assert len(numbers) == seen + 1
    assert numbers[-1] == trials, "the drafted trial is among them"
    assert trials // 5 in numbers, "the best one is"


def test_other_samplers_see_the_whole_history() -> None:
    spec = spec_of("random", LINE)
    draft = draft_of(spec, 500)
    draft.suggest(RandomSampler(), spec)
    assert len(seen_by(draft)) == 501
