"""What a study may be called, and the name that a URL uses for a study called otherwise."""

import hashlib
import re

from optunapi.errors import NameInvalid

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


def check_name(name: str) -> None:
    """Refuse a name that a new study cannot have.

    Raises:
        NameInvalid: the name is empty, too long, or has other characters.
    """
    if not NAME.fullmatch(name):
        raise NameInvalid(
            "a study's name has 1 to 128 letters, digits, dots, hyphens and underscores, "
            "and begins with a letter or digit"
        )


def slug_of(name: str) -> str:
    """The name of the study in URLs: its own name if a URL can hold it, else one made from it.

    Optuna allows any name in a shared database. A slug ends in a part of the name's SHA-256: names
    that differ only in characters that a URL cannot hold have different slugs.
    """
    if NAME.fullmatch(name):
        return name
    readable = _OTHERS.sub("-", name).strip("-._")[:100] or "study"
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{readable}-{digest}"
