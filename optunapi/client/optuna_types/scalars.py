"""Numbers of Python, numpy, torch and the like, without importing any of these."""

import math
from collections.abc import Sequence
from typing import Any


def number_of(value: Any) -> float:
    """Return anything that is one number as a float; an array or tensor with one element is one.

    Raises:
        TypeError: the value is not a number. A boolean is not: it is usually a comparison returned by
            mistake.
    """
    scalar = unwrapped(value)
    if isinstance(scalar, bool | str | bytes):
        raise TypeError(f"{scalar!r} is not a number")
    try:
        return float(scalar)
    except (TypeError, ValueError):
        raise TypeError(f"{value!r} is not a number") from None
    except OverflowError:
        return math.inf if scalar > 0 else -math.inf


def numbers_of(values: Any) -> list[float]:
    """Return the number, or the sequence of numbers, that an objective returned as floats.

    Raises:
        TypeError: a value is not a number, or is None.
    """
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return [number_of(value) for value in values]
    return [number_of(values)]


def unwrapped(value: Any) -> Any:
    """Return a numpy or torch scalar as Python's, anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return value


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
