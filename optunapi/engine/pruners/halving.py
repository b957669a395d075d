"""The pruners that let trials compete in rungs: `successive-halving` and `hyperband`.

A trial that reaches a rung is noted there, in its own system attributes under Optuna's key, so that
Optuna can go on with the study. Trials of every state compete, by the values of those notes.
"""

import binascii
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

from optuna.trial import FrozenTrial

from optunapi.engine.pruners.rules import KEEP, Decision, Rule, became_complete
from optunapi.engine.pruners.sorted_values import SortedValues

Auto = Literal["auto"]


class Bracket:
    """The trials that compete with each other, and the values they had at each rung."""

    def __init__(
        self,
        *,
        maximize: bool,
        reduction_factor: int,
        min_early_stopping_rate: int,
        bootstrap_count: int,
    ) -> None:
        self._maximize = maximize
        self._reduction_factor = reduction_factor
        self._min_early_stopping_rate = min_early_stopping_rate
        self._bootstrap_count = bootstrap_count
        self._rungs: defaultdict[int, SortedValues] = defaultdict(SortedValues)

    def enter(self, rung: int, value: float) -> None:
        """Take in the value a trial has noted at a rung."""
        self._rungs[rung].add(value)

    def decide(self, trial: FrozenTrial, step: int, min_resource: int) -> Decision:
        """Let the trial climb the rungs that its last step, `step`, has reached; prune it where it loses."""
        value = trial.intermediate_values[step]
        rung = _n_rungs(trial)
        notes: dict[str, float] = {}
        while step >= self._completed_at(rung, min_resource):
            if math.isnan(value):
                return Decision(prune=True, notes=notes)
            notes[_rung_key(rung)] = value
            if not self._promotes(rung, value):
                return Decision(prune=True, notes=notes)
            rung += 1
        return Decision(prune=False, notes=notes)

    def _completed_at(self, rung: int, min_resource: int) -> int:
        power: int = self._reduction_factor ** (self._min_early_stopping_rate + rung)
        return min_resource * power

    def _promotes(self, rung: int, value: float) -> bool:
        """Whether the value, together with those of the rung, is among the best of them."""
        others = self._rungs[rung]
        n_competing = len(others) + 1
        if n_competing <= self._bootstrap_count:
            return False
        # The first few are promoted one at a time: none of them could be held back to wait.
        n_promotable = max(n_competing // self._reduction_factor, 1)
        n_better = others.n_above(value) if self._maximize else others.n_below(value)
        return n_better < n_promotable


class SuccessiveHalving(Rule):
    """`successive-halving`: one bracket with all trials.

    A `min_resource` of "auto" is found at the first report after a trial with reports is complete,
    and then kept, as one of Optuna's processes keeps it.
    """

    def __init__(
        self,
        *,
        maximize: bool,
        min_resource: int | Auto,
        reduction_factor: int,
        min_early_stopping_rate: int,
        bootstrap_count: int,
    ) -> None:
        self._min_resource = None if min_resource == "auto" else min_resource
        self._longest = Longest()
        self._bracket = Bracket(
            maximize=maximize,
            reduction_factor=reduction_factor,
            min_early_stopping_rate=min_early_stopping_rate,
            bootstrap_count=bootstrap_count,
        )

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take in the rungs it has newly reached, and how far it came when complete."""
        self._longest.replace(before, after)
        for rung, value in _new_rungs(before, after):
            self._bracket.enter(rung, value)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether it loses at a rung."""
        step = trial.last_step
        if step is None:
            return KEEP
        if self._min_resource is None:
            if self._longest.step is None:
                return KEEP
            self._min_resource = max(self._longest.step // 100, 1)
        return self._bracket.decide(trial, step, self._min_resource)


class Hyperband(Rule):
    """`hyperband`: several brackets that begin to halve later and later; a trial's number gives its own.

    A `max_resource` of "auto" is found at the first report after a trial with reports is complete,
    and then kept, as one of Optuna's processes keeps it. Until then nothing is pruned.
    """

    def __init__(
        self,
        *,
        maximize: bool,
        study_name: str,
        min_resource: int,
        max_resource: int | Auto,
        reduction_factor: int,
        bootstrap_count: int,
    ) -> None:
        self._maximize = maximize
        self._study_name = study_name
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor
        self._bootstrap_count = bootstrap_count
        self._longest = Longest()
        self._brackets: list[Bracket] | None = None
        self._shares: list[int] = []
        self._early: list[tuple[int, int, float]] = []  # number, rung, value
        if max_resource != "auto":
            self._open(max_resource)

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take in the rungs it has newly reached, and how far it came when complete."""
        self._longest.replace(before, after)
        for rung, value in _new_rungs(before, after):
            self._enter(after.number, rung, value)

    def decide(self, trial: FrozenTrial) -> Decision:
        """Whether it loses at a rung of its bracket."""
        if self._brackets is None and self._longest.step is not None:
            self._open(self._longest.step + 1)
        step = trial.last_step
        bracket = self._bracket_of(trial.number)
        if bracket is None or step is None:
            return KEEP
        return bracket.decide(trial, step, self._min_resource)

    def _enter(self, number: int, rung: int, value: float) -> None:
        if self._brackets is None:
            self._early.append((number, rung, value))
        elif (bracket := self._bracket_of(number)) is not None:
            bracket.enter(rung, value)

    def _open(self, max_resource: int) -> None:
        """Make the brackets, with each one's share of the trials; none if the range is empty."""
        factor = self._reduction_factor
        n_brackets = math.floor(math.log(max_resource / self._min_resource, factor)) + 1
        self._brackets = [
            Bracket(
                maximize=self._maximize,
                reduction_factor=factor,
                min_early_stopping_rate=rate,
                bootstrap_count=self._bootstrap_count,
            )
            for rate in range(n_brackets)
        ]
        self._shares = [
            math.ceil(n_brackets * factor**s / (s + 1)) for s in reversed(range(n_brackets))
        ]
        early, self._early = self._early, []
        for number, rung, value in early:
            self._enter(number, rung, value)

    def _bracket_of(self, number: int) -> Bracket | None:
        if not self._brackets:
            return None
        draw = binascii.crc32(f"{self._study_name}_{number}".encode()) % sum(self._shares)
        for bracket, share in zip(self._brackets, self._shares, strict=True):
            draw -= share
            if draw < 0:
                return bracket
        raise AssertionError("the shares add up to more than any draw")


class Longest:
    """The highest step that a complete trial reported, or None."""

    def __init__(self) -> None:
        self.step: int | None = None

    def replace(self, before: FrozenTrial | None, after: FrozenTrial) -> None:
        """Take a changed or new trial into account."""
        if became_complete(before, after) and (step := after.last_step) is not None:
            self.step = step if self.step is None else max(step, self.step)


def _rung_key(rung: int) -> str:
    return f"completed_rung_{rung}"


def _n_rungs(trial: FrozenTrial) -> int:
    """How many rungs the trial has noted: they are reached one after another."""
    rung = 0
    while _rung_key(rung) in trial.system_attrs:
        rung += 1
    return rung


def _new_rungs(before: FrozenTrial | None, after: FrozenTrial) -> Iterator[tuple[int, float]]:
    """The rungs noted by this change: a note is written once, and stays when a trial is handed on."""
    for rung in range(0 if before is None else _n_rungs(before), _n_rungs(after)):
        yield rung, after.system_attrs[_rung_key(rung)]
