"""The pruners that look at one trial, or at what the complete ones reported at the same step.

Each rule decides as Optuna's pruner of the same name and arguments does, whose documentation says what
they mean. Unlike Optuna's it is told of every trial as it changes, and so need not read them all.
"""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from optunapi.engine.pruners.sorted_values import SortedValues

BestTrial = Callable[[], FrozenTrial | None]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether to prune a trial, and the system attributes that Optuna's pruner would leave with it."""

    prune: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


KEEP = Decision(prune=False)
PRUNE = Decision(prune=True)


class Rule(ABC):
    """One pruner at work in one study with one objective."""

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:  # noqa: B027
        """Take a changed or new trial into account; most rules look at the reporting one alone."""

    @abstractmethod
    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether to prune this running trial, whose last report was taken into account."""


class Never(Rule):
    """`none`."""

    def decide(self, trial: FrozenTrial) -> Decision:  # noqa: ARG002
        """Keep it."""
        return KEEP


class Threshold(Rule):
    """`threshold`: prunes what leaves the range."""

    def __init__(
        self,
        *,
        lower: float | None,
        upper: float | None,
        n_warmup_steps: int,
        interval_steps: int,
    ) -> None:
        self._lower = -math.inf if lower is None else lower
        self._upper = math.inf if upper is None else upper
        self._n_warmup_steps = n_warmup_steps
        self._interval_steps = interval_steps

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the report at the highest step is out of range, NaN included."""
        step = step_to_check(trial, self._n_warmup_steps, self._interval_steps)
        if step is None or self._lower <= trial.intermediate_values[step] <= self._upper:
            return KEEP
        return PRUNE


class Percentile(Rule):
    """`percentile` and `median`: prunes a trial whose best report is behind most complete trials."""

    def __init__(
        self,
        *,
        maximize: bool,
        percentile: float,
        n_startup_trials: int,
        n_warmup_steps: int,
        interval_steps: int,
        n_min_trials: int,
    ) -> None:
        self._maximize = maximize
        self._percentile = 100 - percentile if maximize else percentile
        self._n_startup_trials = max(n_startup_trials, 1)
        self._n_warmup_steps = n_warmup_steps
        self._interval_steps = interval_steps
        self._n_min_trials = n_min_trials
        self._n_complete = 0
        self._at_step: defaultdict[int, SortedValues] = defaultdict(SortedValues)

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take in the reports of a trial that has become complete, which are final."""
        if became_complete(before, after):
            self._n_complete += 1
            for step, value in after.intermediate_values.items():
                self._at_step[step].add(value)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether its best report so far is behind the percentile of the others at this step."""
        if self._n_complete < self._n_startup_trials:
            return KEEP
        step = step_to_check(trial, self._n_warmup_steps, self._interval_steps)
        if step is None:
            return KEEP
        reports = without_nan(trial.intermediate_values.values())
        if not reports:
            return PRUNE
        others = self._at_step.get(step)
        if others is None or len(others) < self._n_min_trials:
            return KEEP
        limit = others.percentile(self._percentile)
        behind = max(reports) < limit if self._maximize else min(reports) > limit
        return PRUNE if behind else KEEP


class Patient(Rule):
    """`patient`: asks the wrapped rule, or prunes, once a trial has not improved for a while."""

    def __init__(
        self, *, maximize: bool, wrapped: Rule | None, patience: int, min_delta: float
    ) -> None:
        self._maximize = maximize
        self._wrapped = wrapped
        self._patience = patience
        self._min_delta = min_delta

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Hand on to the wrapped rule."""
        if self._wrapped is not None:
            self._wrapped.replace(before, after)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the last `patience` + 1 reports are all worse than the best before them."""
        reports = [value for _, value in sorted(trial.intermediate_values.items())]
        n_earlier = len(reports) - self._patience - 1
        if n_earlier < 1:
            return KEEP
        earlier, recent = without_nan(reports[:n_earlier]), without_nan(reports[n_earlier:])
        if not earlier or not recent:
            return KEEP
        if self._maximize:
            worse = max(earlier) - self._min_delta > max(recent)
        else:
            worse = min(earlier) + self._min_delta < min(recent)
        if not worse:
            return KEEP
        return PRUNE if self._wrapped is None else self._wrapped.decide(trial)


class Wilcoxon(Rule):
    """`wilcoxon`: prunes what the signed-rank test finds worse than the best trial, step by step."""

    def __init__(
        self, *, maximize: bool, best_trial: BestTrial, p_threshold: float, n_startup_steps: int
    ) -> None:
        # Half a second to import: only where it is used, and before the first report.
        from scipy.stats import wilcoxon  # type: ignore[import-untyped]

        self._test = wilcoxon
        self._maximize = maximize
        self._best_trial = best_trial
        self._p_threshold = p_threshold
        self._n_least = max(2, n_startup_steps)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the reports are worse than the best trial's at the same steps, and on average."""
        best_trial = self._best_trial()
        mine = trial.intermediate_values
        best = {} if best_trial is None else best_trial.intermediate_values
        if not mine or not best or not all(map(math.isfinite, [*mine.values(), *best.values()])):
            return KEEP
        gaps = [mine[step] - best[step] for step in sorted(mine.keys() & best.keys())]
        if len(gaps) < self._n_least:
            return KEEP
        alternative = "less" if self._maximize else "greater"
        p = self._test(gaps, alternative=alternative, zero_method="zsplit").pvalue
        if not p < self._p_threshold:
            return KEEP
        if self._maximize:
            better_on_average = _mean(mine.values()) >= _mean(best.values())
        else:
            better_on_average = _mean(mine.values()) <= _mean(best.values())
        return KEEP if better_on_average else PRUNE


def became_complete(before: FrozenTrial | None, after: FrozenTrial) -> bool:
    """Whether this change completed the trial."""
    was = before is not None and before.state == TrialState.COMPLETE
    return after.state == TrialState.COMPLETE and not was


def step_to_check(trial: FrozenTrial, n_warmup_steps: int, interval_steps: int) -> int | None:
    """The trial's highest step if it is the first reported in its interval after the warm-up."""
    steps = sorted(trial.intermediate_values)
    if not steps or steps[-1] < n_warmup_steps:
        return None
    step = steps[-1]
    interval_start = step - (step - n_warmup_steps) % interval_steps
    return step if len(steps) == 1 or steps[-2] < interval_start else None


def without_nan(values: Iterable[float]) -> list[float]:
    """The values that are numbers, infinite ones included."""
    return [value for value in values if not math.isnan(value)]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    # From Python 3.12 on `sum` rounds floats better than Optuna's sum of NumPy's, and ties would differ.
    return reduce(add, found) / len(found)
