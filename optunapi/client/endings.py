"""What an exception says of the trial that it ended."""

import sys

from optunapi.errors import LeaseLost, TrialFinished


class TrialPruned(Exception):
    """Raised by an objective whose trial is not worth going on with, as `optuna.TrialPruned` is."""


def is_pruned(error: BaseException) -> bool:
    """Whether this is TrialPruned, ours or, where it is loaded, Optuna's."""
    optuna = sys.modules.get("optuna")
    theirs = getattr(optuna, "TrialPruned", TrialPruned)
    return isinstance(error, (TrialPruned, theirs))


def is_taken_away(error: BaseException) -> bool:
    """Whether the trial is not this worker's any more: handed on, cancelled, or told by another."""
    return isinstance(error, LeaseLost | TrialFinished)
