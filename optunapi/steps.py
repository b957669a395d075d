"""The end of a stepped range of floats: Optuna's rounding, for the server and for the client.

Optuna computes with decimals, as the numbers are written, since in binary 0.1 does not divide 1. It shortens
a range that its steps do not divide, and does so each time a distribution is made. The end is a float again,
which may lie just below its step: then the same arithmetic would shorten the range once more.
"""

import math
from decimal import Context, Decimal, InvalidOperation

_DIGITS = 28  # those of Python's default context, which Optuna uses
MAX_STEPS = 10**_DIGITS


def last_step(low: float, high: float, step: float) -> float:
    """Return what Optuna makes of `high`: the last value that steps from `low` reach.

    Raises:
        ValueError: there are MAX_STEPS steps or more, which Optuna cannot count either.
    """
    context = Context(prec=_DIGITS)
    start, end, width = (_as_written(value) for value in (low, high, step))
    length = context.subtract(end, start)
    try:
        if not context.remainder(length, width):
            return float(high)
        steps = context.divide_int(length, width)
    except InvalidOperation:
        raise ValueError(f"{step} makes 1e{_DIGITS} steps or more from {low} to {high}") from None
    return float(context.add(context.multiply(steps, width), start))


def _as_written(number: float) -> Decimal:
    """A number in decimals. One of numpy's short floats has the digits that numpy prints, as in Optuna."""
    try:
        return Decimal(str(number))
    except InvalidOperation:  # True, Fraction(1, 3) and tensor(0.1) do not print as numbers
        return Decimal(str(float(number)))


def high_to_write(low: float, high: float, step: float | None) -> float:
    """Return the `high` of which `last_step` makes this one, for what is read again as a distribution.

    It is `high` itself wherever that lies on its step or above.
    """
    if step is None:
        return high
    # The last two are for a `low` so large that Optuna's 28 digits end before those of the step.
    candidates = (high, math.nextafter(high, math.inf), high + step / 2, high + step)
    return next((each for each in candidates if last_step(low, each, step) == high), high)
