"""From the same history, rustuna's TPE draws what Optuna's does, before any of it is mixed."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy import stats  # type: ignore[import-untyped]

from optunapi.engine.samplers.native.tpe import TPE
from optunapi.engine.spec.model import StudySpec
from tests.unit.samplers.support import sampler_of, spec_of, trial_of

SPACE = {
    "kind": {"type": "categorical", "choices": ["a", "b", "c"]},
    "rate": {"type": "float", "low": 1e-5, "high": 1, "log": True},
    "width": {"type": "int", "low": 1, "high": 1000},
    "layers": {"type": "int", "low": 1, "high": 6},
    "share": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25},
    "x": {"type": "float", "low": -3, "high": 3},
}
TRIALS, DRAWS = 40, 160
ALIKE = 1e-3  # the least p-value accepted as the same distribution; the seeds are fixed


def history(spec: StudySpec, kind: str) -> list[FrozenTrial]:
    """Random trials; depending on `kind`, the best values are pruned or violate a constraint."""
    source = random.Random(kind)
    search = sampler_of(spec_of({"name": "random", "seed": 1}, SPACE))
    trials = []
    for number in range(TRIALS):
        params = search.sample(number, {})
        loss = (
            abs(params["x"] - 1)
            + (params["kind"] != "b")
            + params["width"] / 1000
            - params["layers"] / 9
        )
        values = [loss, params["rate"]][: len(spec.objectives)]
        more: dict[str, Any] = {}
        if kind == "pruned" and number > 2:
            reports = dict.fromkeys(range(source.choice((1, 2, 8))), loss)
            more = {"state": TrialState.PRUNED, "intermediate_values": reports}
            values = []
        if kind == "constrained":
            more = {"system_attrs": {"constraints:size": params["x"]}}
        trials.append(trial_of(spec, number, params, *values, **more))
    return trials


def optunas(spec: StudySpec, trials: Sequence[FrozenTrial], **arguments: Any) -> list[Any]:
    study = optuna.create_study(
        directions=spec.directions,
        sampler=TPESampler(seed=3, constant_liar=False, **arguments),
    )
    for trial in trials:
        study.add_trial(trial)
    points = []
    for _ in range(DRAWS):
        asked = study.ask({p.name: p.distribution for p in spec.parameters})
        points.append(asked.params)
        study.tell(asked, state=TrialState.FAIL)
    return points


def ours(spec: StudySpec, trials: Sequence[FrozenTrial]) -> list[Any]:
    sampler = sampler_of(spec)
    assert isinstance(sampler, TPE)
    for trial in trials:
        sampler.replace(None, trial)
    sampler.draw(0, TRIALS)  # the draw reads the trials
    return [sampler.draw_tpe(seed) for seed in range(DRAWS)]


def likeness(one: Sequence[Any], another: Sequence[Any]) -> dict[str, float]:
    """The p-value of the difference in each parameter, if both samples have one distribution."""
    found = {}
    for name in SPACE:
        drawn = [[point[name] for point in points] for points in (one, another)]
        if name == "kind":
            choices = sorted({*drawn[0], *drawn[1]})
            counts = [[Counter(values)[choice] for choice in choices] for values in drawn]
            found[name] = stats.chi2_contingency(counts).pvalue if len(choices) > 1 else 1.0
        else:
            found[name] = stats.ks_2samp(*drawn).pvalue
    return found


@pytest.mark.parametrize(
    ("kind", "sampler", "more"),
    [
        ("complete", {}, {}),
        ("complete", {"multivariate": False}, {}),
        ("complete", {}, {"direction": "maximize"}),
        ("pruned", {}, {}),
        ("constrained", {}, {}),
        ("complete", {}, {"objectives": {"loss": "minimize", "rate": "maximize"}}),
        ("constrained", {}, {"objectives": {"loss": "minimize", "rate": "maximize"}}),
    ],
    ids=str,
)
def test_rustuna_draws_by_the_law_of_optunas_tpe(
    kind: str, sampler: dict[str, Any], more: dict[str, Any]
) -> None:
    spec = spec_of({"name": "tpe", "seed": 2, **sampler}, SPACE, **more)
    trials = history(spec, kind)
    found = likeness(ours(spec, trials), optunas(spec, trials, **sampler))
    if len(spec.objectives) > 1 or "multivariate" in sampler:
        # Rustuna gives the two end numbers half of their weight. For a parameter with few steps
        # that is drawn alone, this makes another number look best.
        del found["layers"], found["share"]
    assert min(found.values()) > ALIKE, found


def test_another_history_is_distinguished_by_the_same_statistics() -> None:
    spec = spec_of({"name": "tpe", "seed": 2}, SPACE)
    trials = history(spec, "complete")
    plain = optunas(spec, trials)
    for kind in ("pruned", "constrained"):
        assert min(likeness(ours(spec, history(spec, kind)), plain).values()) < ALIKE / 100
    other = spec_of({"name": "tpe", "seed": 2}, SPACE, direction="maximize")
    assert min(likeness(ours(other, trials), plain).values()) < ALIKE / 100
