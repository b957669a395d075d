"""Numbers of Python, numpy, torch and the like, without importing any of these."""

import math
from collections.abc import Sequence
from typing import Any

LONGEST_SHOWN = 200


def number_of(value: Any) -> float:
    """Return a report or a constraint as a float: whatever `float` takes, as in Optuna.

    Raises:
        TypeError: `float` does not take the value.
        OverflowError: an integer is too large for a float.
    """
    try:
        return float(unwrapped(value))
    except (TypeError, ValueError):
        raise TypeError(f"{shown(value)} is not a number") from None


def numbers_of(values: Any) -> list[float]:
    """Return the number, or the sequence of numbers, of a result as floats.

    A boolean is 1.0 or 0.0, as in Optuna. A text is never a number here.

    Raises:
        TypeError: a value is not a number.
    """
    several = isinstance(values, Sequence) and not isinstance(values, str)
    return [_result_of(value) for value in (values if several else [values])]


def fault_of(values: Any, n_objectives: int) -> str | None:
    """Return why an objective's result is none, as Optuna judges it; None if it has a value for each.

    An infinite value, which Optuna takes, is none either: the wire has finite numbers.
    """
    try:
        numbers = numbers_of(values)
    except TypeError as error:
        return str(error)
    if len(numbers) != n_objectives:
        return f"{len(numbers)} value(s) returned for {n_objectives} objective(s)"
    return not_finite(numbers)


def not_finite(numbers: Sequence[float]) -> str | None:
    """Return the message for values of which one is not finite; None if all are."""
    if all(map(math.isfinite, numbers)):
        return None
    return f"{numbers[0] if len(numbers) == 1 else numbers} is not finite"


def _result_of(value: Any) -> float:
    try:
        scalar = unwrapped(value)
        math.isnan(scalar)  # takes everything that `float` takes but texts
        return float(scalar)
    except Exception:  # whatever a library's `__float__` raises
        raise TypeError(f"{shown(value)} is not a number") from None


def unwrapped(value: Any) -> Any:
    """Return a numpy or torch scalar as Python's, anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return value


def shown(value: Any) -> str:
    """Return the `repr` of any object for a message: cut where it is long, or its type where it fails."""
    try:
        text = repr(value)
    except Exception:
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def json_default(value: Any) -> Any:
    """Return a scalar of another library as Python's: the `default` of `json.dumps`.

    Raises:
        TypeError: the value is not a scalar.
    """
    scalar = unwrapped(value)
    if scalar is value:
        raise TypeError(
            f"a {type(value).__name__} cannot be sent: JSON has strings, numbers, booleans, null, "
            "lists and objects"
        )
    return scalar
