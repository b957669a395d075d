"""Each `Rule` decides and stores the same as Optuna's own pruner."""

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.pruners.make import make_rule
from optunapi.engine.pruners.registry import PRUNERS, make_pruner
from optunapi.engine.pruners.sorted_values import SortedValues
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.spec.read import spec_from_mapping
from tests.support import scaled

optuna.logging.set_verbosity(optuna.logging.WARNING)

NAME = "a-study"
Direction = Literal["minimize", "maximize"]
RUNNING, COMPLETE = TrialState.RUNNING, TrialState.COMPLETE


class Twin:
    """One study pruned by Optuna and by us, which must agree at every report.

    Both get the same reports. Optuna's study holds the history; ours sees its trials change one by one.
    """

    def __init__(self, pruner: Any, direction: Direction = "minimize") -> None:
        self.spec = spec_from_mapping({"pruner": pruner, "parameters": {}, "direction": direction})
        self.storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=NAME,
            direction=direction,
            pruner=make_pruner(self.spec.pruner),
        )
        self.running: list[optuna.Trial] = []
        self.restart()

    def restart(self) -> None:
        """Rebuild both from the existing history, as after a restart of the process."""
        self.study.pruner = make_pruner(self.spec.pruner)
        self.rule = make_rule(
            self.spec.pruner, self.spec.directions, study_name=NAME, best_trial=self.best
        )
        for trial in self.study.get_trials(deepcopy=False):
            self.rule.replace(None, trial)

    def best(self) -> FrozenTrial | None:
        try:
            return self.study.best_trial
        except ValueError:
            return None

    def frozen(self, trial: optuna.Trial) -> FrozenTrial:
        return self.storage.get_trial(trial._trial_id)

    def ask(self) -> optuna.Trial:
        trial = self.study.ask()
        self.rule.replace(None, self.frozen(trial))
        self.running.append(trial)
        return trial

    def report(self, trial: optuna.Trial, value: float, step: int) -> bool:
        """The decision of both; ours must store the same attributes as Optuna's."""
        before = self.frozen(trial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's, of a repeated step
            trial.report(value, step)
        reported = self.frozen(trial)
        self.rule.replace(before, reported)
        found = self.rule.decide(reported)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's and NumPy's, of NaN and steps not shared
            expected = trial.should_prune()
        noted = self.frozen(trial)
        self.rule.replace(reported, noted)
        known = reported.system_attrs
        notes = {k: v for k, v in noted.system_attrs.items() if k not in known}
        assert (found.prune, dict(found.notes)) == (bool(expected), notes)
        return found.prune

    def tell(self, trial: optuna.Trial, state: TrialState, value: float = 0.0) -> None:
        before = self.frozen(trial)
        self.study.tell(trial, value if state == COMPLETE else None, state=state)
        self.rule.replace(before, self.frozen(trial))
        self.running.remove(trial)

    def hand_on(self, trial: optuna.Trial) -> optuna.Trial:
        """Hand the trial on to another worker: its reports are cleared."""
        before = self.frozen(trial)
        cleared = copy.copy(before)
        cleared.intermediate_values = {}
        self.storage._set_trial(trial._trial_id, cleared)
        self.rule.replace(before, cleared)
        self.running.remove(trial)
        self.running.append(optuna.Trial(self.study, trial._trial_id))
        return self.running[-1]

    def add(self, state: TrialState, reports: Mapping[int, float], value: float = 0.0) -> None:
        """A trial that was made elsewhere."""
        self.study.add_trial(
            optuna.create_trial(
                state=state,
                value=value if state == COMPLETE else None,
                intermediate_values=dict(reports),
            )
        )
        self.rule.replace(None, self.study.get_trials(deepcopy=False)[-1])

    def train(self, *reports: float, state: TrialState = COMPLETE) -> list[bool]:
        """A whole trial that reports at steps 0, 1, 2 … and goes on even if it should stop."""
        trial = self.ask()
        decisions = [self.report(trial, value, step) for step, value in enumerate(reports)]
        self.tell(trial, state, value=reports[-1] if reports else 0.0)
        return decisions


# Any pruner with any of its arguments.

directions: st.SearchStrategy[Direction] = st.sampled_from(["minimize", "maximize"])
counts, few = st.integers(0, 3), st.integers(1, 3)
levels = st.integers(-4, 8).map(float) | st.floats(-5, 9)


def arguments(name: str, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"name": st.just(name)}, optional=given)


def auto_or(
    name: str, auto: Mapping[str, Any], given: Mapping[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Halving's arguments: `bootstrap_count` needs a resource other than "auto"."""
    return arguments(name, **auto) | st.fixed_dictionaries({"name": st.just(name), **given})


by_percentile = {
    "n_startup_trials": counts,
    "n_warmup_steps": counts,
    "interval_steps": few,
    "n_min_trials": few,
}
halving = {"reduction_factor": st.integers(2, 4), "min_early_stopping_rate": st.integers(0, 2)}
plain: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "none": arguments("none"),
    "median": arguments("median", **by_percentile),
    "percentile": st.fixed_dictionaries(
        {"name": st.just("percentile"), "percentile": st.floats(0, 100)}, optional=by_percentile
    ),
    "threshold": st.fixed_dictionaries(
        {"name": st.just("threshold"), "lower": st.floats(-2, 1)},
        optional={"upper": st.floats(2, 5), "n_warmup_steps": counts, "interval_steps": few},
    ),
    "successive-halving": auto_or(
        "successive-halving",
        halving,
        {**halving, "min_resource": st.integers(1, 4), "bootstrap_count": counts},
    ),
    "hyperband": auto_or(
        "hyperband",
        {"min_resource": few, "reduction_factor": st.integers(2, 4)},
        {
            "min_resource": few,
            "max_resource": st.integers(3, 30),
            "reduction_factor": st.integers(2, 4),
            "bootstrap_count": counts,
        },
    ),
    "wilcoxon": arguments(
        "wilcoxon", p_threshold=st.floats(0, 1), n_startup_steps=st.integers(0, 4)
    ),
}
wrapped = st.one_of(*plain.values())
kinds = plain | {
    "patient": st.fixed_dictionaries(
        {"name": st.just("patient"), "patience": counts},
        optional={"min_delta": st.floats(0, 2), "wrapped": wrapped},
    )
}

# Any history: an event and the running trial it happens to.

values = levels | st.sampled_from([math.nan, math.inf, -math.inf])
steps = st.integers(0, 9) | st.integers(0, 40) | st.sampled_from([199, 250, 420])
reports = st.tuples(st.just("report"), st.integers(0, 5), levels, steps)
events = st.one_of(
    st.just(("ask",)),
    reports,
    reports,
    reports,
    st.tuples(st.just("report"), st.integers(0, 5), values, steps),
    st.tuples(
        st.just("tell"),
        st.integers(0, 5),
        st.sampled_from([COMPLETE, COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
        levels,
    ),
    st.tuples(st.just("hand_on"), st.integers(0, 5)),
    st.just(("restart",)),
)
elsewhere = st.tuples(
    st.sampled_from([COMPLETE, COMPLETE, TrialState.PRUNED, TrialState.FAIL, RUNNING]),
    st.dictionaries(steps, levels | values, max_size=12),
    levels,
)


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=scaled(60, 2000), deadline=None)
@given(data=st.data())
def test_every_decision_and_note_is_optunas_whatever_happened_before(
    name: str, data: st.DataObject
) -> None:
    twin = Twin(data.draw(kinds[name]), data.draw(directions))
    for state, made, value in data.draw(st.lists(elsewhere, max_size=8)):
        twin.add(state, made, value)
    for what, *details in data.draw(st.lists(events, max_size=60)):
        if what == "restart":
            twin.restart()
        elif what == "ask" or not twin.running:
            twin.ask()
        else:
            trial = twin.running[details.pop(0) % len(twin.running)]
            getattr(twin, what)(trial, *details)


@pytest.mark.parametrize("name", PRUNERS)
@settings(max_examples=scaled(30, 1000), deadline=None)
@given(data=st.data())
def test_trials_that_train_side_by_side_are_pruned_when_optuna_prunes_them(
    name: str, data: st.DataObject
) -> None:
    twin = Twin(data.draw(kinds[name]), data.draw(directions))
    n_trials, n_steps = data.draw(st.integers(2, 8)), data.draw(st.integers(1, 12))
    curves = st.lists(levels, min_size=n_steps, max_size=n_steps)
    trials = [(twin.ask(), iter(enumerate(data.draw(curves)))) for _ in range(n_trials)]
    while trials:
        trial, curve = trials.pop(data.draw(st.integers(0, len(trials) - 1)))
        for step, value in curve:
            if twin.report(trial, value, step):
                twin.tell(trial, TrialState.PRUNED)
                break
            if data.draw(st.booleans()):
                trials.append((trial, curve))
                break
        else:
            twin.tell(trial, COMPLETE, value=data.draw(levels))


@pytest.mark.filterwarnings("ignore")  # NumPy's, of differences between infinities
@settings(max_examples=scaled(300, 10000), deadline=None)
@given(
    found=st.lists(st.floats(allow_nan=False) | levels | st.just(math.nan), min_size=1),
    percentile=st.floats(0, 100) | st.sampled_from([0.0, 25.0, 50.0, 75.0, 100.0]),
    n_first=st.integers(0, 100),
)
@example(found=[-1e308, 1e308], percentile=50.0, n_first=0)
@example(found=[*map(float, range(20)), 3.5, 0.5], percentile=30.0, n_first=20)
def test_a_percentile_is_exactly_numpys_whenever_values_were_added(
    found: list[float], percentile: float, n_first: int
) -> None:
    import numpy as np

    column = SortedValues()
    for value in found[:n_first]:
        column.add(value)
    column.percentile(percentile)
    for value in found[n_first:]:
        column.add(value)
    expected = float(np.nanpercentile(np.array(found), percentile))
    assert column.percentile(percentile) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert len(column) == len(found)


# Single cases that the histories above contain.


def test_the_median_looks_at_complete_trials_only() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 0})
    for state in (RUNNING, TrialState.PRUNED, TrialState.FAIL):
        twin.add(state, {0: 1.0})
    assert twin.train(9.0) == [False]
    twin.train(1.0)
    twin.train(1.0)
    assert twin.train(9.0) == [True]


def test_nothing_is_pruned_before_any_trial_is_complete_not_even_nan() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 0})
    assert twin.train(math.nan, state=TrialState.FAIL) == [False]


def test_the_median_of_two_lies_between_them() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 2})
    twin.train(1.0)
    twin.train(2.0)
    assert twin.train(1.495, state=TrialState.FAIL) == [False]
    assert twin.train(1.505, state=TrialState.FAIL) == [True]


def test_trials_without_reports_count_towards_the_start_but_not_at_a_step() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 2, "n_min_trials": 2})
    twin.train(1.0)
    assert twin.train(9.0) == [False]  # one complete trial
    twin = Twin({"name": "median", "n_startup_trials": 3, "n_min_trials": 2})
    twin.train()
    twin.train()
    twin.train(1.0)
    assert twin.train(9.0) == [False]  # three, of which one has reported here
    assert twin.train(9.0) == [True]


def test_a_complete_trial_that_is_changed_again_counts_once() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 1, "n_min_trials": 2})
    twin.train(1.0)
    (complete,) = twin.study.get_trials(deepcopy=False)
    twin.rule.replace(complete, copy.copy(complete))
    assert twin.train(9.0) == [False]


def test_a_later_report_at_an_earlier_step_does_not_move_the_trial_back() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 1})
    twin.train(5.0, 1.0, 1.0)
    trial = twin.ask()
    assert twin.report(trial, 2.0, 2)
    assert twin.report(trial, 3.0, 0)  # though it is better than the median at 0
    assert not twin.report(trial, 0.5, 1)


def test_the_same_step_twice_keeps_the_first_value() -> None:
    twin = Twin({"name": "threshold", "upper": 1.0})
    trial = twin.ask()
    assert twin.report(trial, 2.0, 0)
    assert twin.report(trial, 0.0, 0)


def test_a_trial_of_nan_alone_is_pruned_and_nan_of_others_is_no_value_but_a_report() -> None:
    twin = Twin({"name": "median", "n_startup_trials": 1, "n_min_trials": 2})
    twin.add(COMPLETE, {0: math.nan})
    assert twin.train(math.nan, state=TrialState.PRUNED) == [True]
    assert twin.train(9.0) == [False]  # one report
    assert twin.train(9.5) == [True]  # two reports, and a median of 9


def test_a_trial_handed_on_is_judged_by_its_new_reports_but_keeps_the_rung_it_reached() -> None:
    twin = Twin({"name": "successive-halving", "min_resource": 1, "reduction_factor": 2})
    for _ in range(2):
        twin.train(5.0, 5.0, 5.0)
    trial = twin.ask()
    assert not twin.report(trial, 1.0, 1)
    trial = twin.hand_on(trial)
    assert not twin.report(trial, 9.0, 1)  # rung 0 was won with these parameters
    assert twin.report(trial, 9.0, 2)
    twin = Twin({"name": "median", "n_startup_trials": 1})
    twin.train(5.0)
    trial = twin.ask()
    assert not twin.report(trial, 1.0, 0)
    assert twin.report(twin.hand_on(trial), 9.0, 0)


def test_halving_notes_every_rung_it_passes_and_the_one_it_loses_at_as_optuna_does() -> None:
    twin = Twin({"name": "successive-halving", "min_resource": 1, "reduction_factor": 2})
    trial = twin.ask()
    assert not twin.report(trial, 2.0, 4)
    assert [f"completed_rung_{rung}" for rung in range(3)] == list(twin.frozen(trial).system_attrs)
    loser = twin.ask()
    assert twin.report(loser, 3.0, 4)
    assert twin.frozen(loser).system_attrs == {"completed_rung_0": 3.0}


def test_failed_pruned_and_running_trials_compete_in_a_rung() -> None:
    for state in (TrialState.PRUNED, TrialState.FAIL, None):
        twin = Twin({"name": "successive-halving", "min_resource": 1, "reduction_factor": 2})
        winner = twin.ask()
        assert not twin.report(winner, 1.0, 1)
        if state is not None:
            twin.tell(winner, state)
        trial = twin.ask()
        assert twin.report(trial, 2.0, 1)


def test_the_better_part_of_a_rung_is_promoted_the_newcomer_counted_in() -> None:
    twin = Twin({"name": "successive-halving", "min_resource": 1, "reduction_factor": 2})
    for value in (1.0, 5.0, 5.0):
        twin.report(twin.ask(), value, 1)
    assert not twin.report(twin.ask(), 3.0, 1)  # the second of four
    assert twin.report(twin.ask(), 4.0, 1)  # the third of five


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_an_equal_value_is_as_good_as_the_one_that_came_first(direction: Direction) -> None:
    halving = {"name": "successive-halving", "min_resource": 1, "reduction_factor": 2}
    twin = Twin(halving, direction)
    assert [twin.report(twin.ask(), 5.0, 1) for _ in range(5)] == [False] * 5


def test_a_rung_is_filled_before_anybody_leaves_it_where_it_has_to_be() -> None:
    twin = Twin({"name": "successive-halving", "min_resource": 1, "bootstrap_count": 2})
    assert [twin.report(twin.ask(), value, 1) for value in (3.0, 2.0, 1.0)] == [True, True, False]


def test_an_automatic_resource_is_found_once_and_again_after_a_restart() -> None:
    twin = Twin({"name": "successive-halving", "reduction_factor": 2})
    twin.add(COMPLETE, {496: 1.0})
    trial = twin.ask()
    assert not twin.report(trial, 1.0, 3)
    assert not twin.frozen(trial).system_attrs  # rung 0 is at step 4
    twin.add(COMPLETE, {850: 1.0})
    twin.add(COMPLETE, {3: 1.0})
    assert not twin.report(trial, 1.0, 4)
    assert "completed_rung_0" in twin.frozen(trial).system_attrs
    twin.restart()
    late = twin.ask()
    assert not twin.report(late, 9.0, 7)
    assert not twin.frozen(late).system_attrs  # now it is at step 8


def test_hyperband_lets_a_trial_compete_in_its_own_bracket_only() -> None:
    twin = Twin({"name": "hyperband", "min_resource": 1, "max_resource": 9})
    decided = [twin.report(twin.ask(), float(number), 1) for number in range(30)]
    ranks = [len(twin.frozen(trial).system_attrs) for trial in twin.running]
    # Later brackets first judge at step 3 or 9, so their trials have no attributes yet.
    assert {True, False} == set(decided)
    assert {0, 1} == set(ranks)
    assert not any(pruned for pruned, rank in zip(decided, ranks, strict=True) if rank == 0)


def test_hyperband_knows_the_rungs_noted_before_its_brackets_were() -> None:
    spec = {"name": "hyperband", "min_resource": 1}
    twin = Twin(spec)
    twin.add(COMPLETE, {8: 1.0})
    for number in range(30):
        twin.report(twin.ask(), float(-number), 1)
    twin.restart()
    assert any(twin.report(twin.ask(), 100.0, 1) for _ in range(10))


def test_hyperband_with_trials_shorter_than_its_least_resource_never_prunes() -> None:
    twin = Twin({"name": "hyperband", "min_resource": 10})
    twin.add(COMPLETE, {2: 1.0})
    assert not any(twin.report(twin.ask(), float(number), 90) for number in range(20))
    twin.add(COMPLETE, {99: 1.0})
    assert not any(twin.report(twin.ask(), float(number), 90) for number in range(20))


def test_wilcoxon_compares_with_the_best_trial_and_not_below_its_average() -> None:
    twin = Twin({"name": "wilcoxon", "p_threshold": 0.2})
    twin.train(*[1.0, 2.0, 3.0, 4.0, 2.5])
    twin.train(*[9.0] * 5)
    assert twin.train(*[1.5, 2.75, 3.25, 4.5])[-1]
    generous = Twin({"name": "wilcoxon", "p_threshold": 0.2})
    generous.add(COMPLETE, dict.fromkeys(range(4), 1.0) | {9: 99.0}, value=0.0)
    assert not any(generous.train(*[1.5, 2.0, 2.5, 3.0]))


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_wilcoxon_keeps_a_trial_whose_average_is_just_the_best_ones(
    direction: Direction, sign: int
) -> None:
    twin = Twin({"name": "wilcoxon", "p_threshold": 0.3}, direction)
    twin.add(COMPLETE, {0: sign * 1.0, 1: sign * 2.0, 2: sign * 3.0, 3: sign * 6.0})
    trial = twin.ask()
    decisions = [twin.report(trial, sign * value, step) for step, value in enumerate([2, 3, 4])]
    assert decisions == [False, False, False]  # the averages are 2, 2.5 and 3, the best one's 3


@pytest.mark.parametrize(("p_threshold", "pruned"), [(0.125, False), (0.126, True)])
def test_wilcoxon_prunes_only_below_its_threshold(p_threshold: float, pruned: bool) -> None:
    twin = Twin({"name": "wilcoxon", "p_threshold": p_threshold})
    twin.train(1.0, 1.0, 1.0)
    assert twin.train(2.0, 3.0, 4.0)[-1] is pruned  # worse in three of three: p is 1/8


@pytest.mark.parametrize("n_startup_steps", [0, 1, 2])
def test_wilcoxon_never_decides_by_one_step(n_startup_steps: int) -> None:
    twin = Twin({"name": "wilcoxon", "p_threshold": 1.0, "n_startup_steps": n_startup_steps})
    twin.train(1.0, 1.0)
    assert twin.train(9.0, 9.0) == [False, True]


def test_wilcoxon_without_a_best_trial_or_its_reports_keeps_everything() -> None:
    twin = Twin("wilcoxon")
    assert not any(twin.train(*[9.0] * 8, state=TrialState.FAIL))
    twin.add(COMPLETE, {})
    assert not any(twin.train(*[9.0] * 8))


def test_patience_asks_the_wrapped_pruner_only_once_it_has_run_out() -> None:
    halving = {"name": "successive-halving", "min_resource": 1, "reduction_factor": 2}
    twin = Twin({"name": "patient", "patience": 1, "wrapped": halving})
    twin.train(*[5.0, 4.0, 3.0])
    trial = twin.ask()
    for step in range(2):
        assert not twin.report(trial, 9.0 + step, step)
    assert not twin.frozen(trial).system_attrs
    assert not twin.report(trial, 9.5, 2)
    assert "completed_rung_0" in twin.frozen(trial).system_attrs


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_patience_overlooks_what_is_worse_by_no_more_than_the_tolerance(
    direction: Direction, sign: int
) -> None:
    twin = Twin({"name": "patient", "patience": 0, "min_delta": 0.5}, direction)
    assert twin.train(sign * 1.0, sign * 1.5) == [False, False]
    assert twin.train(sign * 1.0, sign * 1.75) == [False, True]


def test_patience_overlooks_nan_and_keeps_a_trial_that_reports_nothing_else() -> None:
    nan = math.nan
    twin = Twin({"name": "patient", "patience": 1})
    assert not any(twin.train(nan, nan, 1.0, 2.0, state=TrialState.FAIL)[:3])
    assert not any(twin.train(1.0, nan, nan, state=TrialState.FAIL))
    assert twin.train(nan, 1.0, 2.0, nan, state=TrialState.FAIL)[-1]


def test_patience_around_nothing_prunes_and_around_none_does_not() -> None:
    worse = [1.0, 2.0, 3.0]
    assert Twin({"name": "patient", "patience": 1}).train(*worse) == [False, False, True]
    never = {"name": "patient", "patience": 1, "wrapped": {"name": "none"}}
    assert Twin(never).train(*worse) == [False, False, False]


def test_several_objectives_are_never_pruned() -> None:
    objectives = {"accuracy": "maximize", "latency": "minimize"}
    one = spec_from_mapping({"pruner": {"name": "threshold", "upper": 0}, "parameters": {}})
    two = spec_from_mapping({"objectives": objectives, "parameters": {}})
    trial = optuna.create_trial(state=RUNNING, intermediate_values={0: 1.0})
    for spec, pruned in (
        (one, True),
        (StudySpec(objectives=two.objectives, pruner=one.pruner), False),
    ):
        rule = make_rule(spec.pruner, spec.directions, study_name=NAME, best_trial=lambda: None)
        rule.replace(None, trial)
        assert rule.decide(trial).prune is pruned


# The cost of a report.


class Sealed(dict[Any, Any]):
    """A trial's reports or attributes; reading them fails the test."""

    def _refuse(self, *_: Any) -> Any:
        raise AssertionError("a report read another trial")

    __getitem__ = __iter__ = __len__ = __contains__ = _refuse
    get = keys = values = items = __eq__ = _refuse


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("resource", ["auto", "given"])
def test_a_report_reads_no_other_trial_but_the_best_one(name: str, resource: str) -> None:
    needed: dict[str, Any] = {
        "percentile": {"percentile": 25.0},
        "threshold": {"upper": 5.0},
        "patient": {"patience": 1, "wrapped": {"name": "median"}},
        "successive-halving": {"min_resource": 1} if resource == "given" else {},
        "hyperband": {"max_resource": 9} if resource == "given" else {},
    }
    spec = spec_from_mapping({"pruner": {"name": name, **needed.get(name, {})}, "parameters": {}})
    history = [
        optuna.create_trial(
            state=COMPLETE,
            value=float(number),
            intermediate_values={step: float(number) for step in range(10)},
            system_attrs={"completed_rung_0": float(number), "completed_rung_1": float(number)},
        )
        for number in range(50)
    ]
    best = copy.copy(history[0])
    rule = make_rule(spec.pruner, spec.directions, study_name=NAME, best_trial=lambda: best)
    for number, trial in enumerate(history):
        trial.number = number
        rule.replace(None, trial)
    for trial in history:
        trial.intermediate_values = Sealed(trial.intermediate_values)
        trial.system_attrs = Sealed(trial.system_attrs)
    pruned = set()
    for number in range(50, 60):  # some of them are in hyperband's first bracket
        trial = optuna.create_trial(state=RUNNING)
        trial.number = number
        rule.replace(None, trial)
        for step in range(9):
            before, trial = trial, copy.copy(trial)
            trial.intermediate_values = {**before.intermediate_values, step: 99.0 + step}
            rule.replace(before, trial)
            pruned.add(rule.decide(trial).prune)
    assert (True in pruned) is (name != "none")
