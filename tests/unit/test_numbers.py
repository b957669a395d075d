"""A score is read as the languages of trainers print it."""

import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optunapi.api.http.numbers import PATTERN, number_of, whole_number_of
from tests.support import scaled

DIVERGED = [
    "nan",
    "NaN",
    "NAN",
    "Nan",
    "-nan",
    "-NaN",
    "+nan",
    "nan(ind)",
    "-nan(ind)",
    "-nan(snan)",
    "nan(0x8000000000000)",
    "NaN32",
    "NaN16",
    "NaNQ",
    "NaNS",
    "+nan.0",
    "inf",
    "-inf",
    "Inf",
    "-Inf",
    "+Inf",
    "INF",
    "Infinity",
    "-Infinity",
    "+Infinity",
    "INFINITY",
    "Inf32",
    "-inf.0",
    "+inf.0",
    "∞",
    "-∞",
    "NA",
    "na",
    "1.#IND",
    "-1.#IND",
    "1.#QNAN",
    "-1.#QNAN",
    "1.#SNAN",
    "1.#INF",
    "-1.#INF",
    "-1.#IND00",
    "1.#INF00",
    "1.#QNAN0",
    "snan",
    "-sNaN",
    "qNaN",
    "1,#IND",
    "-1,#INF00",
    "1.#INFe+000",
    "-1.#IND00e+000",
    "1.#INFE 000",
    "1.$",
    "-1.$",
    "1.#J",
    "-1.#J",
    "1.#R",
    "1.#",
    "1e400",
    "0x1p+99999",
]
NUMBERS = {
    "1.5D+02": 150.0,  # Fortran
    "0.15000000000000000D-03": 0.00015,
    "1.5q2": 150.0,
    "1.5f0": 1.5,  # Julia
    "1e-04": 0.0001,  # R
    "1.5E+002": 150.0,  # Visual C++
    "1.5E2": 150.0,
    "1e 20": 1e20,  # an unquoted plus
    "+0.5": 0.5,
    " 0.5": 0.5,
    "1.5 ": 1.5,
    " \t1.5\r\n": 1.5,
    "\v\f1.5\N{NO-BREAK SPACE}": 1.5,
    ".5": 0.5,
    "-.5": -0.5,
    "5.": 5.0,
    "-0": -0.0,
    "007": 7.0,
    "0x1.8p+1": 3.0,  # %a in C
    "-0X1.999999999999ap-4": -0.1,
    "0x1.8p 1": 3.0,
    "0x0p+0": 0.0,
}
REFUSED = [
    "1,5",
    "1_000",
    "1.000,5",
    "1.234.5",
    "[0.5]",
    "(0.5)",
    "{0.5}",
    '"0.5"',
    "'0.5'",
    "0.5f",
    "1.5%",
    "0.5;1",
    "1/2",
    "1+2i",
    "1e",
    "1e+",
    "e5",
    ".",
    "+",
    "-",
    "+-",
    "--1",
    "++1",
    "-",
    "1e5.5",
    "0x",
    "0xg",
    "2.#INF",
    "tensor(0.5)",
    "np.float64(0.5)",
    "None",
    "null",
    "undefined",
    "true",
    "True",
    "FALSE",
    "good",
    "nano",
    "nan()x",
    "xnan",
    "snan nan",
    "1.$0",
    "infinit",
    "inff",
    "nanan",
    "1d2d3",
    "\N{MINUS SIGN}1",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "\N{FULLWIDTH DIGIT ONE}",
    "½",
    "0b1",
    "0o7",
    "1e9999999",
    "$1",
    "1€",
    "NULL",
    "<NA>",
    "#N/A",
]


@pytest.mark.parametrize("text", DIVERGED)
def test_what_languages_print_for_no_finite_number_is_a_diverged_training(text: str) -> None:
    for spelling in (text, f" {text}", f"{text}\n"):
        assert not math.isfinite(number_of(spelling))
        assert re.match(PATTERN, spelling)


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_read_as_other_languages_print_it(text: str) -> None:
    assert str(number_of(text)) == str(NUMBERS[text])
    assert re.match(PATTERN, text)


@pytest.mark.parametrize("text", ["", " ", "1 5", "0.5 123", "1 e5", *REFUSED])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number_of(text)
    assert not re.match(PATTERN.replace("$", r"\Z"), text)


def test_a_decimal_comma_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=re.escape("write -1.5")):
        number_of("-1,5")


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (" 07\n", 7), ("1e+05", 100_000), ("3e 05", 300_000)]
)
def test_a_trials_number_is_read_as_c_and_r_print_it(text: str, number: int) -> None:
    assert whole_number_of(text) == number


@pytest.mark.parametrize(
    "text", ["", "-1", "1.0", "0.0", "1e-05", "nan", "1_0", "٣", "0x1", "9" * 19]
)
def test_what_is_no_trials_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        whole_number_of(text)


def of_language(value: float) -> list[str]:
    """A number as trainers print it, exactly or to 17 digits."""
    digits = f"{value:.17g}"
    mantissa, _, exponent = f"{value:.16E}".partition("E")
    spellings = [
        repr(value),  # Python, JavaScript, Java
        digits,  # C
        digits.upper(),
        f"{value:+.17e}",
        f"{value:.17g}".replace("+", " "),  # unquoted
        f"{mantissa}D{exponent}",  # Fortran
        f"{mantissa}d{int(exponent)}",
        f"{mantissa}E{int(exponent):+04d}",  # Visual C++
        float.hex(value),  # %a
        float.hex(value).upper(),
        float.hex(value).replace("+", " "),
        f"  {digits}\r\n",
    ]
    if 0 < abs(value) < 1 and digits.startswith(("0.", "-0.")):
        spellings.append(digits.replace("0.", ".", 1))  # Fortran's F format, awk
    if value.is_integer() and abs(value) < 1e15:
        spellings.append(f"{int(value)}.")
    return spellings


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=scaled(300, 100_000), deadline=None)
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_every_finite_number_survives_every_languages_spelling(value: float) -> None:
    for text in of_language(value):
        assert number_of(text) == value, text
        assert re.match(PATTERN, text), text


@given(st.text(alphabet="0123456789.eEdDxXpPaAnNiIfF+- #,_()\t∞", max_size=12))
@settings(max_examples=scaled(1000, 100_000), deadline=None)
def test_a_text_is_a_number_exactly_where_the_documented_pattern_says_so(text: str) -> None:
    try:
        value = number_of(text)
    except ValueError:
        assert not re.match(PATTERN.replace("$", r"\Z"), text)
        return
    assert re.match(PATTERN, text)
    try:
        python = float(text.strip().replace(" ", "+"))
    except ValueError:
        return  # another language's
    assert value == python or not math.isfinite(python)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["1", "1.", "nan", "1e", " ", "0x", "1.#", "+", "nan(", "1_"])
def test_a_long_text_is_judged_in_linear_time(piece: str) -> None:
    for text in (piece * 200_000, f"1.{piece * 200_000}x"):
        with pytest.raises(ValueError, match="is not a number") as refused:
            number_of(f"{text}!")
        assert len(str(refused.value)) < 200
