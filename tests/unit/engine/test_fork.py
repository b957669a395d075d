"""Forks: which trials fit the new specification, and how they are copied."""

import copy
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.creation import create_study
from optunapi.engine.fork import Origin, fitting_history, origin_of
from optunapi.engine.records import TrialRecord
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import Clock, Life

SPACE: dict[str, Any] = {
    "x": {"type": "float", "low": 0, "high": 1},
    "n": {"type": "int", "low": 1, "high": 9},
    "c": {"type": "categorical", "choices": ["a", "b"]},
}
TWO = {"accuracy": "maximize", "latency": "minimize"}


def spec(**settings: Any) -> StudySpec:
    return spec_from_mapping({"parameters": SPACE} | settings)


def with_space(**changes: Any) -> StudySpec:
    return spec(parameters={name: p for name, p in {**SPACE, **changes}.items() if p is not None})


def origin(life: Life) -> Origin:
    with life.state.unit():
        return origin_of(life.state)


def fork(life: Life, name: str = "new", new: StudySpec | None = None) -> list[FrozenTrial]:
    """The trials of a fork made in the same database."""
    new = new or life.state.spec
    source = origin(life)
    history = fitting_history(source, new)
    study_id = create_study(
        life.storage,
        name,
        new,
        life.clock.time(),
        new_id=lambda: "id",
        origin=source,
        history=history,
    )
    return life.storage.get_all_trials(study_id, deepcopy=False)


def numbered(trials: list[FrozenTrial]) -> list[int]:
    """The numbers of these trials in the origin."""
    return [trial.user_attrs["was"] for trial in trials]


@pytest.fixture
def life(new_life: NewLife, clock: Clock) -> Life:
    """Trials 0 to 3 finished, 4 running and 5 waiting."""
    life = new_life(parameters=SPACE)
    points: list[dict[str, Any]] = [
        {"x": 0.1, "n": 1, "c": "a"},
        {"x": 0.9, "n": 2, "c": "b"},
        {"x": 0.2, "n": 3, "c": "a"},
        {"x": 0.3, "n": 9, "c": "b"},
    ]
    for number, point in enumerate(points):
        life.ask("w", params=point, user_attrs={"was": number}, key=f"k{number}")
        clock.pass_(10)
    life.report(0, 5, 0.25)
    life.complete(0, 1.5, constraints={"size": -1.0})
    life.tell(1, "pruned", 2.5)
    life.tell(2, "fail", reason="oom")
    life.complete(3, 3.5)
    life.ask("w", user_attrs={"was": 4})
    life.enqueue(x=0.5)
    return life


def test_a_fork_has_the_finished_trials_with_all_that_is_theirs(life: Life) -> None:
    trials = fork(life)
    assert numbered(trials) == [0, 1, 2, 3]
    for new, old in zip(trials, (life.trial(n) for n in range(4)), strict=True):
        assert new.number == old.number
        for kept in ("state", "values", "params", "intermediate_values", "user_attrs"):
            assert getattr(new, kept) == getattr(old.trial, kept)
        assert (new.datetime_start, new.datetime_complete) == (
            old.trial.datetime_start,
            old.trial.datetime_complete,
        )
        record = TrialRecord.of(new)
        assert (record.worker, record.attempt, record.fail_reason, record.created_at) == (
            "w",
            1,
            old.fail_reason,
            old.record.created_at,
        )
    assert trials[0].constraints == {"size": -1.0}
    life.assert_sound()


def test_the_origin_is_left_as_it_was(life: Life) -> None:
    before = life.dump()
    fork(life)
    assert life.dump() == before


def test_a_fork_is_one_commit(life: Life) -> None:
    before = life.storage.commit_seconds()
    fork(life)
    assert len(life.storage.commit_seconds()) == len(before) + 1


def test_keys_do_not_go_along_since_they_led_to_other_trials(life: Life) -> None:
    assert life.trial(0).record.keys
    assert not any(TrialRecord.of(trial).keys for trial in fork(life))


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"x": {"type": "float", "low": 0.15, "high": 0.5}}, [2, 3]),
        ({"x": {"type": "float", "low": 0.2, "high": 2, "log": True}}, [1, 2, 3]),
        ({"n": {"type": "float", "low": 0.5, "high": 3}}, [0, 1, 2]),
        ({"n": {"type": "int", "low": 1, "high": 9, "step": 2}}, [0, 2, 3]),
        ({"n": {"type": "categorical", "choices": [1, 2, 9]}}, [0, 1, 3]),
        ({"c": {"type": "categorical", "choices": ["b", "c"]}}, [1, 3]),
        ({"c": {"type": "categorical", "choices": ["c"]}}, []),
        ({"x": None}, [0, 1, 2, 3]),
        ({"y": {"type": "float", "low": 0, "high": 1}}, [0, 1, 2, 3]),
    ],
)
def test_only_what_lies_in_the_present_space_is_taken(
    life: Life, changes: dict[str, Any], fits: list[int]
) -> None:
    assert numbered(fork(life, new=with_space(**changes))) == fits


def test_a_parameter_whose_condition_does_not_hold_shuts_its_trial_out(life: Life) -> None:
    conditional = {
        "c": SPACE["c"],
        "n": {**SPACE["n"], "when": {"c": "a"}},
        "m": {**SPACE["n"], "when": {"c": "b"}},
    }
    assert numbered(fork(life, new=spec(parameters=conditional))) == [0, 2]


def test_parameters_get_the_present_spaces_distributions(life: Life) -> None:
    new = with_space(
        x={"type": "float", "low": 0.05, "high": 1, "log": True},
        n={"type": "float", "low": 1, "high": 9},
        c={"type": "categorical", "choices": ["b", "a", "c"]},
    )
    trial, *_ = fork(life, new=new)
    assert trial.distributions == {
        "x": FloatDistribution(0.05, 1, log=True),
        "n": FloatDistribution(1, 9),
        "c": CategoricalDistribution(("b", "a", "c")),
    }
    assert trial.params == {"x": 0.1, "n": 1.0, "c": "a"}
    assert type(trial.params["n"]) is float


def test_a_parameter_that_the_space_does_not_know_is_kept_as_it_was(life: Life) -> None:
    trial, *_ = fork(life, new=with_space(n=None))
    assert trial.params["n"] == 1
    assert trial.distributions["n"] == IntDistribution(1, 9)


def objectives(life: Life, **new: str) -> list[list[float] | None]:
    found = fork(life, new=spec(objectives=new))
    return [trial.values for trial in found if trial.state == TrialState.COMPLETE]


def test_values_follow_their_objectives_names(new_life: NewLife) -> None:
    life = new_life(parameters=SPACE, objectives=TWO)
    life.ask("w")
    life.complete(0, 0.9, 12.5)
    life.ask("w")
    life.tell(1, "fail")
    assert objectives(life, latency="minimize", accuracy="maximize") == [[12.5, 0.9]]
    life2 = new_life(parameters=SPACE, objectives=TWO)
    life2.ask("w")
    life2.complete(0, 0.9, 12.5)
    assert objectives(life2, accuracy="minimize") == [[0.9]]


def test_renamed_objectives_keep_their_places_and_others_take_nothing_along(life: Life) -> None:
    assert objectives(life, loss="minimize") == [[1.5], [3.5]]
    source = origin(life)
    for other in ({"loss": "maximize"}, TWO):
        assert fitting_history(source, spec(objectives=other)) == []


def test_late_results_point_to_the_trials_they_are_of(new_life: NewLife, clock: Clock) -> None:
    life = new_life(parameters=SPACE, lease=10, max_attempts=1)
    life.ask("w", params={"x": 0.9})
    life.ask("w", params={"x": 0.1})
    clock.pass_(11)
    life.view()
    life.complete(1, 0.5)  # late: kept as trial 2
    life.complete(0, 0.5)  # late: kept as trial 3
    assert life.trial(2).trial.user_attrs == {"late_for": 1}
    trials = fork(life, new=with_space(x={"type": "float", "low": 0, "high": 0.5}))
    assert [(t.state.name, t.user_attrs) for t in trials] == [
        ("FAIL", {}),
        ("COMPLETE", {"late_for": 0}),
    ]
    assert TrialRecord.of(trials[0]).late == 1


def test_points_to_be_tried_first_are_queued_unless_they_were_tried(new_life: NewLife) -> None:
    life = new_life(parameters=SPACE, enqueue=[{"x": 0.25}, {"x": 0.75, "n": 2}])
    life.ask("w")
    life.complete(0, 1.0)
    one, other = fork(life)
    assert (one.state, other.state) == (TrialState.COMPLETE, TrialState.WAITING)
    assert other.system_attrs["fixed_params"] == {"x": 0.75, "n": 2}


def test_samplers_notes_go_along_only_where_they_are_true(life: Life) -> None:
    running = life.trial(4).trial
    with life.state.unit():
        life.state.update(running, system_attrs={"nsga2:generation": 2})
    life.complete(4, 1.0)
    same = fork(life, "same")
    assert same[4].system_attrs["nsga2:generation"] == 2
    other = fork(life, "other", with_space(n={"type": "int", "low": 1, "high": 20}))
    assert "nsga2:generation" not in other[4].system_attrs
    assert other[0].constraints == {"size": -1.0}


def test_what_was_set_by_hand_goes_along_with_the_same_specification(life: Life) -> None:
    life.change(limits={"max_trials": 50}, lease_seconds=[30.0], user_attrs={"team": "vision"})
    life.change(state="paused")
    source = origin(life)
    for new, limit, attrs in ((life.state.spec, 50, {"team": "vision"}), (spec(), None, {})):
        study_id = create_study(
            life.storage,
            f"to {limit}",
            new,
            life.clock.time(),
            new_id=lambda: "id",
            origin=source,
        )
        record = life.storage.get_study_system_attrs(study_id)["optunapi:study"]
        assert record["limits"].get("max_trials") == limit
        assert record["lease_seconds"] == ([30.0] if limit else [])
        assert record["state"] is None
        assert life.storage.get_study_user_attrs(study_id) == attrs


def test_a_template_shares_nothing_with_its_origin(life: Life) -> None:
    before = copy.deepcopy(life.dump()[0])
    for template in fitting_history(origin(life), life.state.spec):
        for part in (template.params, template.user_attrs, template.intermediate_values):
            part.clear()
    assert life.dump()[0] == before
