"""A study with all its trials at one moment: reading it takes no lock, however long it takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from optuna.trial import FrozenTrial

from optunapi.engine.leases import Lease
from optunapi.engine.spec.model import StudySpec
from optunapi.engine.state.state import StudyState
from optunapi.engine.values import TrialView


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A study as it was. Trials do not change once read, so it costs one reference a trial.

    `best` has one trial, the Pareto front, or none. `cost` is the sum that `max_cost` limits.
    `commit_seconds` says how long the latest commits to its database took. The defaults are those of a
    study that was never asked from.
    """

    study: str
    spec: StudySpec
    configured: Mapping[str | None, frozenset[str]] = field(default_factory=dict)
    uid: str = ""
    trials: Sequence[FrozenTrial] = ()
    leases: Mapping[int, Lease] = field(default_factory=dict)
    best: Sequence[FrozenTrial] = ()
    cost: float = 0.0
    commit_seconds: Sequence[float] = ()

    def view(self, trial: FrozenTrial) -> TrialView:
        """One of its trials, as it was."""
        return TrialView(
            study=self.study,
            study_uid=self.uid,
            trial=trial,
            lease=self.leases.get(trial.number),
            configured=self.configured,
        )


def snapshot_of(state: StudyState) -> Snapshot:
    """The study as it is now. Call it inside a unit of the state."""
    store = state.store
    leases = {t.number: state.deadlines.leases.get(t.number) for t in store.open_trials(state.id)}
    return Snapshot(
        study=state.name,
        spec=state.spec,
        configured=state.configured,
        uid=state.uid,
        trials=store.get_all_trials(state.id, deepcopy=False),
        leases={number: lease for number, lease in leases.items() if lease is not None},
        best=store.best_trials(state.id),
        cost=_float(state.derived.tally.cost),
        commit_seconds=store.commit_seconds(),
    )


def _float(cost: Fraction) -> float:
    """The cost as a float; infinite if it is larger than a float can be."""
    try:
        return float(cost)
    except OverflowError:
        return math.inf if cost > 0 else -math.inf
