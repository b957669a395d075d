"""Numbers of Python, numpy, torch and the like, without importing any of these."""

import json
import math
from collections.abc import Sequence
from numbers import Number
from typing import Any

LONGEST_SHOWN = 200
DEEPEST_NAMED = 64  # lists and objects within each other


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


def json_of(body: Any) -> str:
    """Return the body of a request as strict JSON. Numbers of other libraries are sent as Python's.

    Raises:
        TypeError: JSON cannot hold a value; the message names its place and the value.
        ValueError: a number is not finite; likewise.
    """
    try:
        return json.dumps(body, default=json_default, allow_nan=False)
    except (TypeError, ValueError):
        _refuse_first(body, ())
        raise


def json_default(value: Any) -> Any:
    """Return a number of another library or of the standard library as Python's: for `json.dumps`.

    Raises:
        TypeError: the value is no number.
    """
    scalar = unwrapped(value)
    if isinstance(scalar, Number) and not isinstance(scalar, int | float | complex):
        number = float(scalar)  # type: ignore[arg-type]
        scalar = int(scalar) if number.is_integer() else number  # type: ignore[call-overload]
    if scalar is value or isinstance(scalar, complex):
        raise TypeError(
            f"a {type(value).__name__} cannot be sent: JSON has strings, numbers, booleans, null, "
            "lists and objects"
        )
    return scalar


def _refuse_first(value: Any, path: tuple[str, ...]) -> None:
    """Raise for the first value that cannot be sent, with its place; return if there is none."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items if len(path) < DEEPEST_NAMED else ():
            _refuse_first(each, (*path, str(key)))
        return
    try:
        json.dumps(value, default=json_default, allow_nan=False)
    except TypeError as error:
        raise TypeError(f"{'.'.join(path)}: {error}") from None
    except ValueError:
        text = f"{'.'.join(path)} is {shown(value)}: JSON has finite numbers only"
        raise ValueError(text) from None
