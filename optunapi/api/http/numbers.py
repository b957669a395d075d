"""Numbers in a query, as the languages of trainers print them."""

import re
from typing import Final

_BLANKS: Final = r"\s*"
# A plus in a URL is read as a space, and scripts send 1e+20 unquoted.
_EXPONENT: Final = "[ +-]?[0-9]{1,6}"


def _word(text: str) -> str:
    """A pattern for a word in any case. OpenAPI's patterns have no flag for that."""
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in text)


# d and q are Fortran's, f is Julia's.
_DECIMAL: Final = rf"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eEdDfFqQ]{_EXPONENT})?"
# What %a prints in C.
_HEXADECIMAL: Final = (
    r"[+-]?0[xX](?:[0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)" rf"(?:[pP]{_EXPONENT})?"
)
_NOT_FINITE: Final = "|".join(
    (
        # nan(ind) in C, NaN32 in Julia, nan.0 in Scheme, NaNQ on AIX, snan in Swift
        rf"[+-]?[qQsS]?{_word('nan')}(?:\([0-9A-Za-z_]{{0,40}}\)|16|32|\.0|[qQsS])?",
        rf"[+-]?{_word('inf')}(?:{_word('inity')}|16|32|\.0)?",
        "[+-]?∞",  # .NET
        _word("na"),  # R
        # Visual C++: 1.#IND, 1.#QNAN, 1.#INF00, 1.#INFe+000; 1.$ with one digit; 1,#IND by the locale
        rf"[+-]?1[.,](?:\$|#[A-Za-z]{{0,8}}[0-9]{{0,40}}(?:[eE]{_EXPONENT})?)",
    )
)
# Each text matches in one way only: trying several would hold up the whole server.
_NUMBER: Final = re.compile(
    rf"{_BLANKS}(?:(?P<decimal>{_DECIMAL})|(?P<hexadecimal>{_HEXADECIMAL})|{_NOT_FINITE}){_BLANKS}"
)
_COMMA: Final = re.compile(rf"{_BLANKS}([+-]?[0-9]+),([0-9]+){_BLANKS}")
_WHOLE: Final = re.compile(
    rf"{_BLANKS}(?P<digits>[0-9]{{1,18}})(?:e[ +](?P<zeros>[01][0-9]))?{_BLANKS}"
)
# The same as _NUMBER, for the OpenAPI document.
PATTERN: Final = f"^{_BLANKS}(?:{_DECIMAL}|{_HEXADECIMAL}|{_NOT_FINITE}){_BLANKS}$"


def number_of(text: str) -> float:
    """The number in a text; NaN for a spelling of not-a-number or infinity.

    Raises:
        ValueError: the text is no number; the message says what to write.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        if comma := _COMMA.fullmatch(text):
            raise ValueError(
                f"{text[:40]!r} is not a number: write {comma[1][:20]}.{comma[2][:20]}"
            )
        raise ValueError(f"{text[:40]!r} is not a number, such as 0.5, 1e-3 or nan")
    if match["decimal"]:
        return float(re.sub("[dDfFqQ]", "e", match["decimal"]).replace(" ", "+"))
    if match["hexadecimal"]:
        try:
            return float.fromhex(match["hexadecimal"].replace(" ", "+"))
        except OverflowError:
            pass
    return float("nan")


def whole_number_of(text: str) -> int:
    """The whole number in a text: in digits, or as R prints 100000, which is 1e+05.

    Raises:
        ValueError: the text is no such number.
    """
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(match["digits"] + "0" * int(match["zeros"] or 0))
