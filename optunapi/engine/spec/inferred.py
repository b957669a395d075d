"""The specification of a study that Optuna created: inferred from its trials."""

from collections.abc import Iterable, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.engine.space import Parameter
from optunapi.engine.spec.model import DEFAULT_OBJECTIVE, Objective, StudySpec

MAXIMIZE = StudyDirection.MAXIMIZE


def spec_of_history(
    directions: Sequence[StudyDirection],
    trials: Iterable[FrozenTrial],
    names: Sequence[str] = (),
) -> StudySpec:
    """The specification that trials made by Optuna imply.

    Each parameter has the distribution of the last trial that has it. `names` are the objectives'
    names if there is one for each; without them they are `score`, or `score_0`, `score_1` …
    """
    if len(names) != len(directions):
        several = len(directions) > 1
        names = [
            f"{DEFAULT_OBJECTIVE}_{i}" if several else DEFAULT_OBJECTIVE
            for i in range(len(directions))
        ]
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions.update(trial.distributions)
    return StudySpec(
        objectives=tuple(
            Objective(name=name, direction="maximize" if direction == MAXIMIZE else "minimize")
            for name, direction in zip(names, directions, strict=True)
        ),
        parameters=tuple(Parameter(name=n, distribution=d) for n, d in distributions.items()),
    )
