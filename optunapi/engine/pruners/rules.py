"""The pruners that look at the reporting trial, at the best one, or at complete trials at the same step.

Each rule decides as Optuna's pruner of the same name and arguments, which Optuna's documentation describes.
A rule sees other trials only as `replace` is called for each change of one, before and after.
"""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.pruners.sorted_values import SortedValues

BestTrial = Callable[[], FrozenTrial | None]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to prune a trial, and the system attributes that Optuna's pruner would give it."""

    prune: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


KEEP = Decision(prune=False)
PRUNE = Decision(prune=True)


class Rule(ABC):
    """A pruner at work in one study with one objective."""

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:  # noqa: B027
        """Take a changed or new trial into account. Most rules look only at the reporting one."""

    @abstractmethod
    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether to prune this running trial. `replace` was called with its last report before."""


class WithoutHistory(Rule):
    """`none` and `threshold`: Optuna's own pruner decides, since it looks at no other trial."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner: Any = pruner

    def decide(self, trial: FrozenTrial) -> Decision:
        """What Optuna's pruner says."""
        return PRUNE if self._pruner.prune(None, trial) else KEEP


@dataclass(kw_only=True)
class Percentile(Rule):
    """`percentile` and `median`: prunes a trial whose best report is worse than most trials' at its step."""

    maximize: bool
    percentile: float
    n_startup_trials: int
    n_warmup_steps: int
    interval_steps: int
    n_min_trials: int
    _n_complete: int = field(default=0, init=False)
    _at_step: defaultdict[int, SortedValues] = field(
        default_factory=lambda: defaultdict(SortedValues), init=False
    )

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Add the reports of a trial that has become complete; they are final."""
        if became_complete(before, after):
            self._n_complete += 1
            for step, value in after.intermediate_values.items():
                self._at_step[step].add(value)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether its best report is worse than the percentile of complete trials' at its last step."""
        step = trial.last_step
        if self._n_complete < max(self.n_startup_trials, 1) or step is None:
            return KEEP
        if not self._is_checked(step, trial.intermediate_values):
            return KEEP
        reports = without_nan(trial.intermediate_values.values())
        if not reports:
            return PRUNE
        others = self._at_step.get(step)
        if others is None or len(others) < self.n_min_trials:
            return KEEP
        if self.maximize:
            worse = max(reports) < others.percentile(100 - self.percentile)
        else:
            worse = min(reports) > others.percentile(self.percentile)
        return PRUNE if worse else KEEP

    def _is_checked(self, step: int, steps: Iterable[int]) -> bool:
        """Whether the highest step is the first in its interval, and past the warm-up."""
        if step < self.n_warmup_steps:
            return False
        interval_start = step - (step - self.n_warmup_steps) % self.interval_steps
        return not any(interval_start <= each < step for each in steps)


@dataclass(kw_only=True)
class Patient(Rule):
    """`patient`: asks the wrapped rule, or prunes without one, when a trial stops improving."""

    maximize: bool
    wrapped: Rule | None
    patience: int
    min_delta: float

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Pass the change to the wrapped rule."""
        if self.wrapped is not None:
            self.wrapped.replace(before, after)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the last `patience` + 1 reports are all worse than the best before them."""
        reports = [value for _, value in sorted(trial.intermediate_values.items())]
        n_earlier = len(reports) - self.patience - 1
        if n_earlier < 1:
            return KEEP
        earlier, recent = without_nan(reports[:n_earlier]), without_nan(reports[n_earlier:])
        if not earlier or not recent:
            return KEEP
        if self.maximize:
            worse = max(earlier) - self.min_delta > max(recent)
        else:
            worse = min(earlier) + self.min_delta < min(recent)
        if not worse:
            return KEEP
        return PRUNE if self.wrapped is None else self.wrapped.decide(trial)


class Wilcoxon(Rule):
    """`wilcoxon`: prunes what the signed-rank test finds worse than the best trial, step by step."""

    def __init__(
        self, *, maximize: bool, best_trial: BestTrial, p_threshold: float, n_startup_steps: int
    ) -> None:
        # Takes half a second to import: only where it is used, and before the first report.
        from scipy.stats import wilcoxon  # type: ignore[import-untyped]

        self._test = wilcoxon
        self._maximize = maximize
        self._best_trial = best_trial
        self._p_threshold = p_threshold
        self._min_steps = max(2, n_startup_steps)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the reports are worse than the best trial's at the same steps, and on average."""
        best_trial = self._best_trial()
        mine = trial.intermediate_values
        best = {} if best_trial is None else best_trial.intermediate_values
        if not mine or not best or not all(map(math.isfinite, [*mine.values(), *best.values()])):
            return KEEP
        gaps = [mine[step] - best[step] for step in sorted(mine.keys() & best.keys())]
        if len(gaps) < self._min_steps:
            return KEEP
        alternative = "less" if self._maximize else "greater"
        p = self._test(gaps, alternative=alternative, zero_method="zsplit").pvalue
        if not p < self._p_threshold:
            return KEEP
        gain = _mean(mine.values()) - _mean(best.values())
        worse_on_average = gain < 0 if self._maximize else gain > 0
        return PRUNE if worse_on_average else KEEP


def became_complete(before: FrozenTrial | None, after: FrozenTrial) -> bool:
    """Whether this change completed the trial."""
    was = before is not None and before.state == TrialState.COMPLETE
    return after.state == TrialState.COMPLETE and not was


def without_nan(values: Iterable[float]) -> list[float]:
    """The values that are numbers, infinite ones included."""
    return [value for value in values if not math.isnan(value)]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    # Since Python 3.12 `sum` is more exact than Optuna's, which adds NumPy's floats, and ties would differ.
    return reduce(add, found) / len(found)
