"""NaN among the reports over HTTP: each pruner answers as Optuna's own does on the same history."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna import pruners
from optuna.trial import TrialState

from optunapi.engine.pruners.registry import PRUNERS as KNOWN
from tests.api.wire import SPACE, Wire
from tests.support import scaled

STEPS, WARM_UP = 8, 3
# What a study is configured with, and the same pruner of Optuna's.
PRUNERS: dict[str, tuple[dict[str, Any], Callable[[], pruners.BasePruner]]] = {
    "none": ({}, lambda: pruners.NopPruner()),
    "median": (
        {"n_startup_trials": 2, "n_warmup_steps": WARM_UP},
        lambda: pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=WARM_UP),
    ),
    "percentile": (
        {"percentile": 40.0, "n_startup_trials": 1, "n_warmup_steps": WARM_UP},
        lambda: pruners.PercentilePruner(40.0, n_startup_trials=1, n_warmup_steps=WARM_UP),
    ),
    "threshold": (
        {"upper": 5.5, "n_warmup_steps": WARM_UP},
        lambda: pruners.ThresholdPruner(upper=5.5, n_warmup_steps=WARM_UP),
    ),
    "successive-halving": (
        {"min_resource": 1, "reduction_factor": 2},
        lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    ),
    "hyperband": (
        {"min_resource": 1, "max_resource": STEPS, "reduction_factor": 2},
        lambda: pruners.HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=2),
    ),
    "wilcoxon": (
        {"p_threshold": 0.2, "n_startup_steps": WARM_UP},
        lambda: pruners.WilcoxonPruner(p_threshold=0.2, n_startup_steps=WARM_UP),
    ),
    "patient": (
        {"patience": 1, "wrapped": {"name": "median", "n_startup_trials": 2}},
        lambda: pruners.PatientPruner(pruners.MedianPruner(n_startup_trials=2), patience=1),
    ),
}
PLACES = {
    "nowhere": frozenset[int](),
    "first": {0},
    "in warm-up": {1},
    "after warm-up": {WARM_UP + 1},
    "last": {STEPS - 1},
    "first and after": {0, WARM_UP, WARM_UP + 2},
    "everywhere": set(range(STEPS)),
}

# In every second trial, and in all; usually in all only where there is nothing but NaN.
CASES = [(place, False) for place in PLACES]
CASES += [(place, True) for place in list(PLACES)[scaled(-1, 1) :]]


def curves(places: set[int], *, in_all: bool) -> Iterator[list[float]]:
    """The reports of one trial after another: good and bad ones, every second with NaN, or all."""
    for number, level in enumerate([1.0, 2.0, 6.0, 0.5, 4.0, 1.5, 3.0, 2.5]):
        has_nan = in_all or number % 2 == 0
        yield [
            math.nan if has_nan and step in places else level + (step % 3 - 1) / 4
            for step in range(STEPS)
        ]


def test_all_pruners_are_here() -> None:
    assert PRUNERS.keys() == KNOWN.keys()


@pytest.mark.filterwarnings("ignore")  # Optuna's and NumPy's, of NaN
@pytest.mark.parametrize("direction", ["minimize", "maximize"][: scaled(1, 2)])
@pytest.mark.parametrize(("place", "in_all"), CASES)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_reports_of_nan_are_judged_as_optunas_pruner_judges_them(
    wire: Wire, pruner: str, direction: Any, place: str, in_all: bool
) -> None:
    settings, own = PRUNERS[pruner]
    name = wire.put({**SPACE, "direction": direction, "pruner": {"name": pruner, **settings}})
    # Hyperband chooses a trial's bracket by the study's name.
    study = optuna.create_study(study_name=name, direction=direction, pruner=own())
    answers: list[tuple[bool, bool]] = []
    for number, curve in enumerate(curves(set(PLACES[place]), in_all=in_all)):
        trial, path = study.ask(), f"/studies/{name}/trials/{wire.ask(name)['number']}"
        is_pruned = False
        for step, value in enumerate(curve):
            trial.report(value, step)
            sent = {"step": step, "value": None if math.isnan(value) else value}
            should_prune = wire.ok("POST", f"{path}/report", json=sent)["should_prune"]
            answers.append((should_prune, bool(trial.should_prune())))
            if is_pruned := answers[-1][0]:
                break
        assert all(ours == theirs for ours, theirs in answers), (number, answers)
        if is_pruned:
            study.tell(trial, state=TrialState.PRUNED)
            wire.tell(name, number, state="pruned")
        else:
            study.tell(trial, number / 8)
            wire.tell(name, number, value=number / 8)
    for theirs in study.trials:
        ours = wire.trial(name, theirs.number)
        assert ours["state"] == theirs.state.name.lower()
        assert ours["values"] == theirs.values
        assert ours["intermediate_values"] == {
            str(step): None if math.isnan(value) else value
            for step, value in theirs.intermediate_values.items()
        }
