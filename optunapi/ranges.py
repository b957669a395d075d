"""The range of a parameter in words: an error about two ranges has both, on the server and in the client."""

import json
from collections.abc import Mapping
from typing import Any

LONGEST = 300  # characters of a list of choices


def clash(name: str, known: Mapping[str, Any], where: str, asked: Mapping[str, Any]) -> str:
    """Return what to do about a parameter that has one range `where`, and is asked for with another.

    Both ranges are in the form of requests and replies.
    """
    return (
        f"{json.dumps(name, ensure_ascii=False)}: the objective asks for {range_in_words(asked)}, and "
        f"{where} it is {range_in_words(known)}: change one of them, or use another name"
    )


def range_in_words(wire: Mapping[str, Any]) -> str:
    """Return the range of a distribution in the form of requests and replies: `float 0.1 … 1 (log)`."""
    if wire["type"] == "categorical":
        choices = json.dumps(wire["choices"], ensure_ascii=False)
        return f"categorical {choices if len(choices) <= LONGEST else choices[:LONGEST] + '…'}"
    low, high, step = (_written(wire.get(key)) for key in ("low", "high", "step"))
    has_step = step is not None and not (wire["type"] == "int" and step == "1")
    settings = ["log"] * bool(wire.get("log")) + [f"step {step}"] * has_step
    return f"{wire['type']} {low} … {high}" + (f" ({', '.join(settings)})" if settings else "")


def _written(number: float | None) -> str | None:
    """A bound or step, whole numbers without a point."""
    if isinstance(number, float) and number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return None if number is None else repr(number)
