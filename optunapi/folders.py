"""The path of a folder, as people write it in a variable: `~` is expanded, and a URL is refused."""

import re
from pathlib import Path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def folder_of(text: str) -> Path:
    """Return the absolute path of a folder, which need not exist.

    Raises:
        ValueError: the text is a URL, or `~` stands for a user who is not known; the message says what
            to write.
    """
    if _URL.match(text):
        raise ValueError(f"{text!r} is a URL, which is not supported: write the path of a folder")
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{text!r} begins with a user who is not known: write a path") from None
