"""What is counted over all trials of a study, updated with each change of a trial."""

import logging
from functools import partial

from optuna.trial import FrozenTrial

from optunapi.engine.pruners.make import make_rule
from optunapi.engine.samplers.native.engine import NativeSampler, native_sampler
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.explored import Explored
from optunapi.engine.state.taken_points import Points
from optunapi.engine.state.tally import Tally
from optunapi.engine.store import Store

logger = logging.getLogger(__name__)


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
        self.native = self._native_sampler(spec, study_name)
        self._explored = Explored(spec, partial(store.get_all_trials, study_id, deepcopy=False))

    @staticmethod
    def _native_sampler(spec: StudySpec, study_name: str) -> NativeSampler | None:
        try:
            return native_sampler(spec.problem)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic in Rust is no Exception
            # The study can still be looked at, and be told results.
            logger.exception("study %s: Optuna draws, since the native sampler failed", study_name)
            return None

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
