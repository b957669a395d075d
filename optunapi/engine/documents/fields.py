"""The types of a configuration's values, for `Node.read`.

Pydantic reads values as these types. A validator's ValueError says what the value is not: the error
shows the value first, as written.
"""

import re
from functools import cache
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    Strict,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from optunapi.durations import MAX_SECONDS, seconds_of
from optunapi.engine.documents.document import BROKEN, Document, nearest

# Floats hold whole numbers without a gap up to here, and Optuna keeps every parameter as a float.
MAX_INTEGER = 2**53

_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?", re.ASCII)


def _numeric(value: Any, info: "ValidationInfo[Document]") -> Any:
    """`value`, or the number that a text of a YAML file spells: YAML reads 1e-5 as a text."""
    text = value.strip() if isinstance(value, str) and not info.context.exact else ""
    if len(text) <= 400 and _NUMBER.fullmatch(text):
        digits = text.replace("_", "")
        return int(digits) if digits.lstrip("+-").isdigit() else float(digits)
    return value


def _integer(value: Any, info: "ValidationInfo[Document]") -> Any:
    number = _numeric(value, info)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _float(value: Any, info: "ValidationInfo[Document]") -> Any:
    number = _numeric(value, info)
    try:
        return float(number) if type(number) is int else number
    except OverflowError:
        return float("inf")


def _seconds(value: Any, info: "ValidationInfo[Document]") -> float:
    found = seconds_of(value) if isinstance(value, str) else None
    number = _float(value, info) if found is None else found
    if not isinstance(number, float):
        raise ValueError("is not a duration such as 90, 90s, 5m, 12h or 2d")
    if number <= 0:
        raise ValueError("is not a duration above zero")
    return number


def _scalar(value: Any) -> Any:
    if isinstance(value, list | dict) or value is BROKEN:
        raise ValueError("is not a single value: a text, number, boolean or null")
    return value


def _without_nulls(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


Number = Annotated[float, Strict(), AllowInfNan(False), BeforeValidator(_float)]
NonNegative = Annotated[Number, Ge(0)]
Positive = Annotated[Number, Gt(0)]
Integer = Annotated[int, Strict(), Ge(-MAX_INTEGER), Le(MAX_INTEGER), BeforeValidator(_integer)]
Count = Annotated[Integer, Ge(1)]
Boolean = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), MaxLen(10_000)]
Scalar = Annotated[Any, AfterValidator(_scalar)]
# Seconds, or a number with `s`, `m`, `h` or `d`.
Seconds = Annotated[float, Le(MAX_SECONDS), BeforeValidator(_seconds)]


def whole(least: int, most: int = MAX_INTEGER) -> Any:
    """The type of a whole number from `least` to `most`."""
    return Annotated[Integer, Ge(least), Le(most)]


def some(type_: Any) -> Any:
    """The type of a list of at least one `type_`."""
    return Annotated[list[type_], MinLen(1)]


def named(type_: Any) -> Any:
    """The type of a mapping of names to `type_`; null entries are absent."""
    return Annotated[dict[str, type_], BeforeValidator(_without_nulls)]


@cache
def one_of(words: tuple[str, ...], what: str = "value") -> Any:
    """The type of one of `words`; errors call it a `what`."""

    def check(value: Any) -> Any:
        if value not in words:
            raise ValueError(f"is not a {what}{nearest(value, words)}")
        return value

    return Annotated[Any, AfterValidator(check)]


def word_or(word: str, number: Any) -> Any:
    """The type of `word` itself or of a `number`."""

    def check(value: Any, read_number: ValidatorFunctionWrapHandler) -> Any:
        if value == word:
            return word
        if isinstance(value, str) and not value[:1].isdigit():
            raise ValueError(f"is not a value{nearest(value, (word, 'a number'))}")
        return read_number(value)

    return Annotated[number, WrapValidator(check)]
