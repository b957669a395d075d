"""What is counted over all trials of a study, updated with each change of a trial."""

from functools import partial

from optuna.trial import FrozenTrial

from optunapi.engine.pruners.make import make_rule
from optunapi.engine.samplers.native.engine import native_sampler
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.explored import Explored
from optunapi.engine.state.taken_points import Points
from optunapi.engine.state.tally import Tally
from optunapi.engine.store import Store


class Derived:
    """What follows from a specification and the trials that `replace` has seen.

    `native` is None where Optuna's own sampler is used.
    """

    def __init__(self, spec: StudySpec, store: Store, study_id: int, study_name: str) -> None:
        def best_trial() -> FrozenTrial | None:
            return next(iter(store.best_trials(study_id)), None)

        self.tally = Tally()
        self.points = Points(spec)
        self.pruning = make_rule(
            spec.pruner, spec.directions, study_name=study_name, best_trial=best_trial
        )
        self.native = native_sampler(spec.problem)
        self._explored = Explored(spec, partial(store.get_all_trials, study_id, deepcopy=False))

    @property
    def exhausted(self) -> bool:
        """Whether no point is left for a new trial: every one is taken, or the sampler has none."""
        return self.points.exhausted or self._explored.is_whole

    @property
    def counts_all_points(self) -> bool:
        """Whether every point of the trials is one of the configured parameters alone."""
        return bool(self.points.spec.parameters) and not self._explored.names_more

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        self.tally.replace(before, after)
        self.points.replace(before, after)
        self.pruning.replace(before, after)
        self._explored.replace(after)
        if self.native is not None:
            self.native.replace(before, after)
