"""The order in which TPE takes finished trials for good: Optuna's, as numbers that can be compared.

Feasible complete trials come first, by their values; then pruned ones, those that came furthest first,
by their last report; then those that violate constraints, by how much.
"""

import math
import struct
from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

# A pruned trial's place is a whole number below 2 ** 52, scaled to be less than any violation.
_SCALE = 1e-300
_MAX_STEP = 2**20 - 1
_VALUE_BITS = 32


def losses_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> tuple[float, ...]:
    """A trial's values, each so that less is better; infinite without."""
    if trial.values is None or trial.state != TrialState.COMPLETE:
        return (math.inf,) * len(directions)
    return tuple(
        -value if direction == StudyDirection.MAXIMIZE else value
        for value, direction in zip(trial.values, directions, strict=True)
    )


def violation_of(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> float:
    """By how much a finished trial violates constraints; next to nothing if it was pruned, 0 if neither."""
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0 or trial.state != TrialState.PRUNED:
        return float(violation)
    return _SCALE * (1 + _pruned_place(trial, directions))


def _pruned_place(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> int:
    if not trial.intermediate_values:
        return (_MAX_STEP + 2) << _VALUE_BITS
    step, value = max(trial.intermediate_values.items())
    if math.isnan(value):
        value = math.inf
    elif directions[0] == StudyDirection.MAXIMIZE:
        value = -value
    return ((_MAX_STEP - min(step, _MAX_STEP)) << _VALUE_BITS) + _ordinal(value)


def _ordinal(value: float) -> int:
    """A whole number of 32 bits that is ordered as the values are, to six digits."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    ordered = bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63
    return int(ordered) >> (64 - _VALUE_BITS)
