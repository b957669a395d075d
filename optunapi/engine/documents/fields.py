"""The types of a configuration's values, for `Node.read`.

Pydantic reads values as these types. A validator's ValueError says what the value is not: the error
shows the value first, as written.
"""

import sys
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
from optunapi.engine.documents.numbers import number_of

# The most that a count may be: JSON's numbers are exact up to here, in every language.
MAX_INTEGER = 2**53


def _numeric(value: Any, info: "ValidationInfo[Document]") -> Any:
    """`value`, or the number that a text of a YAML file spells: YAML reads 1e-5 as a text."""
    number = number_of(value) if isinstance(value, str) and not info.context.exact else None
    return value if number is None else number


def _integer(value: Any, info: "ValidationInfo[Document]") -> Any:
    number = _numeric(value, info)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _float(value: Any, info: "ValidationInfo[Document]") -> Any:
    number = _numeric(value, info)
    try:
        return float(number) if type(number) is int else number
    except OverflowError:
        return float("inf")


def _with_float(value: int) -> int:
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"is beyond {sys.float_info.max}, the largest number") from None
    return value


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
# An integer of any size that has a float: Optuna keeps the values of parameters as floats.
AnyInteger = Annotated[int, Strict(), BeforeValidator(_integer), AfterValidator(_with_float)]
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
        if isinstance(value, str) and number_of(value) is None:
            raise ValueError(f"is not a value{nearest(value, (word, 'a number'))}")
        return read_number(value)

    return Annotated[number, WrapValidator(check)]
