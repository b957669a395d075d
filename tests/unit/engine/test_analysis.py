"""A study's summary, and the importances of its parameters."""

import math
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from optunapi.engine.reports.importances import Importances, importances_of
from optunapi.engine.reports.snapshot import Snapshot
from optunapi.engine.reports.summary import MAX_CURVE_POINTS, Summary, summarise
from optunapi.engine.spec.read import spec_from_mapping
from optunapi.errors import RequestInvalid
from tests.unit.engine.conftest import NewLife
from tests.unit.engine.support import LINE, Clock, Life, done

MINIMIZE, MAXIMIZE = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
TWO = {"accuracy": "maximize", "latency": "minimize"}
UNIT = FloatDistribution(0, 1)


def summary(life: Life) -> Summary:
    return summarise(done(life.study.snapshot()))


def test_an_unasked_study_has_no_figures() -> None:
    spec = spec_from_mapping({"parameters": dict(LINE)})
    found = summarise(Snapshot(study="study", spec=spec))
    assert (found.completion_rate, found.mean_duration, found.best_curve) == (None, None, [])
    assert (found.time_to_best, found.trials_to_best, found.storage_latency) == (None, None, None)
    assert (found.failures_by_reason, found.workers, found.cost_total) == ({}, [], 0.0)


def test_rates_are_shares_of_the_finished_trials(new_life: NewLife) -> None:
    life = new_life()
    for number in range(8):
        life.ask("w", user_attrs={"cost": 0.1})
        if number < 4:
            life.complete(number, float(number))
    life.tell(4, "pruned", 1.0)
    life.tell(5, "fail", reason="oom")
    life.tell(6, "fail")
    found = summary(life)
    assert found.completion_rate == 4 / 7
    assert found.prune_rate == 1 / 7
    assert found.failure_rate == 2 / 7
    assert found.failures_by_reason == {"oom": 1, "unknown": 1}
    assert found.cost_total == 0.8


def test_many_reasons_are_counted_together(new_life: NewLife) -> None:
    life = new_life()
    for number in range(105):
        life.ask("w")
        life.tell(number, "fail", reason="oom" if number < 3 else f"reason {number}")
    found = summary(life).failures_by_reason
    assert (found["oom"], found["others"], sum(found.values())) == (3, 3, 105)


def test_durations_are_those_of_the_complete_trials(new_life: NewLife, clock: Clock) -> None:
    life = new_life()
    for number, seconds in enumerate((10, 20, 60)):
        life.ask("w")
        clock.pass_(seconds)
        life.complete(number, 1.0)
    life.ask("w")
    clock.pass_(1000)
    life.tell(3, "fail")
    found = summary(life)
    assert (found.mean_duration, found.median_duration) == (30.0, 20.0)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_curve_has_every_improvement_in_the_order_of_time(
    new_life: NewLife, clock: Clock, direction: str
) -> None:
    life = new_life(direction=direction)
    sign = 1 if direction == "minimize" else -1
    begin = clock.wall
    for _ in range(7):
        life.ask("w")
    told = [(3, 5.0), (0, 6.0), (6, 4.0), (1, 1.0), (2, 4.0), (4, 2.0)]
    for number, value in told:
        clock.pass_(10)
        life.complete(number, sign * value, constraints={"c": 1.0 if number == 1 else 0.0})
    curve = summary(life).best_curve
    assert [(p.number, p.value) for p in curve] == [
        (3, sign * 5.0),
        (6, sign * 4.0),
        (4, sign * 2.0),
    ]
    assert [p.finished_at - begin for p in curve] == [10, 30, 60]
    assert (summary(life).time_to_best, summary(life).trials_to_best) == (60.0, 5)


def test_a_long_curve_is_thinned_and_keeps_its_ends(new_life: NewLife, clock: Clock) -> None:
    life = new_life()
    start = datetime.fromtimestamp(clock.wall)
    with life.state.unit():
        for number in range(1201):
            trial = create_trial(params={"x": 0.5}, distributions={"x": UNIT}, value=-float(number))
            trial.datetime_start = start
            trial.datetime_complete = start + timedelta(seconds=number)
            life.storage.add_trial(life.id, trial)
    life.restart()
    curve = summary(life).best_curve
    assert len(curve) == MAX_CURVE_POINTS
    assert (curve[0].number, curve[-1].number) == (0, 1200)
    assert all(a.value > b.value for a, b in pairwise(curve))


def test_infinite_values_are_not_on_the_curve(new_life: NewLife) -> None:
    life = new_life()
    life.storage.create_new_trial(
        life.id, create_trial(params={"x": 0.5}, distributions={"x": UNIT}, value=-math.inf)
    )
    life.restart()
    assert summary(life).best_curve == []


def test_several_objectives_have_no_single_way_to_the_best(new_life: NewLife) -> None:
    life = new_life(objectives=TWO)
    life.ask("w")
    life.complete(0, 1.0, 2.0)
    found = summary(life)
    assert (found.best_curve, found.time_to_best, found.trials_to_best) == ([], None, None)
    assert found.completion_rate == 1.0


def test_workers_are_named_with_what_they_run_and_when_they_were_heard_of(
    new_life: NewLife, clock: Clock
) -> None:
    life = new_life()
    begin = clock.wall
    life.ask("a")
    held = life.ask("b", lease_seconds=60)
    life.ask("b")
    life.ask()
    clock.pass_(20)
    life.complete(0, 1.0)
    clock.pass_(10)
    life.renew(1, held.held.id)
    clock.pass_(5)
    found = [(w.name, w.running, w.last_seen) for w in summary(life).workers]
    assert found == [("a", 0, begin + 20), ("b", 2, begin + 30)]


def test_the_latency_is_of_the_commits_that_were_made(new_life: NewLife) -> None:
    life = new_life()
    for _ in range(20):
        life.ask("w")
    found, seconds = summary(life).storage_latency, life.storage.commit_seconds()
    assert found is not None
    assert min(seconds) <= found.p50 <= found.p99 <= max(seconds)


# Importances


def trials(*values: Any, n: int = 40) -> list[FrozenTrial]:
    """Trials in which `x` decides the value, and `y` does not."""
    found = []
    for number in range(n):
        x, y = number / n, (number * 7 % n) / n
        objectives = [x if value == "x" else y if value == "y" else value for value in values]
        found.append(
            create_trial(
                params={"x": x, "y": y}, distributions={"x": UNIT, "y": UNIT}, values=objectives
            )
        )
        found[-1]._trial_id = number
    return found


def test_the_parameter_that_decides_the_value_is_the_most_important() -> None:
    found = importances_of(trials("x"), 0, MINIMIZE)
    assert list(found) == ["x", "y"]
    assert found["x"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("direction", [MINIMIZE, MAXIMIZE])
def test_importances_are_optunas(direction: StudyDirection) -> None:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials("x"))
    expected = optuna.importance.get_param_importances(study)
    assert importances_of(trials("x"), 0, direction) == pytest.approx(expected)


def test_each_objective_has_importances_of_its_own() -> None:
    both = trials("x", "y")
    assert next(iter(importances_of(both, 0, MAXIMIZE))) == "x"
    assert next(iter(importances_of(both, 1, MAXIMIZE))) == "y"
    assert importances_of(both, 1, MAXIMIZE) == importances_of(trials("y"), 0, MAXIMIZE)


@pytest.mark.parametrize(
    "few", [trials("x", n=1), trials(2.5), trials(math.inf), [], trials("x", n=2)[:1]]
)
def test_nothing_is_said_of_too_few_trials_or_one_value(few: list[FrozenTrial]) -> None:
    assert importances_of(few, 0, MINIMIZE) == {}


def test_two_trials_are_enough() -> None:
    assert set(importances_of(trials("x", n=2), 0, MINIMIZE)) == {"x", "y"}


def test_a_parameter_that_few_trials_have_raises_no_warning() -> None:
    found = trials("x")
    found[0].params["z"], found[0].distributions["z"] = 0.5, UNIT
    assert importances_of(found, 0, MINIMIZE)["z"] == 0


def test_trials_without_parameters_say_nothing() -> None:
    assert importances_of([create_trial(value=1.0), create_trial(value=2.0)], 0, MINIMIZE) == {}


def test_importances_are_made_once_for_each_number_of_complete_trials() -> None:
    kept = Importances()
    first = kept.of(trials("x"), 0, MINIMIZE, 40)
    assert kept.of(trials("y"), 0, MINIMIZE, 40) is first
    assert kept.of(trials("y"), 0, MINIMIZE, 41) != first


def test_a_study_gives_those_of_its_first_objective_unless_another_is_named(
    new_life: NewLife,
) -> None:
    space = {"x": LINE["x"], "y": LINE["x"]}
    life = new_life(parameters=space, objectives=TWO)

    def finish(count: int) -> None:
        for _ in range(count):
            trial = life.ask("w")
            life.complete(trial.number, trial.params["x"], trial.params["y"])

    finish(1)
    assert done(life.study.importances(None)) == {}
    finish(39)
    first = done(life.study.importances(None))
    assert first == done(life.study.importances("accuracy"))
    assert max(first, key=lambda name: first[name]) == "x"
    latency = done(life.study.importances("latency"))
    assert max(latency, key=lambda name: latency[name]) == "y"
    finish(1)
    assert done(life.study.importances(None)) != first
    with pytest.raises(RequestInvalid, match="accuracy, latency"):
        life.study.importances("size")
