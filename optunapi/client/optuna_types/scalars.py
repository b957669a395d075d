"""Numbers as trainers have them: Python's, and those of numpy, torch and the like, without importing any."""

import math
from collections.abc import Iterable, Sequence
from typing import Any


def number_of(value: Any) -> float:
    """A float of anything that is one number, an array or tensor without dimensions too.

    Raises:
        TypeError: it is none. A boolean is none: a comparison was returned for what was compared.
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
    """The floats of a number, or of a sequence of numbers, as objectives return them.

    Raises:
        TypeError: None, or something else that is neither.
    """
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return [number_of(value) for value in values]
    return [number_of(values)]


def unwrapped(value: Any) -> Any:
    """A numpy or torch scalar as Python's; anything else as it is."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return value


def plain(value: Any) -> Any:
    """For `json.dumps`: what stands for a value that JSON does not know.

    Raises:
        TypeError: nothing does.
    """
    scalar = unwrapped(value)
    if scalar is value:
        raise TypeError(
            f"a {type(value).__name__} cannot be sent: JSON has texts, numbers, booleans, null, "
            "lists and objects"
        )
    return scalar


def finite(values: Iterable[float]) -> bool:
    """Whether all of them are numbers that JSON can write."""
    return all(map(math.isfinite, values))
