"""The quality benchmark measures what it says."""

import random
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.benchmarks.quality import problems
from tests.benchmarks.quality.figure import figure
from tests.benchmarks.quality.judging import Verdict, judge, summary
from tests.benchmarks.quality.problems import Problem
from tests.benchmarks.quality.report import BEGIN, END, described, write_between_marks
from tests.benchmarks.quality.sides import EngineStudy, engine, optuna_random, optuna_tpe, spec_of
from tests.benchmarks.quality.simulation import best_losses
from tests.benchmarks.quality.tables import tabulated
from tests.unit.samplers.support import sampler_of
from tests.unit.samplers.support import spec_of as read

JUDGED = [*problems.JUDGED, *tabulated("judged")]
TUNING = [*problems.TUNING, *tabulated("tuning")]
BRANIN = problems.JUDGED[0]


def curves(*ends: float) -> list[list[float]]:
    return [[1.0, end] for end in ends]


def verdict_of(ours: list[list[float]], theirs: list[list[float]]) -> Verdict:
    return judge("a", 1, ours, theirs, 1.0)


def test_no_problem_judged_is_one_on_which_defaults_were_set() -> None:
    assert len(JUDGED) >= 10
    assert not {each.name for each in JUDGED} & {each.name for each in TUNING}


@pytest.mark.parametrize("problem", [*JUDGED, *TUNING], ids=lambda problem: problem.name)
def test_no_random_point_is_better_than_what_is_called_the_least(problem: Problem) -> None:
    search = sampler_of(read({"name": "random", "seed": 0}, problem.parameters))
    losses = [problem.loss(search.sample(number, {})) for number in range(200)]
    assert min(losses) >= problem.optimum - 1e-9
    assert len(set(losses)) > 20


def test_both_sides_begin_with_the_same_points_at_the_same_times(tmp_path: Path) -> None:
    asked: dict[str, list[Any]] = {"ours": [], "theirs": []}

    class Watched:
        def __init__(self, name: str, side: Any) -> None:
            self._name, self._side = name, side

        def ask(self) -> Any:
            number, params = self._side.ask()
            asked[self._name].append((number, dict(params)))
            return number, params

        def tell(self, number: int, loss: float) -> None:
            self._side.tell(number, loss)

    problem = next(each for each in JUDGED if each.name == "training-7")
    with engine(tmp_path) as storage:
        sides = {"ours": EngineStudy(storage, "a", problem, 3), "theirs": optuna_tpe(problem, 3)}
        for name, side in sides.items():
            best_losses(Watched(name, side), problem, workers=4, trials=20, seed=3)
    assert asked["ours"][:13] == asked["theirs"][:13]
    assert asked["ours"][14:] != asked["theirs"][14:]


def test_the_best_loss_never_rises_and_as_many_trials_are_told_as_wanted() -> None:
    best = best_losses(optuna_random(BRANIN, 0), BRANIN, workers=8, trials=30, seed=0)
    assert len(best) == 30
    assert best == sorted(best, reverse=True)


def test_the_judged_side_is_the_servers_default_sampler() -> None:
    assert spec_of(BRANIN, 7)["sampler"] == {"name": "tpe", "seed": 7}


def test_equal_sides_hold_and_a_worse_one_does_not() -> None:
    source = np.random.default_rng(0)
    theirs = curves(*source.uniform(0.2, 0.4, 20))
    worse = [[first, end + 0.1] for first, end in theirs]
    a_little_worse = [[first, end + 0.04] for first, end in theirs]
    assert verdict_of(theirs, theirs).holds
    assert verdict_of(a_little_worse, theirs).within
    assert not verdict_of(worse, theirs).holds
    better = verdict_of(theirs, worse)
    assert better.difference == pytest.approx(-0.1)
    assert better.within


def test_sides_too_scattered_to_tell_hold_only_if_ours_is_not_above() -> None:
    source = random.Random(1)
    theirs, ours = (curves(*(source.uniform(0, 2) for _ in range(20))) for _ in range(2))
    verdict, turned = verdict_of(ours, theirs), verdict_of(theirs, ours)
    assert not verdict.within
    assert not turned.within
    assert verdict.holds == (verdict.difference <= 0)
    assert turned.holds == (turned.difference <= 0)


def test_the_picture_is_an_svg_with_a_line_for_each_side_and_panel() -> None:
    theirs, ours = curves(0.5, 0.2, 0.7), curves(0.0, 0.1, 9.0)
    cells = [
        described(judge(name, workers, ours, theirs, 1.0), summary(ours, 1.0), summary(theirs, 1.0))
        for name in ("one & another", "third")
        for workers in (1, 8)
    ]
    root = ElementTree.fromstring(figure(cells))
    lines = [each for each in root.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 8


def test_the_table_goes_between_the_documents_marks_and_nowhere_else(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(f"before\n\n{BEGIN}\nstale\n{END}\n\nafter\n")
    write_between_marks(document, [verdict_of(curves(0.1), curves(0.2))])
    text = document.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "stale" not in text
    assert "| a | 1 | 0.200 | 0.100 | -0.100 | -0.100 … -0.100 | yes |" in text
