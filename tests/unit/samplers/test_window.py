"""The window of a long history: the best trials, in Optuna's order, and the newest."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers._tpe.sampler import _split_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.samplers.gp import windowed
from optunapi.engine.samplers.native.axes import Params
from optunapi.engine.samplers.native.window import TRIALS_PER_LEADER, Window
from optunapi.engine.samplers.ranking import BestOfSeveral, Rank, losses_of, violation_of
from tests.unit.samplers.support import spec_of, trial_of

LINE = {"x": {"type": "float", "low": 0, "high": 1}}
ONE = spec_of("tpe", LINE)
TWO = {"accuracy": "maximize", "latency": "minimize"}
LATER = 10**6  # a number to draw for that belongs to no trial yet
Fits = Callable[[Params], bool]


def window_of(n_best: int, n_newest: int | None, fits: Fits = lambda _: True) -> Window:
    return Window(ONE.directions, fits=fits, n_best=n_best, n_newest=n_newest)


def known(window: Window) -> set[int]:
    """The trial numbers in a new window."""
    return set(window.changes(LATER).added)


def running(number: int, params: Params | None = None) -> FrozenTrial:
    return trial_of(ONE, number, params or {"x": 0.5}, state=TrialState.RUNNING)


def random_trials(spec: Any, count: int, seed: int) -> list[FrozenTrial]:
    """Finished trials of every kind."""
    source = random.Random(seed)
    trials = []
    for number in range(count):
        more: dict[str, Any] = {}
        if source.random() < 0.3:
            more["system_attrs"] = {"constraints:c": source.uniform(-1, 1)}
        values = [source.choice((source.gauss(0, 1e3), math.inf)) for _ in spec.objectives]
        if len(values) == 1 and source.random() < 0.4:
            steps = range(source.choice((0, 1, 5, 5)))
            more["intermediate_values"] = {step: source.gauss(0, 1) for step in steps}
            more["state"], values = TrialState.PRUNED, []
        trials.append(trial_of(spec, number, {"x": source.random()}, *values, **more))
    return trials


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("seed", range(8))
def test_trials_come_in_the_order_in_which_optuna_takes_them_for_good(
    direction: Literal["minimize", "maximize"], seed: int
) -> None:
    spec = spec_of("tpe", LINE, direction=direction)
    trials = random_trials(spec, 40, seed)
    study = optuna.create_study(direction=direction)
    ordered = sorted(
        trials,
        key=lambda t: (violation_of(t, spec.directions), losses_of(t, spec.directions)),
    )
    for n_below in range(1, 40):
        below, _ = _split_trials(study, trials, n_below)
        places = [(violation_of(t, spec.directions), losses_of(t, spec.directions)) for t in below]
        last = ordered[n_below - 1]
        assert max(places) == (
            violation_of(last, spec.directions),
            losses_of(last, spec.directions),
        )


def test_a_pruned_trial_without_a_report_or_with_nan_comes_last_among_its_like() -> None:
    pruned = [
        trial_of(ONE, 0, {}, state=TrialState.PRUNED, intermediate_values=reports)
        for reports in ({3: 0.5}, {3: math.inf}, {3: math.nan}, {2: -9.0}, {2**60: 1.0}, {})
    ]
    order = [violation_of(trial, ONE.directions) for trial in pruned]
    assert order[4] < order[0] < order[1] == order[2] < order[3] < order[5]
    infeasible = trial_of(ONE, 0, {}, 0.0, system_attrs={"constraints:c": 1e-200})
    assert order[5] < violation_of(infeasible, ONE.directions)


def test_the_window_has_the_best_trials_and_the_newest_others() -> None:
    window = window_of(2, 3)
    losses = [5, 1, 6, 0, 7, 8, 9, 4]
    for number, loss in enumerate(losses):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, loss))
    assert known(window) == {1, 3, 5, 6, 7}
    assert window.n_finished == 8


def test_what_leaves_the_window_after_it_was_asked_is_is_removed() -> None:
    window = window_of(1, 2)
    for number in range(3):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, -number))
    assert known(window) == {0, 1, 2}
    window.replace(None, trial_of(ONE, 3, {"x": 0.5}, 9))
    changes = window.changes(LATER)
    assert (set(changes.added), list(changes.removed)) == ({3}, [0])
    assert not window.changes(LATER).added


def test_a_window_without_an_end_keeps_all() -> None:
    window = window_of(2, None)
    for number in range(500):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, number % 7))
    assert len(known(window)) == 500


def test_only_finished_trials_within_the_space_count_and_each_once() -> None:
    window = window_of(2, 3, fits=lambda params: params["x"] <= 1)
    running = trial_of(ONE, 0, {"x": 0.5}, state=TrialState.RUNNING)
    finished = trial_of(ONE, 0, {"x": 0.5}, 1.0)
    window.replace(None, running)
    window.replace(running, finished)
    window.replace(finished, trial_of(ONE, 0, {"x": 0.5}, 1.0, user_attrs={"a": 1}))
    window.replace(None, trial_of(ONE, 1, {"x": 0.5}, state=TrialState.FAIL))
    window.replace(None, trial_of(ONE, 2, {"x": 7}, 1.0))
    window.replace(None, trial_of(ONE, 3, {"x": 0.5}, state=TrialState.WAITING))
    assert (known(window), window.n_finished) == ({0}, 1)


def test_a_fixed_value_beyond_its_range_does_not_count_whatever_its_distribution_says() -> None:
    """Optuna accepts such values; trials read together share one set of distributions."""
    window = window_of(2, 3, fits=lambda params: params["x"] <= 1)
    inside = trial_of(ONE, 0, {"x": 0.5}, 1.0)
    beyond = trial_of(ONE, 1, {"x": 2.0}, 0.0, distributions=inside.distributions)
    window.replace(None, inside)
    window.replace(None, beyond)
    assert known(window) == {0}
    assert window.leaders(2) == [{"x": 0.5}]


def test_a_trial_that_ran_in_the_space_and_finished_beyond_it_does_not_count() -> None:
    window = window_of(2, 3, fits=lambda params: params["x"] <= 1)
    window.replace(None, running(0))
    window.replace(running(0), trial_of(ONE, 0, {"x": 2.0}, 0.0))
    assert (known(window), window.n_finished) == (set(), 0)


def test_one_running_trial_for_four_finished_counts_as_the_worst_and_the_newest_do() -> None:
    window = window_of(2, None)
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    for number in (11, 12, 13):
        window.replace(None, running(number))
    added = window.changes(LATER).added
    assert set(added) == {*range(8), 12, 13}
    assert max(added.values(), key=lambda each: each[1])[1] == (0.0, (math.inf,), 13)


def test_a_running_trial_that_finishes_takes_its_own_place() -> None:
    window = window_of(1, 3)
    for number in range(4):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0 + number))
    window.replace(None, running(4))
    assert known(window) == {0, 1, 2, 3}, "three newest are too few for a running one"
    window = window_of(1, 4)
    for number in range(4):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0 + number))
    window.replace(None, running(4))
    assert known(window) == {0, 1, 2, 3, 4}
    window.replace(running(4), trial_of(ONE, 4, {"x": 0.5}, 0.0))
    changes = window.changes(LATER)
    assert (list(changes.added), list(changes.removed)) == ([4], [])
    assert changes.added[4][1].losses == (0.0,)


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.WAITING])
def test_a_running_trial_that_ends_without_a_result_leaves(state: TrialState) -> None:
    window = window_of(1, 4)
    for number in range(4):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.replace(None, running(4))
    assert 4 in known(window)
    window.replace(running(4), trial_of(ONE, 4, {"x": 0.5}, state=state))
    assert list(window.changes(LATER).removed) == [4]


def test_a_running_trial_that_finishes_too_bad_for_the_window_leaves() -> None:
    window = window_of(1, 4)
    for number in range(5, 13):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.replace(None, running(2))
    assert 2 in known(window)
    window.replace(running(2), trial_of(ONE, 2, {"x": 0.5}, 9.0))
    assert 2 in window.changes(LATER).removed


def test_a_trial_that_is_to_be_made_counts_as_running_but_not_for_its_own_draw() -> None:
    window = window_of(1, None)
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.expect(8, {"x": 0.25})
    assert set(window.changes(8).added) == set(range(8))
    assert window.changes(9).added[8][0] == {"x": 0.25}
    window.replace(None, running(8, {"x": 0.75}))
    changes = window.changes(9)
    assert changes.added[8][0] == {"x": 0.75}
    assert list(changes.removed) == []
    window.replace(None, running(8, {"x": 0.75}))
    assert not window.changes(9).added
    assert list(window.changes(8).removed) == [8]


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL])
def test_what_was_drawn_for_a_number_that_another_trial_got_is_not_running(
    state: TrialState,
) -> None:
    """The slower of two concurrent asks draws for a number that is already taken."""
    window = window_of(1, None)
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    values = [2.0] if state == TrialState.COMPLETE else []
    window.replace(None, trial_of(ONE, 8, {"x": 0.75}, *values, state=state))
    window.expect(8, {"x": 0.25})
    changes = window.changes(9)
    assert {params["x"] for params, _ in changes.added.values()} <= {0.5, 0.75}
    assert changes.running == ({8} if state == TrialState.RUNNING else set())


def test_what_no_trial_is_made_of_does_not_count_as_running_any_more() -> None:
    window = window_of(1, None)
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.replace(None, trial_of(ONE, 8, {}, state=TrialState.WAITING))
    for number in (8, 9):
        window.expect(number, {"x": 0.25})
    assert window.changes(LATER).running == {8, 9}
    for number in (8, 9):
        window.forget(number)
    assert window.changes(LATER).running == set()
    window.replace(None, running(9))
    window.forget(9)  # another request drew for the same number
    assert window.changes(LATER).running == {9}


def test_what_is_drawn_for_a_waiting_trial_counts_as_running() -> None:
    window = window_of(1, None)
    waiting = trial_of(ONE, 8, {}, state=TrialState.WAITING)
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.replace(None, waiting)
    assert window.changes(9).running == set()
    window.expect(8, {"x": 0.25})
    assert window.changes(9).running == {8}
    window.replace(waiting, trial_of(ONE, 8, {"x": 0.25}, 1.0))
    window.expect(8, {"x": 0.35})
    assert window.changes(9).running == set()


def test_without_lies_running_trials_say_nothing() -> None:
    window = Window(
        ONE.directions, fits=lambda _: True, n_best=1, n_newest=None, constant_liar=False
    )
    for number in range(8):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, 1.0))
    window.replace(None, running(8))
    assert known(window) == set(range(8))


def test_the_best_trial_leads_and_none_of_several_objectives() -> None:
    window = window_of(1, 4)
    assert not window.leaders(0)
    for number, (x, loss) in enumerate([(0.1, 3.0), (0.2, 1.0), (0.3, 1.0), (0.4, 2.0)]):
        window.replace(None, trial_of(ONE, number, {"x": x}, loss))
    assert window.leaders(4) == [{"x": 0.2}]
    spec = spec_of("tpe", LINE, objectives=TWO)
    window = Window(spec.directions, fits=lambda _: True, n_best=1, n_newest=None)
    window.replace(None, trial_of(spec, 0, {"x": 0.5}, 1.0, 1.0))
    assert not window.leaders(1)


@pytest.mark.parametrize("n_newest", [5, None])
def test_the_longer_there_is_no_better_one_the_more_trials_lead(n_newest: int | None) -> None:
    window = window_of(3, n_newest)
    window.replace(None, trial_of(ONE, 0, {"x": 0.0}, 9.0))
    for number in range(1, 5):
        window.replace(None, trial_of(ONE, number, {"x": number / 10}, float(number)))
    order = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}]
    one_more = 1 + TRIALS_PER_LEADER
    assert window.leaders(one_more - 1) == order[:1]
    assert window.leaders(one_more) == order[:2]
    assert window.leaders(one_more + TRIALS_PER_LEADER) == order
    assert window.leaders(100 * TRIALS_PER_LEADER) == order, "no more than the best that are kept"
    window.replace(None, trial_of(ONE, 99, {"x": 0.9}, 0.5))
    assert window.leaders(100) == [{"x": 0.9}]
    window.replace(None, trial_of(ONE, 100, {"x": 0.8}, 5.0))
    assert window.leaders(1000) == [{"x": 0.9}, *order[:2]]


def test_running_trials_and_as_many_again_did_not_know_of_the_best_trial() -> None:
    window = window_of(3, None)
    for number in range(3):
        window.replace(None, trial_of(ONE, number, {"x": 0.5}, float(number)))
    for number in range(3, 8):
        window.replace(None, running(number))
    drawn = 2 * TRIALS_PER_LEADER + 9
    assert len(window.leaders(drawn)) == 2
    assert len(window.leaders(drawn + 1)) == 3
    window.expect(drawn, {"x": 0.5})
    assert len(window.leaders(drawn + 1)) == 2
    window.expect(drawn + 1, {"x": 0.5})
    assert len(window.leaders(drawn + 2)) == 2
    assert len(window.leaders(drawn + 1)) == 2, "drawn again, it is none of those that run"
    window.replace(running(drawn), trial_of(ONE, drawn, {"x": 0.5}, 9.0))
    assert len(window.leaders(drawn + 1)) == 3


@pytest.mark.parametrize("seed", range(3))
def test_which_trials_lead_does_not_depend_on_who_finished_first(seed: int) -> None:
    trials = random_trials(ONE, 60, seed)
    windows = [window_of(4, 10), window_of(4, 10)]
    for window, order in zip(windows, (trials, trials[::-1]), strict=True):
        for trial in order:
            window.replace(None, trial)
    for number in (60, 90, 150):
        assert windows[0].leaders(number) == windows[1].leaders(number)


def dominated(rank: Rank, by: Sequence[Rank]) -> bool:
    return any(
        other.violation < rank.violation
        or (
            other.violation == rank.violation
            and other.losses != rank.losses
            and all(a <= b for a, b in zip(other.losses, rank.losses, strict=True))
        )
        for other in by
    )


@pytest.mark.parametrize("seed", range(5))
def test_of_several_objectives_what_leaves_is_never_better_than_what_stays(seed: int) -> None:
    source = random.Random(seed)
    ranks = [
        Rank(
            source.choice((0.0, 0.0, 1.0)),
            (source.choice((source.random(), math.inf)), source.random()),
            number,
        )
        for number in range(300)
    ]
    best = BestOfSeveral(10)
    removed: set[int] = set()
    for rank in ranks:
        removed.update(best.add(rank))
        assert 10 <= rank.number + 1 - len(removed) <= 20 or rank.number < 10
    stay = [rank for rank in ranks if rank.number not in removed]
    front = [rank for rank in ranks if not dominated(rank, ranks)]
    assert len(front) > 10 or all(rank in stay for rank in front)
    for rank in stay:
        assert not dominated(rank, [e for e in ranks if e.number in removed]) or len(front) < 10


def test_the_least_crowded_trials_of_a_front_stay() -> None:
    best = BestOfSeveral(3)
    line = [(0.0, 1.0), (0.48, 0.52), (0.5, 0.5), (0.51, 0.49), (0.52, 0.48), (0.9, 0.1)]
    removed: list[int] = []
    for number, losses in enumerate([*line, (1.0, 0.0)]):
        removed.extend(best.add(Rank(0.0, losses, number)))
    assert {0, 6} <= set(range(7)) - set(removed)
    assert len(removed) == 4


@pytest.mark.parametrize("more", [{}, {"objectives": TWO}])
def test_of_a_long_history_the_newest_and_the_best_are_seen(more: dict[str, Any]) -> None:
    spec = spec_of("tpe", LINE, **more)
    n = len(spec.objectives)
    trials = [trial_of(spec, number, {"x": 0.5}, *[1.0] * n) for number in range(300)]
    best = [1.0, -9.0] if n == 2 else [-9.0]
    trials[17] = trial_of(spec, 17, {"x": 0.5}, *best)
    trials[30] = trial_of(spec, 30, {"x": 0.5}, state=TrialState.RUNNING)
    seen = windowed(trials, spec.directions, 80)
    numbers = [trial.number for trial in seen]
    assert numbers == sorted(numbers)
    assert {17, 30, *range(240, 300)} <= set(numbers)
    assert len(numbers) <= 81 + (20 if n == 2 else 0)
    assert windowed(trials[:80], spec.directions, 80) == trials[:80]
    assert windowed(trials, spec.directions, None) == trials


def test_both_directions_count_for_what_they_are() -> None:
    directions = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE)
    spec = spec_of("tpe", LINE, objectives=TWO)
    assert losses_of(trial_of(spec, 0, {"x": 0.5}, 3.0, 4.0), directions) == (-3.0, 4.0)
