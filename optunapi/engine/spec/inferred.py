"""The specification of a study that Optuna created: inferred from its trials."""

from collections.abc import Iterable, Sequence

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from optunapi.engine.space import Parameter
from optunapi.engine.spec.model import Objective, StudySpec, default_names

MAXIMIZE = StudyDirection.MAXIMIZE


def spec_of_history(
    directions: Sequence[StudyDirection],
    trials: Iterable[FrozenTrial],
) -> StudySpec:
    """The specification that trials made by Optuna imply.

    Each parameter has the distribution of the last trial that has it.
    """
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions.update(trial.distributions)
    return StudySpec(
        objectives=tuple(
            Objective(name=name, direction="maximize" if direction == MAXIMIZE else "minimize")
            for name, direction in zip(default_names(len(directions)), directions, strict=True)
        ),
        parameters=tuple(Parameter(name=n, distribution=d) for n, d in distributions.items()),
    )
