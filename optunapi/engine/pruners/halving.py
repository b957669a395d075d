"""The pruners that let trials compete at rungs: `successive-halving` and `hyperband`.

Li et al., "A system for massively parallel hyperparameter tuning" (2020), algorithm 2 (ASHA); Li et al.,
"Hyperband: a novel bandit-based approach to hyperparameter optimization" (2018), algorithm 1. Both as
Optuna has them: a trial that reaches a rung notes its value in its system attributes under Optuna's key,
so that Optuna can go on with the study. Trials of every state compete by these notes.
"""

import binascii
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from optuna.trial import FrozenTrial

from optunapi.engine.pruners.rules import KEEP, Decision, Rule, became_complete
from optunapi.engine.pruners.sorted_values import SortedValues

Resource = int | Literal["auto"]


def successive_halving(
    *,
    maximize: bool,
    min_resource: Resource,
    reduction_factor: int,
    min_early_stopping_rate: int,
    bootstrap_count: int,
) -> Rule:
    """`successive-halving`: one bracket with all trials.

    "auto" is set at the first report for which there is a complete trial with reports: to a hundredth of
    the highest step of the complete trials. Until then nothing is pruned.
    """

    def brackets(longest: int | None) -> list[Bracket] | None:
        resource = min_resource
        if resource == "auto":
            if longest is None:
                return None
            resource = max(longest // 100, 1)
        first_step = resource * reduction_factor**min_early_stopping_rate
        return [
            Bracket(
                maximize=maximize,
                share=1,
                first_step=first_step,
                reduction_factor=reduction_factor,
                bootstrap_count=bootstrap_count,
            )
        ]

    return Halving(brackets)


def hyperband(
    *,
    maximize: bool,
    study_name: str,
    min_resource: int,
    max_resource: Resource,
    reduction_factor: int,
    bootstrap_count: int,
) -> Rule:
    """`hyperband`: brackets that begin to halve later and later. A trial's number decides its bracket.

    "auto" is set at the first report for which there is a complete trial with reports: to one more than
    the highest step of the complete trials. Until then nothing is pruned.
    """

    def brackets(longest: int | None) -> list[Bracket] | None:
        resource = max_resource
        if resource == "auto":
            if longest is None:
                return None
            resource = longest + 1
        n_brackets = math.floor(math.log(resource / min_resource, reduction_factor)) + 1
        found = []
        for rate in range(n_brackets):
            n_later = n_brackets - 1 - rate
            share = math.ceil(n_brackets * reduction_factor**n_later / (n_later + 1))
            first_step = min_resource * reduction_factor**rate
            found.append(
                Bracket(
                    maximize=maximize,
                    share=share,
                    first_step=first_step,
                    reduction_factor=reduction_factor,
                    bootstrap_count=bootstrap_count,
                )
            )
        return found

    return Halving(brackets, study_name)


@dataclass(kw_only=True)
class Bracket:
    """Trials that compete with each other, and the values they had at each rung.

    The first rung is completed at `first_step`, each further one at `reduction_factor` times as many
    steps. The bracket gets its `share` of the trials.
    """

    maximize: bool
    share: int
    first_step: int
    reduction_factor: int
    bootstrap_count: int
    _rungs: defaultdict[int, SortedValues] = field(
        default_factory=lambda: defaultdict(SortedValues), init=False
    )

    def add(self, rung: int, value: float) -> None:
        """Add the value that a trial has noted at a rung."""
        self._rungs[rung].add(value)

    def decide(self, trial: FrozenTrial, step: int) -> Decision:
        """Take the trial up the rungs that its last step, `step`, completes; prune it where it loses."""
        value = trial.intermediate_values[step]
        rung = _n_rungs(trial)
        notes: dict[str, float] = {}
        while step >= self.first_step * self.reduction_factor**rung:
            if math.isnan(value):
                return Decision(prune=True, notes=notes)
            notes[_rung_key(rung)] = value
            if not self._promotes(rung, value):
                return Decision(prune=True, notes=notes)
            rung += 1
        return Decision(prune=False, notes=notes)

    def _promotes(self, rung: int, value: float) -> bool:
        """Whether a trial with this value goes on to the next rung."""
        others = self._rungs[rung]
        n_competing = len(others) + 1
        if n_competing <= self.bootstrap_count:
            return False
        # While there are too few to promote a part of them, the best one goes on: trials cannot wait.
        n_promotable = max(n_competing // self.reduction_factor, 1)
        n_better = others.n_above(value) if self.maximize else others.n_below(value)
        return n_better < n_promotable


class Halving(Rule):
    """Brackets of trials.

    `brackets` is called with the highest step that a complete trial reported, or None. It returns the
    brackets, or None while they are not known. Once known, they stay the same until a restart, as in Optuna.
    """

    def __init__(
        self, brackets: Callable[[int | None], Sequence[Bracket] | None], study_name: str = ""
    ) -> None:
        self._make_brackets = brackets
        self._study_name = study_name
        self._brackets: Sequence[Bracket] | None = None
        self._longest: int | None = None
        self._noted: list[tuple[int, int, float]] = []  # number, rung, value: not in a bracket yet

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Add the rungs that the trial has newly noted, and its last step once it is complete."""
        if became_complete(before, after) and (step := after.last_step) is not None:
            self._longest = step if self._longest is None else max(step, self._longest)
        # A note is written once, and stays when the trial is handed to another worker.
        for rung in range(0 if before is None else _n_rungs(before), _n_rungs(after)):
            self._noted.append((after.number, rung, after.system_attrs[_rung_key(rung)]))

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether the trial loses at a rung of its bracket."""
        if self._brackets is None:
            self._brackets = self._make_brackets(self._longest)
        step = trial.last_step
        if not self._brackets or step is None:
            return KEEP
        for number, rung, value in self._noted:
            self._bracket_of(self._brackets, number).add(rung, value)
        self._noted.clear()
        return self._bracket_of(self._brackets, trial.number).decide(trial, step)

    def _bracket_of(self, brackets: Sequence[Bracket], number: int) -> Bracket:
        total = sum(bracket.share for bracket in brackets)
        draw = binascii.crc32(f"{self._study_name}_{number}".encode()) % total
        for bracket in brackets:
            draw -= bracket.share
            if draw < 0:
                return bracket
        raise AssertionError("the shares add up to more than any draw")


def _rung_key(rung: int) -> str:
    return f"completed_rung_{rung}"


def _n_rungs(trial: FrozenTrial) -> int:
    """The number of rungs that the trial has noted; they are reached one after another."""
    rung = 0
    while _rung_key(rung) in trial.system_attrs:
        rung += 1
    return rung
