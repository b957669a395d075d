"""What a sampler needs to know of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import StudyDirection

from optunapi.engine.space import Parameter


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The part of a study's specification that decides how its points are drawn.

    `sampler` is the sampler's `name` with its arguments, as `read_sampler` returns them. Without
    `parameters` the study is define-by-run. There is one of `directions` for each objective.
    """

    parameters: Sequence[Parameter]
    directions: Sequence[StudyDirection]
    sampler: Mapping[str, Any]

    @property
    def n_objectives(self) -> int:
        """The number of objectives, at least 1."""
        return len(self.directions)
