"""Numbers that YAML reads as texts: 1e-3 has no point, and is a text to YAML 1.1."""

import math
import re
import sys
from typing import Any

from optunapi.engine.documents.document import Node

_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?", re.ASCII)
_LONGEST = 400


def number_of(text: str) -> int | float | None:
    """The number that a text spells in decimals; None if it spells none."""
    text = text.strip()
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    digits = text.replace("_", "")
    return int(digits) if digits.lstrip("+-").isdigit() else float(digits)


def spelled_number(node: Node) -> int | float | None:
    """The number that a text of a YAML file spells; None for anything else, and in JSON."""
    is_text = isinstance(node.data, str) and not node.document.exact
    return number_of(node.data) if is_text else None


def in_yaml(number: float) -> str:
    """A number as YAML reads it: Python's 1e-05, which has no point, is a text there."""
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def note_text(node: Node, why: str = "") -> None:
    """Add a notice if a text without quotes spells a number."""
    number = spelled_number(node)
    if number is not None and node.is_plain and not _is_infinite(number):
        node.note(
            f"{node.data} is read as a text{why}. Put it in quotes if you mean the text; "
            f"{in_yaml(number)} is the number"
        )


def note_texts(node: Node) -> None:
    """Add such a notice for each text at any depth below a node."""
    for each in (*node.all_entries().values(), *node.items()):
        note_text(each)
        note_texts(each)


def _is_infinite(number: float) -> bool:
    return isinstance(number, float) and math.isinf(number)  # isinf refuses large integers


def note_number(node: Node, number: float, for_text: str) -> None:
    """Add a notice that a text is read as a number; an error if that is beyond the largest float."""
    if _is_infinite(number):
        node.refuse(f"{node.data} is beyond {sys.float_info.max}, the largest number")
    else:
        node.note(f"{node.data} is read as the number {number!r}: {for_text}")


def with_numbers(node: Node) -> list[Any]:
    """The values of a list whose type nothing else says, such as choices.

    A text that spells a number is that number if all others are numbers, or are texts that spell one.
    If all are such texts, one of them has to be without quotes. Both ways are noted.
    """
    items = node.items()
    found = [spelled_number(item) for item in items]
    spelled = [item for item, number in zip(items, found, strict=True) if number is not None]
    others = [item.data for item, number in zip(items, found, strict=True) if number is None]
    are_numbers = all(type(each) in (int, float) for each in others)
    if are_numbers and (others or any(item.is_plain for item in spelled)):
        for item, number in zip(items, found, strict=True):
            if number is not None:
                note_number(item, number, f"""for the text, quote it twice, '"{item.data}"'""")
        return [
            item.data if each is None else each for item, each in zip(items, found, strict=True)
        ]
    for item in spelled:
        note_text(item, ": not every value beside it is a number")
    return [item.data for item in items]
