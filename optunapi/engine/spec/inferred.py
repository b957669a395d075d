"""What a study's trials say of its space: for a study that came without a specification."""

from collections.abc import Iterable, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.engine.space import Parameter
from optunapi.engine.spec.read import Objective, StudySpec


def spec_of_history(
    directions: Sequence[StudyDirection],
    trials: Iterable[FrozenTrial],
    names: Sequence[str] = (),
) -> StudySpec:
    """The specification that trials made by Optuna itself imply.

    Each parameter has the distribution of the last trial that had it. The objectives are called
    `names` if there are as many, else `score`, or `score_0`, `score_1` …
    """
    if len(names) != len(directions):
        names = (
            ["score"] if len(directions) == 1 else [f"score_{i}" for i in range(len(directions))]
        )
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions.update(trial.distributions)
    return StudySpec(
        objectives=tuple(
            Objective(
                name=name,
                direction="maximize" if direction == StudyDirection.MAXIMIZE else "minimize",
            )
            for name, direction in zip(names, directions, strict=True)
        ),
        parameters=tuple(
            Parameter(name=name, distribution=distribution)
            for name, distribution in distributions.items()
        ),
    )
